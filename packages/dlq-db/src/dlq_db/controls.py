"""What a person asks for: to cancel jobs, and to have them run again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import Cancelled, Edit
from dlq.limits import limits_from_json, line_of
from dlq.states import State
from dlq.unique import mark_of, unique_from_json
from dlq_db.chunks import chunks
from dlq_db.endings import end
from dlq_db.lines import first_state
from dlq_db.models import Job, Live
from dlq_db.tallying import count_jobs

__all__ = ["cancel", "lock", "retry"]


def cancel(
    connection: BaseDatabaseWrapper,
    backend: str,
    ids: Sequence[UUID],
    reason: str,
    states: Collection[State],
    now: datetime,
) -> Cancelled:
    """See ``Store.cancel``. To be called in a transaction."""
    using = connection.alias
    found = {id: state for id, state in lock(connection, backend, ids).items() if state in states}
    asked = [id for id in ids if found.get(id) is State.RUNNING]
    failed = [id for id in ids if found.get(id) is State.FAILED]
    for chunk in chunks(found):
        Live.objects.using(using).filter(pk__in=chunk).update(cancel=reason)
    for chunk in chunks(failed):
        ended = Job.objects.using(using).filter(pk__in=chunk)
        ended.update(state=State.CANCELLED, reason=reason, finished_at=now)
    count_jobs(connection, backend, failed, "cancelled", now)
    end(connection, backend, found.keys() - {*asked, *failed}, State.CANCELLED, now)
    done = found.keys() - set(asked)
    return Cancelled(done=[id for id in ids if id in done], asked=asked)


def lock(connection: BaseDatabaseWrapper, backend: str, ids: Iterable[UUID]) -> dict[UUID, State]:
    """The states of those of the jobs that exist, none of which can change before the transaction ends.

    Waits for whoever is at one of them. Live rows come before job rows, and each by id: every verb goes that
    way, so nobody waits in a circle.
    """
    using = connection.alias
    found: dict[UUID, State] = {}
    sought = sorted(ids)
    for _ in range(2):
        for chunk in chunks(sought):
            lives = Live.objects.using(using).filter(backend=backend, pk__in=chunk).order_by("pk")
            found |= _states(lives.select_for_update().values_list("pk", "state"))
        ended: dict[UUID, int | None] = {}
        for chunk in chunks([id for id in sought if id not in found]):
            jobs = Job.objects.using(using).filter(backend=backend, pk__in=chunk).order_by("pk")
            ended |= dict(jobs.select_for_update().values_list("pk", "state"))
        found |= _states((id, state) for id, state in ended.items() if state is not None)
        # It had ended at the first look, and was made to live again before the second.
        sought = [id for id, state in ended.items() if state is None]
    return found


def _states(rows: Iterable[tuple[UUID, int]]) -> dict[UUID, State]:
    return {id: State(state) for id, state in rows}


def retry(
    connection: BaseDatabaseWrapper,
    backend: str,
    ids: Sequence[UUID],
    places: Sequence[int | None],
    edits: Mapping[UUID, Edit],
) -> list[UUID]:
    """See ``Store.retry``; ``places`` has a ``seq`` for each id. To be called in a transaction."""
    using = connection.alias
    ended: dict[UUID, Job] = {}
    for chunk in chunks(sorted(ids)):
        jobs = Job.objects.using(using).filter(backend=backend, pk__in=chunk, state__in=RETRIABLE)
        jobs = jobs.order_by("pk").select_for_update().only(*KEPT)
        ended |= {job.pk: job for job in jobs}
    lives = {
        id: _live(backend, ended[id], place)
        for id, place in zip((id for id in ids if id in ended), places, strict=False)
    }
    Live.objects.using(using).bulk_create(live for live in lives.values() if live.mark is None)
    revived = [id for id, live in lives.items() if live.mark is None or _took_its_mark(using, live)]
    for chunk in chunks(revived):
        Job.objects.using(using).filter(pk__in=chunk).update(**AS_NEW)
    for id in edits.keys() & set(revived):
        edit = edits[id]
        Job.objects.using(using).filter(pk=id).update(payload=edit.payload, overrides=edit.overrides)
    return revived


def _took_its_mark(using: str, live: Live) -> bool:
    """Store the live row of a unique job, unless another has its mark by now."""
    try:
        with transaction.atomic(using=using):
            Live.objects.using(using).bulk_create([live])
    except IntegrityError:
        return False
    return True


RETRIABLE = (State.FAILED, State.CANCELLED)
KEPT = ("queue", "priority", "worker", "token", "settled", "settled_by", "limits", "unique")
AS_NEW = dict.fromkeys(
    [
        *("state", "result", "reason", "started_at", "finished_at", "keep_until", "expires_at"),
        *("worker", "token", "settled", "settled_by", "duplicate_of"),
    ]
) | {"attempts": 0, "interruptions": 0}


def _live(backend: str, job: Job, place: int | None) -> Live:
    token = job.token or 0
    limits = limits_from_json(job.limits)
    line = None if limits is None else line_of(backend, job.queue, limits)
    state, waits = first_state(line)
    return Live(
        job_id=job.pk,
        backend=backend,
        queue=job.queue,
        priority=job.priority,
        state=state,
        waits=waits,
        line=line,
        seq=place,  # type: ignore[misc]  # MySQL's column counts by itself.
        mark=mark_of(unique_from_json(job.unique)),
        token=token,
        settled=token if job.settled is None else job.settled,
        settled_by=job.settled_by or job.worker,
    )
