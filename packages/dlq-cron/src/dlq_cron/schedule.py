"""What code does with schedules: ``schedule()`` and its like, for those that are made while a site runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.tasks.base import Task as DjangoTask

from dlq.backend import queue_backend
from dlq.result import TaskResult
from dlq.store.schedules import Advance, Fire, Fired, ScheduleRecord
from dlq_cron.definition import define, make_rule, proposal_of
from dlq_cron.errors import ScheduleConflict, ScheduleError, SpecError
from dlq_cron.expression import Expression
from dlq_cron.plan import job_of
from dlq_cron.rule import read_rule
from dlq_cron.words import explain_rule

__all__ = [
    "disable",
    "enable",
    "explain",
    "next_times",
    "preview",
    "run_now",
    "schedule",
    "scheduled",
    "unschedule",
]


def schedule(
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
) -> ScheduleRecord:
    """Have a task enqueued again and again, or change the schedule that has this key; it is stored at once.

    ``spec`` is cron text, an expression, or the text of one. The first due time comes after now, also when the spec
    is changed: nothing from the past fires. ``rule`` are ``timezone`` (a name of the tz database; ``TIME_ZONE``),
    ``start``, ``end`` (aware datetimes), ``repeat`` (how often at most), ``jitter`` (seconds), ``missed`` (``skip``,
    ``last`` or ``all``), ``missed_limit``, ``missed_window`` (seconds), and ``overlap`` (``allow``, ``skip``, ``queue``
    or ``cancel``).

    Raises SpecError for a spec that cannot be read or is never due, ScheduleError for other wrong options,
    ScheduleConflict when the key is that of a static schedule, and what ``Task.enqueue`` raises.
    """
    wanted = define(
        key,
        task,
        spec,
        args=args,
        kwargs=kwargs,
        queue=queue,
        priority=priority,
        backend=backend,
        description=description,
        **rule,
    )
    owner = queue_backend(wanted.backend)
    now = owner.schedules.clock()
    if wanted.rule.next(now) is None:
        raise SpecError(wanted.rule.spec, "this is never due any more.")
    proposal = proposal_of(wanted, owner, now, static=False, found=None)
    if owner.schedules.put([proposal]):
        raise ScheduleConflict(
            f"The schedule {key!r} stands in the code or settings of a deployment; change it there, or choose "
            f"another key."
        )
    return scheduled(key, backend=wanted.backend)


def unschedule(key: str, *, backend: str = "default") -> int:
    """Forget a schedule; returns the number removed: 0 for one that is not there, or stands in code or settings.

    An orphaned one, which stood there once, is removed too. Jobs that it has enqueued are not touched.
    """
    return len(queue_backend(backend).schedules.remove([key]))


def scheduled(key: str, *, backend: str = "default") -> ScheduleRecord:
    """A schedule as it is stored.

    Raises ScheduleError when there is none.
    """
    found = queue_backend(backend).schedules.get([key])
    if not found:
        raise ScheduleError(f"The backend {backend!r} has no schedule {key!r}.")
    return found[0]


def disable(key: str, *, backend: str = "default") -> bool:
    """Have a schedule fire no more, also after the next deploy, until it is enabled; returns whether it did before.

    Raises ScheduleError when there is none.
    """
    scheduled(key, backend=backend)
    return bool(queue_backend(backend).schedules.disable([key]))


def enable(key: str, *, backend: str = "default") -> bool:
    """Have a disabled schedule fire again, from its next due time on; returns whether it was disabled.

    Raises ScheduleError when there is none.
    """
    found, schedules = scheduled(key, backend=backend), queue_backend(backend).schedules
    rule = read_rule(found.schedule.rule)
    over = rule.repeat is not None and found.fires >= rule.repeat
    due_at = None if over else rule.next(schedules.clock())
    return schedules.enable(key, due_at, None if due_at is None else rule.put_off(key, due_at))


def run_now(key: str, *, backend: str = "default") -> TaskResult[..., Any]:
    """Enqueue the job of a schedule at once, disabled or not, whatever its job before does; its due times stay.

    Raises ScheduleError when there is none, TaskResultDoesNotExist when its task cannot be imported here.
    """
    owner = queue_backend(backend)
    while True:
        found, now = scheduled(key, backend=backend), owner.schedules.clock()
        job = job_of(found.schedule, now)
        fire = Fire(due_at=now, outcome=Fired.BY_HAND, job=job)
        done = owner.schedules.advance(
            [
                Advance(
                    key=key,
                    revision=found.revision,
                    due_at=found.due_at,
                    look_at=found.look_at,
                    fires=[fire],
                )
            ]
        )
        if done.jobs:
            owner.announce([job], done.at)
            return owner.get_result(str(job.id))


def next_times(key: str, count: int = 5, *, backend: str = "default") -> list[datetime]:
    """The next due times of a schedule, in its time zone, at most ``count``; none for one that does not fire.

    Raises ScheduleError when there is none.
    """
    found = scheduled(key, backend=backend)
    rule = read_rule(found.schedule.rule)
    if found.due_at is None or count < 1:
        return []
    if rule.repeat is not None:
        count = min(count, rule.repeat - found.fires)
    times = [found.due_at]
    while len(times) < count and (following := rule.next(times[-1])) is not None:
        times.append(following)
    return [at.astimezone(rule.zone) for at in times[:count]]


def preview(
    spec: str | Expression, count: int = 5, *, after: datetime | None = None, **rule: Any
) -> list[datetime]:
    """When a schedule with this spec would be due, at most ``count`` times, after now or another aware datetime.

    ``rule`` is as for ``schedule``. Raises SpecError, ScheduleError.
    """
    made, times = make_rule(spec, **rule), list[datetime]()
    count = min(count, made.repeat or count)
    for at in made.times(after or datetime.now(UTC)):
        if len(times) == count:
            break
        times.append(at.astimezone(made.zone))
    return times


def explain(spec: str | Expression, **rule: Any) -> str:
    """What a spec means, in words; ``rule`` is as for ``schedule``.

    Raises SpecError, ScheduleError.
    """
    return explain_rule(make_rule(spec, **rule))
