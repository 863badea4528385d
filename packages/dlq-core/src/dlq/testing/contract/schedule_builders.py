"""What tests of schedules are made of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from dlq.job import NewJob
from dlq.store.base import Store
from dlq.store.schedules import Advance, Fire, Fired, Proposal, Schedule, ScheduleRecord, Schedules
from dlq.testing.contract.builders import NOON, after, new_job

__all__ = [
    "EVERYTHING",
    "MakeSchedules",
    "advance",
    "due_keys",
    "fire",
    "job_of",
    "put",
    "schedule",
]

type MakeSchedules = Callable[[Store], Schedules]

EVERYTHING: dict[str, Any] = {
    "queue": "reports",
    "payload": '[[1,"\\u00e9 \\u2603"],{"big":12345678901234567890}]',
    "priority": -7,
    "max_attempts": 4,
    "max_interruptions": 3,
    "overrides": '{"timeout": 2.5}',
    "expires_after": 30.5,
    "metadata": '{"tenant": "é"}',
    "words": "at 03:00",
    "description": "Every night.",
}


def schedule(key: str = "nightly", **fields: Any) -> Schedule:
    """A schedule that differs from a plain one in these fields."""
    plain: dict[str, Any] = {
        "task": "shop.tasks.send",
        "queue": "default",
        "payload": "[[],{}]",
        "rule": "r1",
    }
    return Schedule(key=key, **(plain | fields))


def put(
    schedules: Schedules, *some: Schedule, due: float | None = 10, now: datetime = NOON
) -> list[ScheduleRecord]:
    """Put schedules that are all due so many seconds after noon, and read them."""
    due_at = None if due is None else after(due)
    refused = schedules.put([Proposal(schedule=s, due_at=due_at, look_at=due_at) for s in some], now=now)
    assert refused == []
    found = {r.key: r for r in schedules.get([s.key for s in some])}
    return [found[s.key] for s in some]


def due_keys(schedules: Schedules, at: float) -> list[str]:
    """The schedules that are to be looked at so many seconds after noon."""
    return [r.key for r in schedules.due(100, now=after(at)).schedules]


def fire(at: float, **fields: Any) -> Fire:
    """A job for the due time so many seconds after noon."""
    return Fire(due_at=after(at), outcome=Fired.ENQUEUED, job=new_job(**fields))


def advance(found: ScheduleRecord, *fires: Fire, to: float | None = 70) -> Advance:
    """Fire, and be due again so many seconds after noon."""
    at = None if to is None else after(to)
    return Advance(key=found.key, revision=found.revision, due_at=at, look_at=at, fires=fires)


def job_of(fired: Fire) -> NewJob:
    """The job that a fire is to enqueue."""
    assert fired.job is not None
    return fired.job
