"""``Store.enqueue`` on MySQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import Enqueued, NewJob
from dlq.limits import limits_to_json
from dlq.states import State
from dlq.unique import mark_of, unique_to_json
from dlq_db.dialects.mysql.circumstances import COLUMNS, Circumstances
from dlq_db.dialects.mysql.writing import insert, key, packed, put_behind, size, utc
from dlq_db.lines import first_state, line_for
from dlq_db.models import Job, Live
from dlq_db.tallying import Sums, add, count
from dlq_db.uniqueness import duplicates_of, holders, reject, take_over

__all__ = ["enqueue"]

ROWS = """
    dlq_job (
        id, backend, queue, task, priority, payload, overrides, metadata, run_after, max_attempts, max_interruptions,
        enqueued_at, expires_at, limits, `unique`, attempts, interruptions
    )
"""
# The column seq counts by itself.
LIVES = """
    dlq_live (
        id, backend, queue, priority, state, waits, due_at, expires_at, line, mark, token, settled, attempts,
        interruptions
    )
"""
KNOWN = f"""
    SELECT {COLUMNS}, j.id
    FROM (SELECT 1 AS one) always LEFT JOIN dlq_job j FORCE INDEX (PRIMARY) ON j.id IN ({{}})
"""
TRIES = 5


def enqueue(
    connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime | None
) -> Enqueued:
    """Write two rows for each job whose id is new and that is no duplicate. To be called in a transaction."""
    first: dict[UUID, NewJob] = {}
    for job in jobs:
        first.setdefault(job.id, job)
    for part in packed(first.values(), _size) if first else [[]]:
        now = _store(connection, backend, part, now)
    assert now is not None
    is_unique = any(job.unique for job in first.values())
    return Enqueued(at=now, duplicates=duplicates_of(connection, [*first.values()]) if is_unique else {})


def _size(job: NewJob) -> int:
    return size(job.payload, job.overrides, job.metadata, job.task, job.queue)


def _store(
    connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime | None
) -> datetime:
    """Four statements. Somebody else may store the same id in between, and is waited for then."""
    for attempt in range(TRIES):
        server, known = _known(connection, jobs, now, for_certain=attempt > 0)
        new = [job for job in jobs if key(connection, job.id) not in known]
        for job in new:
            server.must_take(_size(job))
        rejected = _duplicates(connection, backend, new)
        try:
            _insert(connection, backend, [job for job in new if job.id not in rejected], server.now)
        except IntegrityError:
            if attempt == TRIES - 1:
                raise
            continue
        for job in new:
            if job.id in rejected:
                take_over(connection, rejected[job.id], job, partial(_put_behind, connection), server.now)
        reject(connection, backend, rejected, new, server.now)
        return server.now
    raise AssertionError("not reached")


def _insert(connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime) -> None:
    """Raises IntegrityError when somebody else has stored one of them, or has its mark; then none is stored."""
    if not jobs:
        return
    insert(connection, ROWS, [_row(connection, backend, job, now) for job in jobs])
    try:
        insert(connection, LIVES, [_live(connection, backend, job, now) for job in jobs])
    except IntegrityError:
        stored = Job.objects.using(connection.alias).filter(pk__in=[job.id for job in jobs])
        stored._raw_delete(connection.alias)
        raise
    _count(connection, backend, jobs, now)


def _duplicates(connection: BaseDatabaseWrapper, backend: str, new: Sequence[NewJob]) -> dict[UUID, UUID]:
    """Those of new jobs whose mark another has, be it one of these, and who."""
    taken, found = holders(connection, backend, new), dict[UUID, UUID]()
    for job in new:
        if (mark := mark_of(job.unique)) and (other := taken.setdefault(mark, job.id)) != job.id:
            found[job.id] = other
    return found


def _put_behind(connection: BaseDatabaseWrapper, live: Live) -> None:
    put_behind(connection, [live])


def _count(connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime) -> None:
    sums: Sums[tuple[str, str]] = {}
    for job in jobs:
        add(sums, (job.queue, job.task), {"enqueued": 1})
    count(connection, backend, sums, now)


def _known(
    connection: BaseDatabaseWrapper, jobs: Sequence[NewJob], now: datetime | None, *, for_certain: bool
) -> tuple[Circumstances, set[str]]:
    """Which of the ids are stored. ``for_certain``, also by transactions that the caller's does not see."""
    ids = [key(connection, job.id) for job in jobs]
    sql = KNOWN.format(", ".join(["%s"] * len(ids)) or "NULL")
    with connection.cursor() as cursor:
        cursor.execute(sql + " LOCK IN SHARE MODE" if for_certain else sql, ids)
        rows = cursor.fetchall()
    return Circumstances.of(rows[0], now), {row[3] for row in rows}


def _row(connection: BaseDatabaseWrapper, backend: str, job: NewJob, now: datetime) -> tuple[Any, ...]:
    return (
        *(key(connection, job.id), backend, job.queue, job.task, job.priority),
        *(job.payload, job.overrides, job.metadata, utc(job.run_after)),
        *(job.max_attempts, job.max_interruptions, utc(now), utc(_expiry(job, now))),
        *(limits_to_json(job.limits), unique_to_json(job.unique), 0, 0),
    )


def _live(connection: BaseDatabaseWrapper, backend: str, job: NewJob, now: datetime) -> tuple[Any, ...]:
    waits = job.run_after is not None and job.run_after > now
    due_at, line = job.run_after if waits else None, line_for(backend, job)
    state, waits_for = (State.SCHEDULED, None) if waits else first_state(line)
    return (
        *(key(connection, job.id), backend, job.queue, job.priority, int(state), waits_for),
        *(utc(due_at), utc(_expiry(job, now)), line, mark_of(job.unique), 0, 0, 0, 0),
    )


def _expiry(job: NewJob, now: datetime) -> datetime | None:
    return None if job.expires_after is None else now + timedelta(seconds=job.expires_after)
