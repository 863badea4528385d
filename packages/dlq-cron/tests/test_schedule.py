"""``schedule()`` and its like, and what the jobs know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.tasks.signals import task_enqueued
from pytest_django import Settings

from dlq import JobContext, MemoryBackend, TaskRefused, task
from dlq.store.schedules import Fired
from dlq.testing import run_jobs
from dlq_cron import (
    ScheduleConflict,
    ScheduleError,
    SpecError,
    disable,
    enable,
    every,
    next_times,
    run_now,
    schedule,
    scheduled,
    unschedule,
)
from dlq_cron.definition import define, proposal_of
from dlq_cron.scheduler import Scheduler

seen: list[tuple[Any, ...]] = []


@task(takes_context=True, queue="reports", max_attempts=3)
def report(context: JobContext[..., Any], *args: Any, **kwargs: Any) -> None:
    seen.append((context.due_at, context.schedule, args, kwargs))


def plain() -> None: ...


renamed = task(plain)


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


def fire(memory: MemoryBackend, now: datetime) -> None:
    scheduler = Scheduler("default")
    while scheduler.step(now) == 0.0:
        pass


def test_the_task_runs_with_its_arguments_and_knows_its_due_time(memory: MemoryBackend) -> None:
    record = schedule("r", report, "0 3 * * *", args=[1], kwargs={"a": 2}, timezone="Europe/Berlin")
    assert record.due_at is not None
    assert record.due_at > memory.schedules.clock()
    fire(memory, record.due_at)
    assert run_jobs() == 1
    assert seen == [(record.due_at, "r", (1,), {"a": 2})]


def test_a_job_of_nobody_has_no_due_time(memory: MemoryBackend) -> None:
    report.enqueue(7)
    run_jobs()
    assert seen == [(None, None, (7,), {})]


def test_options_of_the_task_and_of_the_schedule_come_along(memory: MemoryBackend) -> None:
    chosen = report.using(timeout=5, expires_after=60, metadata={"by": "cron"})
    record = schedule("r", chosen, every(minutes=1), queue="other", priority=9, description="why")
    assert record.due_at is not None
    fire(memory, record.due_at)
    (job,) = memory.store.get([memory.schedules.history(1)[0].job])
    assert (job.queue, job.priority, job.max_attempts, job.metadata) == ("other", 9, 3, '{"by":"cron"}')
    assert job.expires_at == record.due_at + timedelta(seconds=60)
    assert '"timeout": 5' in (job.overrides or "")
    assert scheduled("r").schedule.description == "why"
    assert scheduled("r").schedule.words.startswith("every minute (")


def test_signals_hear_of_jobs_that_schedules_enqueue(memory: MemoryBackend) -> None:
    heard: list[Any] = []

    def hear(sender: type, task_result: Any, **kwargs: Any) -> None:
        heard.append((sender, task_result.task.module_path, task_result.args, task_result.id))

    record = schedule("r", report, "* * * * *", args=["x"])
    assert record.due_at is not None
    task_enqueued.connect(hear)
    try:
        fire(memory, record.due_at)
    finally:
        task_enqueued.disconnect(hear)
    assert heard == [
        (MemoryBackend, report.module_path, ["x"], str(memory.schedules.history(1)[0].job)),
    ]


def test_scheduling_again_changes_and_an_edited_spec_fires_nothing_from_the_past(
    memory: MemoryBackend,
) -> None:
    first = schedule("r", report, "* * * * *")
    again = schedule("r", report, "* * * * *", args=[2])
    assert (again.due_at, again.schedule.payload) == (first.due_at, "[[2],{}]")
    edited = schedule("r", report, "0 0 1 1 *")
    assert edited.due_at is not None
    assert edited.due_at > memory.schedules.clock()
    fire(memory, edited.due_at - timedelta(seconds=1))
    assert memory.schedules.history(10) == []


def test_unscheduling_says_how_many_and_leaves_static_ones_alone(memory: MemoryBackend) -> None:
    schedule("r", report, "* * * * *")
    assert [unschedule("r"), unschedule("r")] == [1, 0]
    static = define("s", report, "* * * * *")
    memory.schedules.put([proposal_of(static, memory, memory.schedules.clock(), static=True, found=None)])
    before = scheduled("s")
    assert unschedule("s") == 0
    with pytest.raises(ScheduleConflict, match="'s' stands in the code"):
        schedule("s", report, "0 0 * * *")
    assert scheduled("s") == before


def test_a_disabled_schedule_goes_on_with_its_next_due_time_when_it_is_enabled(memory: MemoryBackend) -> None:
    record = schedule("r", report, "* * * * *")
    assert [disable("r"), disable("r")] == [True, False]
    assert next_times("r") == []
    fire(memory, memory.schedules.clock() + timedelta(days=1))
    assert memory.schedules.history(10) == []
    assert [enable("r"), enable("r")] == [True, False]
    assert record.due_at is not None
    assert next_times("r", 1) >= [record.due_at]
    for act in (disable, enable, run_now, next_times):
        with pytest.raises(ScheduleError, match="no schedule 'unknown'"):
            act("unknown")  # type: ignore[operator]


def test_running_now_changes_no_due_time_and_is_recorded(memory: MemoryBackend) -> None:
    record = schedule("r", report, "0 3 * * *", args=[5])
    result = run_now("r")
    run_jobs()
    result.refresh()
    (fire,) = memory.schedules.history(10)
    assert (fire.outcome, str(fire.job)) == (Fired.BY_HAND, result.id)
    assert [args for _, _, args, _ in seen] == [(5,)]
    assert scheduled("r").due_at == record.due_at
    disable("r")
    run_now("r")
    assert len(memory.schedules.history(10)) == 2


def test_the_next_times_are_in_the_schedules_own_zone_and_end_with_it(memory: MemoryBackend) -> None:
    schedule("r", report, "0 3 * * *", timezone="Asia/Tokyo", repeat=3)
    times = next_times("r", 10)
    assert [f"{at:%H:%M %Z}" for at in times] == ["03:00 JST"] * 3
    schedule("s", report, "0 3 * * *", end=datetime.now(UTC) + timedelta(days=2))
    assert len(next_times("s", 10)) == 2


def test_the_time_zone_is_the_sites(memory: MemoryBackend, settings: Settings) -> None:
    settings.TIME_ZONE = "America/New_York"
    schedule("r", report, "0 3 * * *")
    assert [f"{at:%H:%M}" for at in next_times("r", 1)] == ["03:00"]
    assert next_times("r", 1)[0].utcoffset() in (timedelta(hours=-5), timedelta(hours=-4))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "zone": ({"timezone": "Europe/Atlantis"}, "Europe/Atlantis"),
    "zone path": ({"timezone": "../etc/passwd"}, "no zone"),
    "naive start": ({"start": datetime(2027, 1, 1)}, "start=.*with a time zone"),  # noqa: DTZ001
    "naive end": ({"end": datetime(2027, 1, 1)}, "end=.*with a time zone"),  # noqa: DTZ001
    "past end": ({"end": datetime(2020, 1, 1, tzinfo=UTC)}, "never due any more"),
    "end before start": (
        {"start": datetime(2028, 1, 1, tzinfo=UTC), "end": datetime(2027, 1, 1, tzinfo=UTC)},
        "never due between",
    ),
    "repeat": ({"repeat": 0}, "repeat=0"),
    "jitter": ({"jitter": -1}, "jitter=-1"),
    "missed": ({"missed": "some"}, "'skip', 'last', 'all'"),
    "overlap": ({"overlap": "twice"}, "'allow', 'skip', 'queue', 'cancel'"),
    "limit": ({"missed_limit": 1.5}, "missed_limit=1.5"),
    "window": ({"missed_window": "1h"}, "missed_window='1h'"),
    "args": ({"args": "abc"}, "args='abc'"),
    "kwargs": ({"kwargs": [1]}, r"kwargs=\[1\]"),
    "spec": ({"spec": "61 * * * *"}, "position 1"),
    "kind of spec": ({"spec": 5}, "neither text nor an expression"),
    "key": ({"key": ""}, "key=''"),
    "path": ({"task": "shop.tasks.gone"}, "shop.tasks.gone"),
    "no task": ({"task": len}, "neither a task"),
}


@pytest.mark.parametrize(("given", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_and_nothing_is_stored(
    memory: MemoryBackend, given: dict[str, Any], problem: str
) -> None:
    arguments = {"key": "r", "task": report, "spec": "* * * * *"} | given
    with pytest.raises((ScheduleError, SpecError), match=problem):
        schedule(**arguments)
    assert memory.schedules.listed(10) == []


def test_what_a_backend_refuses_is_refused_as_by_enqueue(memory: MemoryBackend) -> None:
    with pytest.raises(TaskRefused):
        schedule("r", renamed, "* * * * *")
    with pytest.raises(TypeError, match="nonsense"):
        schedule("r", report, "* * * * *", nonsense=1)


def test_one_off_schedules_fire_once_and_stay(memory: MemoryBackend) -> None:
    at = memory.schedules.clock() + timedelta(hours=1)
    schedule("r", report, f'once("{at.isoformat()}")')
    fire(memory, at)
    fire(memory, at + timedelta(days=20))
    assert [record.due_at for record in memory.schedules.history(10)] == [at]
    assert (scheduled("r").due_at, scheduled("r").fires) == (None, 1)
