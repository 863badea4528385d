"""The scheduler: its own schedules and those of others, overlaps, trouble with one of many."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from dlq import MemoryBackend, State, task
from dlq.errors import StoreRefused
from dlq.job import Outcome
from dlq.runtime.options import RunnerOptions
from dlq.store.memory import MemorySchedules
from dlq.store.schedules import Advanced, Fired, ScheduleRecord
from dlq.testing.contract.builders import claim_one, register, settle_one
from dlq_cron import scheduler as module
from dlq_cron.definition import Definition, define, proposal_of
from dlq_cron.scheduler import POLL, Scheduler, schedulers_for

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@task
def work() -> None: ...


def after(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the scheduler's own clock."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


def static(key: str = "k", spec: str = "* * * * *", **options: Any) -> Definition:
    return define(key, work, spec, timezone="UTC", **options)


def add(memory: MemoryBackend, key: str = "k", spec: str = "* * * * *", **options: Any) -> None:
    """A dynamic schedule, as if it had been made at noon."""
    memory.schedules.put([proposal_of(static(key, spec, **options), memory, NOON, static=False, found=None)])


def run(scheduler: Scheduler, minutes: float) -> float:
    """Let it step until nothing is left to do; returns how long it wants to wait then."""
    while (pause := scheduler.step(after(minutes))) == 0.0:
        pass
    return pause


def fired(memory: MemoryBackend, outcome: Fired = Fired.ENQUEUED) -> list[tuple[str, float]]:
    return [
        (fire.key, (fire.due_at - NOON).total_seconds() / 60)
        for fire in reversed(memory.schedules.history(1000))
        if fire.outcome is outcome
    ]


def one(memory: MemoryBackend, key: str = "k") -> ScheduleRecord:
    (found,) = memory.schedules.get([key])
    return found


# --- When ---


def test_it_waits_until_the_next_due_time_but_looks_every_second(memory: MemoryBackend) -> None:
    add(memory)
    assert run(Scheduler("default"), 0.25) == POLL
    assert run(Scheduler("default"), 1 - 0.2 / 60) == pytest.approx(0.2)
    assert run(Scheduler("default"), 1) == POLL
    assert fired(memory) == [("k", 1)]


def test_a_first_deploy_fires_nothing_from_the_past(memory: MemoryBackend) -> None:
    scheduler = Scheduler("default", [static(missed="all"), static("yearly", "0 0 1 1 *")])
    run(scheduler, 0.5)
    assert fired(memory) == []
    assert (one(memory).due_at, one(memory, "yearly").due_at) == (after(1), datetime(2027, 1, 1, tzinfo=UTC))


def test_a_scheduler_that_starts_again_makes_up_for_what_was_missed(memory: MemoryBackend) -> None:
    run(Scheduler("default", [static(missed="all")]), 0.5)
    run(Scheduler("default", [static(missed="all")]), 3.5)
    assert fired(memory) == [("k", 1), ("k", 2), ("k", 3)]


@pytest.mark.parametrize("jump", [-7, 7])
def test_a_jump_of_the_clock_fires_nothing_twice(memory: MemoryBackend, jump: float) -> None:
    scheduler = Scheduler("default", [static(missed="all")])
    run(scheduler, 0.5)
    for minutes in (*range(1, 11), *(at + jump for at in range(10, 16)), *range(16, 31)):
        run(scheduler, minutes)
    assert fired(memory) == [("k", at) for at in range(1, 31)]


# --- Static schedules ---


def test_what_is_removed_from_the_code_is_left_alone_and_then_orphaned(
    memory: MemoryBackend, clock: Callable[[float], None]
) -> None:
    run(Scheduler("default", [static(), static("other")]), 0.5)
    scheduler = Scheduler("default", [static("other")])
    for minutes in range(1, 5):
        run(scheduler, minutes)
        clock(61)
    assert fired(memory) == [("other", n) for n in range(1, 5)]
    assert not one(memory).orphaned
    for minutes in range(5, 8):
        run(scheduler, minutes)
        clock(61)
    assert (one(memory).orphaned, one(memory).due_at) == (True, None)
    assert not one(memory, "other").orphaned


def test_schedules_of_another_deployment_are_never_stopped_while_that_lives(
    memory: MemoryBackend, clock: Callable[[float], None]
) -> None:
    mine, theirs = Scheduler("default", [static("mine")]), Scheduler("default", [static("theirs")])
    for minutes in range(20):
        run(mine, minutes)
        run(theirs, minutes)
        clock(61)
    assert {record.key for record in memory.schedules.listed(10) if not record.orphaned} == {"mine", "theirs"}
    assert fired(memory) == [(key, n) for n in range(1, 20) for key in ("mine", "theirs")]


def test_a_deployment_that_was_away_goes_on_where_it_was(
    memory: MemoryBackend, clock: Callable[[float], None]
) -> None:
    run(Scheduler("default", [static(missed="all")]), 0.5)
    other = Scheduler("default")
    for minutes in range(1, 9):
        run(other, minutes)
        clock(61)
    assert one(memory).orphaned
    run(Scheduler("default", [static(missed="all")]), 10)
    assert fired(memory) == [("k", n) for n in range(1, 11)]


def test_what_comes_back_into_the_code_after_long_begins_anew(
    memory: MemoryBackend, clock: Callable[[float], None]
) -> None:
    run(Scheduler("default", [static()]), 0.5)
    memory.schedules.orphan([("k", one(memory).declared_at)])
    run(Scheduler("default", [static()]), 3 * 24 * 60 + 0.5)
    assert (fired(memory), one(memory).due_at) == ([], after(3 * 24 * 60 + 1))


def test_a_static_schedule_does_not_take_the_key_of_a_dynamic_one(
    memory: MemoryBackend, caplog: pytest.LogCaptureFixture
) -> None:
    add(memory, spec="0 0 * * *")
    run(Scheduler("default", [static()]), 5)
    assert "is dynamic already" in caplog.text
    assert fired(memory) == []


# --- Overlaps ---


@pytest.mark.parametrize(
    ("overlap", "states", "outcomes"),
    [
        ("allow", [State.RUNNING, State.READY], [Fired.ENQUEUED, Fired.ENQUEUED]),
        ("skip", [State.RUNNING], [Fired.ENQUEUED, Fired.OVERLAPPED]),
        ("queue", [State.RUNNING], [Fired.ENQUEUED]),
        ("cancel", [State.RUNNING, State.READY], [Fired.ENQUEUED, Fired.ENQUEUED]),
    ],
)
def test_a_job_that_still_runs_when_the_next_is_due(
    memory: MemoryBackend, overlap: str, states: list[State], outcomes: list[Fired]
) -> None:
    add(memory, overlap=overlap)
    scheduler, worker = Scheduler("default"), register(memory.store)
    run(scheduler, 1)
    running = claim_one(memory.store, worker)
    run(scheduler, 2)
    history = list(reversed(memory.schedules.history(10)))
    assert [fire.outcome for fire in history] == outcomes
    jobs = [fire.job for fire in history if fire.job]
    assert [job.state for id in jobs for job in memory.store.get([id])] == states
    asked = memory.store.get([running.id])[0].reason
    assert asked == ("the schedule k is due again" if overlap == "cancel" else None)
    settle_one(memory.store, worker, Outcome.succeeded(running, "null", 1.0))
    run(scheduler, 2.1)
    run(scheduler, 3)
    # With "queue", the job of minute 2 waits for a worker then, and that of minute 3 for it.
    assert len(memory.schedules.history(10)) == (2 if overlap == "queue" else 3)


# --- Trouble ---


def test_a_schedule_that_cannot_be_read_harms_no_other(
    memory: MemoryBackend, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ("a", "b", "c"):
        add(memory, key)
    stored = memory.make_store().schedules
    newer = stored["b"].schedule
    object.__setattr__(newer, "rule", '{"spec": "@whenever", "timezone": "UTC"}')
    scheduler = Scheduler("default")
    assert run(scheduler, 1) == POLL
    assert run(scheduler, 2) == POLL
    assert fired(memory) == [("a", 1), ("c", 1), ("a", 2), ("c", 2)]
    assert len([line for line in caplog.records if "cannot be fired" in line.message]) == 1


def test_a_schedule_whose_job_the_store_refuses_harms_no_other(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = MemorySchedules.advance

    def refuse(self: MemorySchedules, advances: Any, *, now: Any = None) -> Advanced:
        if any(each.key == "b" for each in advances):
            raise StoreRefused("no")
        return advance(self, advances, now=now)

    monkeypatch.setattr(MemorySchedules, "advance", refuse)
    for key in ("a", "b", "c"):
        add(memory, key)
    run(Scheduler("default"), 1)
    assert fired(memory) == [("a", 1), ("c", 1)]


def test_a_static_schedule_that_the_store_cannot_hold_harms_no_other(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put = MemorySchedules.put

    def refuse(self: MemorySchedules, proposals: Any, *, now: Any = None) -> list[str]:
        if any(each.schedule.key == "b" for each in proposals):
            raise StoreRefused("no")
        return put(self, proposals, now=now)

    monkeypatch.setattr(MemorySchedules, "put", refuse)
    scheduler = Scheduler("default", [static(key) for key in ("a", "b", "c")])
    run(scheduler, 0.5)
    run(scheduler, 1)
    assert fired(memory) == [("a", 1), ("c", 1)]
    assert "b cannot be stored: no" in caplog.text


def test_a_scheduler_that_is_always_too_late_does_not_spin(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(memory)
    monkeypatch.setattr(MemorySchedules, "advance", lambda self, advances, *, now: Advanced(at=now))
    assert Scheduler("default").step(after(1)) == module.LOST > 0


def test_many_schedules_that_are_not_ours_do_not_hide_those_that_are(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    theirs = Scheduler("default", [static(f"theirs{n}") for n in range(10)])
    theirs._declare(memory, after(0.5))
    add(memory, "zzz", jitter=0.001)
    run(Scheduler("default"), 1.01)
    assert fired(memory) == [("zzz", 1)]


def test_old_fires_are_pruned_as_the_retention_says(
    settings: Settings, memory: MemoryBackend, clock: Callable[[float], None]
) -> None:
    settings.TASKS = {"default": {"BACKEND": "dlq.MemoryBackend", "OPTIONS": {"retention": {"fires": 120}}}}
    add(memory)
    scheduler = Scheduler("default")
    for minutes in range(1, 7):
        run(scheduler, minutes)
        clock(61)
    assert fired(memory) == [("k", at) for at in (5, 6)]


def test_schedulers_are_for_each_backend_of_a_runner_that_may_fire(
    memory: MemoryBackend, settings: Settings
) -> None:
    settings.TASKS = {alias: {"BACKEND": "dlq.MemoryBackend"} for alias in ("default", "other")}
    options = {"pools": [], "aliases": ["default", "other"]}
    assert [made.name for made in schedulers_for(RunnerOptions(**options, cron=True))] == [
        "cron-default",
        "cron-other",
    ]
    assert schedulers_for(RunnerOptions(**options)) == []


def test_a_fire_is_logged_with_its_schedule(memory: MemoryBackend, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dlq.cron")
    add(memory)
    run(Scheduler("default"), 1)
    assert "The schedule k, due at 2026-06-01 12:01:00+00:00, enqueued" in caplog.text
