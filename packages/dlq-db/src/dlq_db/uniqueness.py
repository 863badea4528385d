"""What becomes of new jobs whose unique mark another job has, on every database alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import NewJob
from dlq.states import State, Waits
from dlq.unique import OnDuplicate, duplicate_reason, mark_of, unique_to_json
from dlq_db.chunks import chunks
from dlq_db.lines import first_state
from dlq_db.models import Job, Live

__all__ = ["duplicates_of", "holders", "reject", "take_over"]


def holders(connection: BaseDatabaseWrapper, backend: str, jobs: Iterable[NewJob]) -> dict[str, UUID]:
    """The marks of these jobs that some job has, and who."""
    lives = Live.objects.using(connection.alias).filter(backend=backend)
    found: dict[str, UUID] = {}
    for chunk in chunks(dict.fromkeys(mark for job in jobs if (mark := mark_of(job.unique)))):
        found |= {mark or "": id for mark, id in lives.filter(mark__in=chunk).values_list("mark", "pk")}
    return found


def duplicates_of(connection: BaseDatabaseWrapper, jobs: Sequence[NewJob]) -> dict[UUID, UUID]:
    """Those of the jobs that were stored as duplicates before, and of which."""
    stored = Job.objects.using(connection.alias)
    found: dict[UUID, UUID] = {}
    for chunk in chunks([job.id for job in jobs if job.unique]):
        rejected = stored.filter(pk__in=chunk, duplicate_of__isnull=False)
        found |= {id: other for id, other in rejected.values_list("pk", "duplicate_of") if other}
    return found


def reject(
    connection: BaseDatabaseWrapper,
    backend: str,
    rejected: Mapping[UUID, UUID],
    jobs: Sequence[NewJob],
    now: datetime,
) -> None:
    """Store those of the jobs that are duplicates, and of which the other is known."""
    Job.objects.using(connection.alias).bulk_create(
        (_rejected(backend, job, rejected[job.id], now) for job in jobs if job.id in rejected),
        ignore_conflicts=True,
    )


def _rejected(backend: str, job: NewJob, other: UUID, now: datetime) -> Job:
    return Job(
        id=job.id,
        backend=backend,
        queue=job.queue,
        task=job.task,
        **_said(job),
        max_interruptions=job.max_interruptions,
        enqueued_at=now,
        unique=unique_to_json(job.unique),
        state=State.CANCELLED,
        reason=duplicate_reason(other),
        finished_at=now,
        duplicate_of=other,
    )


def _said(job: NewJob) -> dict[str, object]:
    return {
        "priority": job.priority,
        "payload": job.payload,
        "overrides": job.overrides,
        "run_after": job.run_after,
        "max_attempts": job.max_attempts,
        "metadata": job.metadata,
    }


def take_over(
    connection: BaseDatabaseWrapper,
    other: UUID,
    job: NewJob,
    put_behind: Callable[[Live], object],
    now: datetime,
) -> None:
    """Have the job that has the mark be what a new one says, if it waits and the new one replaces.

    ``put_behind`` gives it a new place in the queue, should it move. A job that somebody is at is left alone: nobody
    waits for another here.
    """
    if job.unique is None or job.unique.on_duplicate is not OnDuplicate.REPLACE:
        return
    lives = Live.objects.using(connection.alias)
    skip = connection.features.has_select_for_update_skip_locked
    live = lives.filter(pk=other, state__lt=State.RUNNING).select_for_update(skip_locked=skip).first()
    if live is None:
        return
    waits = job.run_after is not None and job.run_after > now
    if live.priority != job.priority or waits or live.state == State.SCHEDULED:
        put_behind(live)
    if live.waits != Waits.TASK and waits:
        live.state, live.waits = State.SCHEDULED, None
    elif live.state == State.SCHEDULED:
        live.state, live.waits = first_state(live.line)
    expires_at = None if job.expires_after is None else now + timedelta(seconds=job.expires_after)
    lives.filter(pk=other).update(
        state=live.state,
        waits=live.waits,
        priority=job.priority,
        due_at=job.run_after if waits else None,
        expires_at=expires_at,
    )
    Job.objects.using(connection.alias).filter(pk=other).update(expires_at=expires_at, **_said(job))
