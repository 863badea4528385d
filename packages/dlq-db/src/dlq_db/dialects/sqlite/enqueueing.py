"""``Store.enqueue`` on SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import NewJob
from dlq.limits import limits_to_json
from dlq.states import State
from dlq.unique import mark_of, unique_to_json
from dlq_db.chunks import chunks
from dlq_db.dialects.sqlite.writing import key, reserve, write_many
from dlq_db.lines import first_state, line_for
from dlq_db.models import Job, Live
from dlq_db.tallying import Sums, add, count
from dlq_db.uniqueness import duplicates_of, holders, reject, take_over

__all__ = ["enqueue"]

JOB = """
    INSERT INTO dlq_job (
        id, backend, queue, task, priority, payload, overrides, metadata, run_after, max_attempts, max_interruptions,
        enqueued_at, expires_at, limits, "unique", attempts, interruptions
    ) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 0, 0)
"""
LIVE = """
    INSERT INTO dlq_live (
        id, backend, queue, priority, state, waits, seq, due_at, expires_at, line, mark, token, settled, attempts,
        interruptions
    ) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 0, 0, 0, 0)
"""
PLACE = "UPDATE dlq_live SET seq = %s WHERE id = %s"


def enqueue(
    connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime
) -> dict[UUID, UUID]:
    """Write two rows for each job whose id is new; returns which are duplicates, and of which. In a transaction."""
    # The write comes first: SQLite lets nobody wait who has read, in a caller's transaction too.
    places = reserve(connection, len(jobs))
    new = _unknown(connection, jobs)
    if not any(job.unique for job in jobs):
        _store(connection, backend, places, new, now)
        return {}
    taken, rejected = holders(connection, backend, new), dict[UUID, UUID]()
    for job in new:
        if (mark := mark_of(job.unique)) and (other := taken.setdefault(mark, job.id)) != job.id:
            rejected[job.id] = other
    _store(connection, backend, places, [job for job in new if job.id not in rejected], now)
    for job in new:
        if job.id in rejected:
            take_over(connection, rejected[job.id], job, partial(_put_behind, connection), now)
    reject(connection, backend, rejected, new, now)
    return duplicates_of(connection, jobs)


def _put_behind(connection: BaseDatabaseWrapper, live: Live) -> None:
    write_many(connection, PLACE, [(reserve(connection, 1)[0], key(connection, live.pk))])


def _store(
    connection: BaseDatabaseWrapper, backend: str, places: Sequence[int], new: Sequence[NewJob], now: datetime
) -> None:
    at = connection.ops.adapt_datetimefield_value
    job_rows, live_rows = [], []
    sums: Sums[tuple[str, str]] = {}
    for place, job in zip(places, new, strict=False):
        id, run_after, expires_at = key(connection, job.id), at(job.run_after), at(_expiry(job, now))
        waits = job.run_after is not None and job.run_after > now
        job_rows.append(
            (
                *(id, backend, job.queue, job.task, job.priority, job.payload, job.overrides, job.metadata),
                *(run_after, job.max_attempts, job.max_interruptions, at(now), expires_at),
                *(limits_to_json(job.limits), unique_to_json(job.unique)),
            )
        )
        line = line_for(backend, job)
        state, waits_for = (State.SCHEDULED, None) if waits else first_state(line)
        due_at = run_after if waits else None
        live_rows.append(
            (
                *(id, backend, job.queue, job.priority, int(state), waits_for, place, due_at, expires_at),
                *(line, mark_of(job.unique)),
            )
        )
        add(sums, (job.queue, job.task), {"enqueued": 1})
    write_many(connection, JOB, job_rows)
    write_many(connection, LIVE, live_rows)
    count(connection, backend, sums, now)


def _unknown(connection: BaseDatabaseWrapper, jobs: Sequence[NewJob]) -> list[NewJob]:
    """Those that are not stored, each once."""
    first: dict[UUID, NewJob] = {}
    for job in jobs:
        first.setdefault(job.id, job)
    for chunk in chunks(first):
        for id in Job.objects.using(connection.alias).filter(pk__in=chunk).values_list("pk", flat=True):
            del first[id]
    return list(first.values())


def _expiry(job: NewJob, now: datetime) -> datetime | None:
    return None if job.expires_after is None else now + timedelta(seconds=job.expires_after)
