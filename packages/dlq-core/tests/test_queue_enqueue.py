import json
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from dlq import MemoryBackend, State, queue_backend, task
from dlq.store import JobFilter

from .stored import stored

pytestmark = pytest.mark.usefixtures("memory")


@task(queue="email", priority=5)
def send(to: str, copy: bool = False) -> None: ...


def add(a: int, b: int) -> int:
    return a + b


SEND = f"{__name__}.send"
ADD = "shop.calls.add"


@pytest.fixture(autouse=True)
def this_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a name that a setting can have."""
    monkeypatch.setitem(sys.modules, "shop.calls", sys.modules[__name__])


def queue_enqueue(*arguments: str) -> str:
    out = StringIO()
    call_command("queue_enqueue", *arguments, stdout=out)
    return out.getvalue().strip()


def test_it_prints_the_id_of_the_job(memory: MemoryBackend) -> None:
    id = queue_enqueue(SEND, "--args", '["ann"]', "--kwargs", '{"copy": true}')
    [job] = stored(memory)
    assert str(job.id) == id
    assert (job.task, job.queue, job.priority) == (SEND, "email", 5)
    assert json.loads(job.payload) == [["ann"], {"copy": True}]


def test_a_task_needs_no_arguments_to_be_given(memory: MemoryBackend) -> None:
    queue_enqueue(SEND)
    assert stored(memory)[0].payload == "[[],{}]"


def test_options_of_the_call_replace_those_of_the_task(settings: Settings, memory: MemoryBackend) -> None:
    settings.TASKS |= {"other": {"BACKEND": "dlq.MemoryBackend"}}
    queue_enqueue(SEND, "--queue", "slow", "--priority", "-3", "--backend", "other")
    [job] = queue_backend("other").inspector.jobs(JobFilter(), limit=10)
    assert (job.queue, job.priority) == ("slow", -3)
    assert stored(memory) == []


def test_a_time_may_be_given(memory: MemoryBackend) -> None:
    queue_enqueue(SEND, "--run-after", "2040-01-31T09:00:00+02:00")
    [job] = stored(memory)
    assert (job.state, job.run_after) == (State.SCHEDULED, datetime(2040, 1, 31, 7, tzinfo=UTC))


def test_a_time_without_a_zone_is_one_of_the_site(settings: Settings, memory: MemoryBackend) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    queue_enqueue(SEND, "--run-after", "2040-01-31T09:00:00")
    assert stored(memory)[0].run_after == datetime(2040, 1, 31, 0, tzinfo=UTC)


def test_a_delay_may_be_given(memory: MemoryBackend) -> None:
    before = timezone.now()
    queue_enqueue(SEND, "--delay", "1h30m")
    [job] = stored(memory)
    assert job.run_after is not None
    assert before <= job.run_after - timedelta(minutes=90) <= timezone.now()


def test_a_callable_is_enqueued_when_it_is_allowed(settings: Settings, memory: MemoryBackend) -> None:
    settings.DLQ_CALLABLES = [ADD]
    queue_enqueue(ADD, "--args", "[1, 2]", "--queue", "slow")
    [job] = stored(memory)
    assert (job.task, job.queue, json.loads(job.payload)) == (
        "dlq.callables.call_path",
        "slow",
        [[ADD, 1, 2], {}],
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no.such.task"], "'no.such.task' cannot be imported here"),
        ([ADD], "may not be called by its path.* DLQ_CALLABLES = "),
        ([SEND, "--args", "ann"], "--args: 'ann' is not JSON .* It must be a list"),
        ([SEND, "--args", '{"to": 1}'], "--args: .* must be a list"),
        ([SEND, "--kwargs", "[1]"], "--kwargs: .* must be an object"),
        ([SEND, "--args", "[NaN]"], r"args\[0\] is nan"),
        ([SEND, "--queue", "two words"], "queue='two words' must be"),
        ([SEND, "--priority", "101"], "priority must be a whole number between -100 and 100"),
        ([SEND, "--priority", "high"], "invalid int value: 'high'"),
        ([SEND, "--run-after", "tomorrow"], "--run-after: 'tomorrow' is no time"),
        ([SEND, "--delay", "soon"], "--delay: 'soon' is no duration"),
        ([SEND, "--delay", "1s", "--run-after", "2040-01-31T09:00:00"], "--run-after or --delay, not both"),
        ([SEND, "--backend", "typo"], "--backend typo: the backends of DLQ in TASKS are: default"),
    ],
)
def test_what_cannot_be_enqueued_is_an_error_and_nothing_is(
    memory: MemoryBackend, arguments: list[str], says: str
) -> None:
    with pytest.raises(CommandError, match=says):
        queue_enqueue(*arguments)
    assert stored(memory) == []
