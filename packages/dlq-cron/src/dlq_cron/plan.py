"""What is to happen to a schedule that is due: pure, so that every scheduler comes to the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from dlq.ids import new_job_id
from dlq.job import NewJob
from dlq.overrides import with_origin
from dlq.store.schedules import Advance, Fire, Fired, Schedule, ScheduleRecord
from dlq_cron.rule import Missed, Overlap, Rule

__all__ = ["LATE", "WAIT", "Plan", "job_of", "plan"]

LATE = 10.0
"""Seconds after which a due time counts as missed: a scheduler that is there comes earlier."""
WAIT = 1.0
"""Seconds until a schedule is looked at again that waits for its last job to end."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be asked of the store."""

    advance: Advance
    cancel: UUID | None = None
    """The job that is to be cancelled before."""


def plan(record: ScheduleRecord, rule: Rule, now: datetime, *, is_busy: bool) -> Plan:
    """What becomes of the due times of a schedule until now. ``is_busy`` is whether its last job has not ended."""
    assert record.due_at is not None
    waits = rule.overlap is Overlap.QUEUE
    if waits and is_busy:
        return Plan(_moved(record, record.due_at, now + timedelta(seconds=WAIT)))
    times, more = _due_times(record, rule, now)
    chosen = _chosen(times, rule, now)
    fires = _passed_over(record.due_at if more else None, times, chosen, rule)
    if rule.repeat is not None:
        chosen = chosen[: max(0, rule.repeat - record.fires)]
    if waits:
        chosen = chosen[:1]
    wanted = _overlapping(chosen, rule, is_busy=is_busy)
    fires += [_fire(record.schedule, at, outcome) for at, outcome in wanted]
    fires.sort(key=lambda fire: fire.due_at)
    enqueued = sum(outcome is Fired.ENQUEUED for _, outcome in wanted)
    next_at = rule.next(chosen[-1] if waits and chosen else times[-1])
    if rule.repeat is not None and record.fires + enqueued >= rule.repeat:
        next_at = None
    look_at = None if next_at is None else rule.put_off(record.key, next_at)
    cancel = record.last_job if rule.overlap is Overlap.CANCEL and is_busy and enqueued else None
    return Plan(_moved(record, next_at, look_at, fires), cancel)


def _due_times(record: ScheduleRecord, rule: Rule, now: datetime) -> tuple[list[datetime], bool]:
    """Those whose time to be enqueued has come, the latest; and whether there are more before them."""
    assert record.due_at is not None
    most = (rule.missed_limit if rule.missed is Missed.ALL else 1) + int(LATE) + 1
    times, more = rule.latest(record.due_at, now, most)
    while len(times) > 1 and rule.put_off(record.key, times[-1]) > now:
        times.pop()
    return times, more


def _chosen(times: list[datetime], rule: Rule, now: datetime) -> list[datetime]:
    """Those that the policy for missed due times lets through."""
    on_time = [at for at in times if (now - at).total_seconds() <= LATE + rule.jitter]
    missed = times[: len(times) - len(on_time)]
    if rule.missed_window is not None:
        missed = [at for at in missed if (now - at).total_seconds() <= rule.missed_window]
    if rule.missed is Missed.ALL:
        return missed[-rule.missed_limit :] + on_time
    # One that waits for the job before it is late through no fault of a scheduler.
    makes_up = rule.missed is Missed.LAST or rule.overlap is Overlap.QUEUE
    return on_time or (missed[-1:] if makes_up else [])


def _passed_over(
    first: datetime | None, times: list[datetime], chosen: list[datetime], rule: Rule
) -> list[Fire]:
    """One record for all the due times that are let go; ``first`` is the first of those that are not listed."""
    if rule.overlap is Overlap.QUEUE and chosen:
        times = [at for at in times if at < chosen[0]]  # The others still wait.
    left = [at for at in times if at not in chosen]
    if first is None and not left:
        return []
    reason = "nobody was there in time"
    if first is not None or len(left) > 1:
        number = f"{len(left)}" if first is None else f"more than {len(left)}"
        reason = f"{number} due times until {(left or times)[-1]}: {reason}"
    return [Fire(due_at=first or left[0], outcome=Fired.MISSED, reason=reason)]


def _overlapping(chosen: list[datetime], rule: Rule, *, is_busy: bool) -> list[tuple[datetime, Fired]]:
    """What the policy for overlaps makes of them: a job that is enqueued now has not ended for the next of them."""
    match rule.overlap:
        case Overlap.SKIP:
            runs = [] if is_busy else chosen[:1]
        case Overlap.CANCEL:
            runs = chosen[-1:]
        case _:
            runs = chosen
    return [(at, Fired.ENQUEUED if at in runs else Fired.OVERLAPPED) for at in chosen]


def _fire(schedule: Schedule, due_at: datetime, outcome: Fired) -> Fire:
    if outcome is Fired.ENQUEUED:
        return Fire(due_at=due_at, outcome=outcome, job=job_of(schedule, due_at))
    return Fire(due_at=due_at, outcome=outcome, reason="the job before had not ended")


def _moved(
    record: ScheduleRecord, due_at: datetime | None, look_at: datetime | None, fires: list[Fire] | None = None
) -> Advance:
    return Advance(
        key=record.key, revision=record.revision, due_at=due_at, look_at=look_at, fires=fires or ()
    )


def job_of(schedule: Schedule, due_at: datetime) -> NewJob:
    """The job of a due time, which its task can ask for: see ``JobContext.due_at``."""
    return NewJob(
        id=new_job_id(),
        task=schedule.task,
        queue=schedule.queue,
        payload=schedule.payload,
        priority=schedule.priority,
        max_attempts=schedule.max_attempts,
        max_interruptions=schedule.max_interruptions,
        overrides=with_origin(schedule.overrides, schedule.key, due_at),
        expires_after=schedule.expires_after,
        metadata=schedule.metadata,
        limits=schedule.limits,
    )
