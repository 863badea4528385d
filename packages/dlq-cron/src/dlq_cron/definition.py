"""``Definition``: a schedule as code or settings give it, checked; and how it becomes one that a store carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from django.tasks.base import Task as DjangoTask
from django.utils.timezone import get_default_timezone_name

from dlq.backend import QueueBackend
from dlq.errors import UnknownTask
from dlq.result import imported_task
from dlq.store.schedules import Proposal, Schedule, ScheduleRecord
from dlq_cron.errors import ScheduleError, SpecError
from dlq_cron.expression import Expression
from dlq_cron.grammar import parse
from dlq_cron.rule import Missed, Overlap, Rule, zone_of
from dlq_cron.words import explain_rule

__all__ = ["Definition", "define", "make_rule", "proposal_of"]

LONGEST_KEY = 255
"""Characters that every store can hold."""
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
REVIVED_WITHIN = timedelta(days=1)
"""A static schedule that nobody declared for less long than this goes on where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A schedule that may be stored."""

    key: str
    task: DjangoTask[..., Any]
    """With its queue, priority and backend."""
    rule: Rule
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] | None = None
    description: str = ""

    @property
    def backend(self) -> str:
        """The alias of the backend that it belongs to."""
        return self.task.backend


def define(
    key: str,
    task: DjangoTask[..., Any] | str,
    spec: str | Expression,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    queue: str | None = None,
    priority: int | None = None,
    backend: str | None = None,
    description: str = "",
    **rule: Any,
) -> Definition:
    """Check what somebody has given. ``rule`` are the options of ``make_rule``.

    Raises SpecError, ScheduleError; Django's InvalidTask for a wrong queue or priority; TypeError for unknown options.
    """
    _refuse_wrong_kinds(key, args, kwargs, description)
    changes = {"queue_name": queue, "priority": priority, "backend": backend}
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    found = _task(key, task)
    return Definition(
        key=key,
        task=found.using(**given) if given else found,
        rule=make_rule(spec, **rule),
        args=args,
        kwargs=kwargs,
        description=description,
    )


def _refuse_wrong_kinds(key: object, args: object, kwargs: object, description: object) -> None:
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY:
        raise ScheduleError(f"key={key!r} must be text of 1 to {LONGEST_KEY} characters.")
    if not isinstance(args, Sequence) or isinstance(args, str | bytes):
        raise ScheduleError(f"{key}: args={args!r} must be a list or tuple.")
    if not isinstance(kwargs, Mapping | None):
        raise ScheduleError(f"{key}: kwargs={kwargs!r} must be a mapping.")
    if not isinstance(description, str):
        raise ScheduleError(f"{key}: description={description!r} must be text.")


def _task(key: str, task: DjangoTask[..., Any] | str) -> DjangoTask[..., Any]:
    if isinstance(task, DjangoTask):
        return task
    if not isinstance(task, str):
        raise ScheduleError(f"{key}: {task!r} is neither a task nor its dotted path. Declare it with @task.")
    try:
        return imported_task(task)
    except UnknownTask as error:
        raise ScheduleError(f"{key}: {error}") from None


def make_rule(
    spec: str | Expression,
    *,
    timezone: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    repeat: int | None = None,
    jitter: float | timedelta = 0.0,
    missed: str = Missed.LAST,
    missed_limit: int = 100,
    missed_window: float | timedelta | None = None,
    overlap: str = Overlap.ALLOW,
) -> Rule:
    """When something is to fire; ``timezone`` is by default the site's ``TIME_ZONE``. See ``dlq_cron.schedule``.

    Raises SpecError, ScheduleError.
    """
    name = get_default_timezone_name() if timezone is None else timezone
    zone_of(name)
    bounds: dict[str, object] = {"start": start, "end": end}
    for what, moment in bounds.items():
        if moment is not None and (not isinstance(moment, datetime) or moment.utcoffset() is None):
            raise ScheduleError(f"{what}={moment!r} must be a datetime with a time zone.")
    for what, count in (("repeat", repeat), ("missed_limit", missed_limit)):
        if count is not None and (type(count) is not int or count < 1):
            raise ScheduleError(f"{what}={count!r} must be a whole number from 1.")
    rule = Rule(
        spec=spec if isinstance(spec, str) else str(parse(spec)),
        timezone=name,
        start=start and start.astimezone(UTC),
        end=end and end.astimezone(UTC),
        repeat=repeat,
        jitter=_seconds("jitter", jitter),
        missed=_policy(Missed, "missed", missed),
        missed_limit=missed_limit,
        missed_window=None if missed_window is None else _seconds("missed_window", missed_window),
        overlap=_policy(Overlap, "overlap", overlap),
    )
    if rule.next(BEGINNING) is None:
        limits = f" between start={start} and end={end}" if start or end else ""
        raise SpecError(rule.spec, f"this is never due{limits}.")
    return rule


def _seconds(what: str, value: float | timedelta) -> float:
    seconds: object = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:
        raise ScheduleError(f"{what}={value!r} must be a number of seconds from 0, or a timedelta.")
    return float(seconds)


def _policy[P: StrEnum](kind: type[P], what: str, value: str) -> P:
    try:
        return kind(value)
    except ValueError:
        raise ScheduleError(
            f"{what}={value!r} must be one of {', '.join(map(repr, map(str, kind)))}."
        ) from None


def proposal_of(
    definition: Definition,
    backend: QueueBackend,
    now: datetime,
    *,
    static: bool,
    found: ScheduleRecord | None,
) -> Proposal:
    """What to ask of the store of its backend. ``found`` is what the store has under the key.

    Raises EnqueueError for a task or arguments that the backend refuses.
    """
    job = backend.prepare(definition.task, definition.args, definition.kwargs or {})
    schedule = Schedule(
        key=definition.key,
        rule=definition.rule.text,
        task=job.task,
        queue=job.queue,
        payload=job.payload,
        priority=job.priority,
        max_attempts=job.max_attempts,
        max_interruptions=job.max_interruptions,
        overrides=job.overrides,
        expires_after=job.expires_after,
        metadata=job.metadata,
        limits=job.limits,
        words=explain_rule(definition.rule),
        description=definition.description,
        static=static,
    )
    due_at = definition.rule.next(_resumed_at(found, schedule, now))
    look_at = None if due_at is None else definition.rule.put_off(definition.key, due_at)
    return Proposal(schedule=schedule, due_at=due_at, look_at=look_at)


def _resumed_at(found: ScheduleRecord | None, schedule: Schedule, now: datetime) -> datetime:
    """The instant after which due times count: now, so that nothing from the past fires.

    A schedule that was given up for a while goes on where it was: its deployment was only away.
    """
    if found is None or not found.orphaned or found.schedule.rule != schedule.rule:
        return now
    if now - found.declared_at > REVIVED_WITHIN:
        return now
    return found.declared_at if found.last_due_at is None else max(found.last_due_at, found.declared_at)
