"""How SQLite is written to: one writer at a time, who has the lock before it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.models import Job

__all__ = ["immediate", "key", "reserve", "write_many"]


@contextmanager
def immediate(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """A transaction that takes the write lock at its start, or the caller's, if there is one.

    A deferred one that reads before it writes fails at once, without waiting, when another has written.
    """
    connection.ensure_connection()
    mode = connection.transaction_mode  # type: ignore[attr-defined]
    connection.transaction_mode = "IMMEDIATE"  # type: ignore[attr-defined]
    try:
        with transaction.atomic(using=connection.alias, savepoint=False):
            yield
    finally:
        connection.transaction_mode = mode  # type: ignore[attr-defined]


def reserve(connection: BaseDatabaseWrapper, count: int) -> range:
    """So many numbers that follow each other and that nobody else gets."""
    if not count:
        return range(0)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE dlq_seq SET value = value + %s RETURNING value", [count])
        last: int = cursor.fetchone()[0]
    return range(last - count + 1, last + 1)


def write_many(connection: BaseDatabaseWrapper, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """One statement for each of the rows of its arguments."""
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(sql, rows)


def key(connection: BaseDatabaseWrapper, id: UUID) -> Any:
    """An id as it is stored."""
    return Job._meta.pk.get_db_prep_value(id, connection)
