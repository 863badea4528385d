"""``Store.enqueue`` on PostgreSQL, through Django's own cursor: the caller may be in a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import Enqueued, NewJob
from dlq.unique import mark_of
from dlq_db.dialects import statement
from dlq_db.dialects.postgresql.arguments import job_columns, unique_columns
from dlq_db.models import Live
from dlq_db.uniqueness import duplicates_of, holders, reject, take_over

__all__ = ["enqueue", "enqueue_unique"]


def enqueue(
    connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime | None
) -> Enqueued:
    """Jobs of which there may be any number: one statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            statement("postgresql/enqueue.sql"),
            {"backend": backend, "now": now, **job_columns(backend, jobs)},
        )
        return Enqueued(at=cursor.fetchone()[0])


def enqueue_unique(
    connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime | None
) -> Enqueued:
    """Jobs some of which are unique: one statement, and a few more when others have their marks."""
    with transaction.atomic(using=connection.alias):
        at, lost, known = _store(connection, backend, jobs, now)
        found = lost or known
        while lost and (free := _reject(connection, backend, lost, at)):
            _, lost, _ = _store(connection, backend, free, at)
        return Enqueued(at=at, duplicates=duplicates_of(connection, jobs) if found else {})


def _store(
    connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime | None
) -> tuple[datetime, list[NewJob], bool]:
    """Store what can be; returns when that was, what could not, and whether some were stored already."""
    arguments = {"backend": backend, "now": now, **job_columns(backend, jobs), **unique_columns(jobs)}
    with connection.cursor() as cursor:
        cursor.execute(statement("postgresql/enqueue_unique.sql"), arguments)
        at, lost, known, _ = cursor.fetchone()
    return at, [job for job in jobs if job.id in lost], known


def _reject(
    connection: BaseDatabaseWrapper, backend: str, lost: Sequence[NewJob], now: datetime
) -> list[NewJob]:
    """Store duplicates as such; returns the jobs whose mark is free again."""
    taken, rejected = holders(connection, backend, lost), dict[UUID, UUID]()
    # One without a mark, or with its own, was stored by the same call of somebody who got no answer.
    unique = [job for job in lost if (mark := mark_of(job.unique)) and taken.get(mark) != job.id]
    for job in unique:
        if (other := taken.get(mark_of(job.unique) or "")) is not None:
            rejected[job.id] = other
            take_over(connection, other, job, partial(_put_behind, connection), now)
    reject(connection, backend, rejected, unique, now)
    return [job for job in unique if job.id not in rejected]


def _put_behind(connection: BaseDatabaseWrapper, live: Live) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE dlq_live SET seq = nextval('dlq_seq') WHERE id = %s", [live.pk])
