"""Who is told of an attempt: receivers of Django's signals and middleware, in workers of every kind."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection
from django.dispatch import Signal
from django.tasks.signals import logger as django_logger
from django.tasks.signals import task_finished, task_started
from pytest_django import Settings

from dlq import MemoryBackend, State, TaskTimeout, task
from dlq.errors import JobCancelled
from dlq.job import Claim
from dlq.middleware import MiddlewareJob
from dlq.runtime.audience import Audience

from .rig import KINDS, SOON, Rig, values

ClaimOf = Callable[..., Claim]
every_kind = pytest.mark.parametrize("kind", KINDS)

SEEN: list[Any] = []
ERROR = LookupError("no such address")


@task
def add(first: int, second: int) -> int:
    SEEN.append("call")
    return first + second


@task
async def add_soon(first: int, second: int) -> int:
    SEEN.append("call")
    return first + second


@task(max_attempts=2, backoff=40)
def fail() -> None:
    raise ERROR


@task(max_attempts=2, backoff=40)
async def fail_soon() -> None:
    raise ERROR


@task(timeout=SOON)
def overrun() -> None:
    while True:
        threading.Event().wait(SOON / 4)


@task(timeout=SOON)
async def overrun_soon() -> None:
    await asyncio.Event().wait()


@task
def be_cancelled() -> None:
    raise JobCancelled("not needed")


@task(max_attempts=2, backoff=40)
async def cancel_oneself_and_raise() -> None:
    current = asyncio.current_task()
    assert current is not None
    current.cancel()
    raise ERROR


class Recorder:
    """Middleware that notes what it is told."""

    def process_job(self, job: MiddlewareJob, queue: str, worker_num: int) -> None:
        SEEN.append(("job", job.path, job.args, job.kwargs, job.attempt, queue, worker_num))

    def process_result(self, job: MiddlewareJob, result: Any, duration: float) -> None:
        SEEN.append(("result", result))

    def process_timeout(self, job: MiddlewareJob, duration: float, exc: BaseException) -> None:
        SEEN.append(("timeout", type(exc)))

    def process_exception(
        self, job: MiddlewareJob, duration: float, exc_type: type, exc: Any, tb: Any
    ) -> None:
        SEEN.append(("exception", exc_type))

    def process_retry(self, job: MiddlewareJob, duration: float, exc: BaseException, delay: float) -> None:
        SEEN.append(("retry", type(exc), delay))


class Leaver:
    """Middleware that wants to end everything."""

    def process_job(self, *args: Any) -> None:
        raise SystemExit

    def process_result(self, *args: Any) -> None:
        raise KeyboardInterrupt


class Asker:
    """Middleware that uses the database."""

    def process_job(self, *args: Any) -> None:
        SEEN.append(count())

    def process_result(self, *args: Any) -> None:
        SEEN.append(count())
        connection.close()


def count() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 0")
        return int(cursor.fetchone()[0])


def middleware(settings: Settings, *classes: type) -> None:
    settings.DLQ_MIDDLEWARE = [f"{__name__}.{cls.__name__}" for cls in classes]


@pytest.fixture
def rig(memory: MemoryBackend, claim_of: ClaimOf) -> Callable[..., Rig]:
    SEEN.clear()
    return lambda kind, **changes: Rig(kind, memory, claim_of, **changes)


@pytest.fixture
def connected() -> Iterator[Callable[[Signal, Callable[..., Any]], None]]:
    receivers: list[tuple[Signal, Callable[..., Any]]] = []

    def connect(signal: Signal, receiver: Callable[..., Any]) -> None:
        receivers.append((signal, receiver))
        signal.connect(receiver, weak=False)

    yield connect
    for signal, receiver in receivers:
        signal.disconnect(receiver)


both = pytest.mark.parametrize("declared", [add, add_soon], ids=["function", "coroutine"])


# --- Middleware ---


@every_kind
@both
def test_middleware_is_called_around_a_job(rig: Any, kind: str, declared: Any, settings: Settings) -> None:
    middleware(settings, Recorder)
    assert values(rig(kind).run((declared, 1, 2))) == [3]
    begun = ("job", declared.module_path, [1, 2], {}, 1, "default", 0)
    assert [begun, "call", ("result", 3)] == SEEN


@every_kind
@pytest.mark.parametrize(
    ("declared", "told"),
    [
        (fail, [("exception", LookupError), ("retry", LookupError, 40.0)]),
        (fail_soon, [("exception", LookupError), ("retry", LookupError, 40.0)]),
        (overrun, [("timeout", TaskTimeout), ("exception", TaskTimeout)]),
        (overrun_soon, [("timeout", TaskTimeout), ("exception", TaskTimeout)]),
        (be_cancelled, [("exception", JobCancelled)]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_middleware_learns_how_a_job_that_raised_goes_on(
    rig: Any, kind: str, declared: Any, told: list[Any], settings: Settings
) -> None:
    middleware(settings, Recorder)
    rig(kind).run(declared)
    assert SEEN[1:] == told


def test_on_a_loop_middleware_is_called_though_the_task_has_cancelled_itself(
    rig: Any, settings: Settings
) -> None:
    middleware(settings, Recorder)
    (outcome,) = rig("coroutines").run(cancel_oneself_and_raise)
    assert outcome.state is State.SCHEDULED
    assert SEEN[1:] == [("exception", LookupError), ("retry", LookupError, 40.0)]


@every_kind
@both
def test_middleware_that_raises_harms_nothing(rig: Any, kind: str, declared: Any, settings: Settings) -> None:
    middleware(settings, Leaver, Recorder)
    assert values(rig(kind).run((declared, 1, 2))) == [3]
    assert SEEN[1:] == ["call", ("result", 3)]


@every_kind
@both
def test_middleware_that_cannot_be_built_is_told_in_the_log_and_the_job_runs(
    rig: Any, kind: str, declared: Any, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    made = rig(kind)
    claims = made.claims((declared, 1, 2))
    settings.DLQ_MIDDLEWARE = ["shop.gone.Middleware"]
    assert values(made.run_claims(*claims)) == [3]
    assert "DLQ_MIDDLEWARE names 'shop.gone.Middleware'" in caplog.text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["threads", "coroutines"])
@both
def test_middleware_may_use_the_database(rig: Any, kind: str, declared: Any, settings: Settings) -> None:
    middleware(settings, Asker)
    assert values(rig(kind).run((declared, 1, 2))) == [3]
    assert SEEN == [0, "call", 0]


# --- Receivers ---


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["threads", "coroutines"])
@both
@pytest.mark.parametrize("signal", [task_started, task_finished], ids=["started", "finished"])
def test_receivers_may_use_the_database(
    rig: Any, kind: str, declared: Any, signal: Signal, connected: Callable[..., None]
) -> None:
    def receive(**kwargs: Any) -> None:
        try:
            SEEN.append(count())
        except SynchronousOnlyOperation as error:
            SEEN.append(error)
        connection.close()

    connected(signal, receive)
    assert values(rig(kind).run((declared, 1, 2))) == [3]
    assert sorted(SEEN, key=str) == [0, "call"]


@every_kind
@both
def test_receivers_that_are_coroutines_are_awaited(
    rig: Any, kind: str, declared: Any, connected: Callable[..., None]
) -> None:
    async def receive(task_result: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        SEEN.append(task_result.status)

    for signal in (task_started, task_finished):
        connected(signal, receive)
    assert values(rig(kind).run((declared, 1, 2))) == [3]
    assert SEEN == ["RUNNING", "call", "SUCCESSFUL"]


@every_kind
@pytest.mark.parametrize("declared", [overrun, overrun_soon], ids=["function", "coroutine"])
def test_receivers_are_called_while_the_exception_is_handled(
    rig: Any, kind: str, declared: Any, connected: Callable[..., None]
) -> None:
    connected(task_finished, lambda **kwargs: SEEN.append(type(sys.exception())))
    (outcome,) = rig(kind).run(declared)
    assert outcome.state is State.FAILED
    assert [TaskTimeout] == SEEN


def test_on_a_loop_nobody_changes_threads_for_those_who_are_not_there(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(Audience, "_tell", lambda self, tell: threads.append(threading.get_ident()))
    rig("coroutines").run((add_soon, 1, 2), (add_soon, 3, 4))
    assert threads == [threading.get_ident()] * 4


# --- Nobody ---


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    told: list[Any] = []
    monkeypatch.setattr(Audience, "_tell", lambda self, tell: told.append(tell))
    return told


@every_kind
@both
def test_nobody_is_told_what_nobody_would_notice(
    rig: Any, kind: str, declared: Any, told: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, django_logger.name):
        assert values(rig(kind).run((declared, 1, 2))) == [3]
    assert not told


@every_kind
@pytest.mark.parametrize("declared", [fail, fail_soon], ids=["function", "coroutine"])
def test_failures_are_told_to_django_for_its_own_log(
    rig: Any, kind: str, declared: Any, told: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, django_logger.name):
        rig(kind).run(declared)
    assert len(told) == 1


@every_kind
@both
def test_a_receiver_that_comes_later_is_found(
    rig: Any, kind: str, declared: Any, connected: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, django_logger.name):
        rig(kind).run((declared, 1, 2))
        connected(task_finished, lambda task_result, **kwargs: SEEN.append(task_result.return_value))
        rig(kind).run((declared, 3, 4))
    assert SEEN == ["call", "call", 7]
