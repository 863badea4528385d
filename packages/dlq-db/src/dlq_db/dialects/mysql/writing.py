"""How rows are written on MySQL: many in one statement, and by primary key only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.models import Live

__all__ = ["insert", "key", "packed", "put_behind", "remove", "size", "update", "utc"]

ROWS = 500
BYTES = 1_000_000
"""At most so much is sent in one statement, unless a single row is larger; servers allow 16 MB or more."""

ESCAPED = "\0\n\r\x1a\"'\\"


def key(connection: BaseDatabaseWrapper, id: UUID) -> str:
    """An id as it is stored: MariaDB 10.7 and later have a type for it."""
    return str(id) if connection.features.has_native_uuid_field else id.hex


def utc(at: datetime | None) -> datetime | None:
    """A time as it is stored."""
    return None if at is None else at.astimezone(UTC).replace(tzinfo=None)


def size(*texts: str | None) -> int:
    """The bytes that a row with these texts takes in a statement, at most."""
    return 1000 + sum(
        len(text.encode(errors="surrogatepass")) + sum(map(text.count, ESCAPED)) for text in texts if text
    )


def packed[T](rows: Iterable[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """The rows in the same order, as many at a time as go into one statement."""
    part: list[T] = []
    total = 0
    for row in rows:
        if part and (len(part) == ROWS or total + size_of(row) > BYTES):
            yield part
            part, total = [], 0
        part.append(row)
        total += size_of(row)
    if part:
        yield part


def insert(connection: BaseDatabaseWrapper, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """One statement. ``into`` is a table with the names of its columns."""
    one = f"({', '.join(['%s'] * len(rows[0]))})"
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {into} VALUES {', '.join([one] * len(rows))}", [*chain(*rows)])


def update(
    connection: BaseDatabaseWrapper, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Write these columns of the rows whose key is the first value of each tuple."""
    assigned = ", ".join(f"old.{name} = new.{name}" for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_joined(table, ('id', *columns), len(rows))} SET {assigned}", [*chain(*rows)]
        )


def remove(connection: BaseDatabaseWrapper, ids: Sequence[UUID]) -> None:
    """Delete live rows."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE old FROM {_joined('dlq_live', ('id',), len(ids))}", [key(connection, id) for id in ids]
        )


def _joined(table: str, columns: Sequence[str], count: int) -> str:
    """A table of ``count`` rows of arguments, and the rows of the other with their keys.

    Where there is only a list of keys, and few rows beside these, the optimizer would rather read the whole table, and
    wait for those that others have locked; not even the name of the index keeps it from that.
    """
    first = ", ".join(f"%s AS {name}" for name in columns)
    other = f" UNION ALL SELECT {', '.join(['%s'] * len(columns))}" * (count - 1)
    return f"(SELECT {first}{other}) new STRAIGHT_JOIN {table} old FORCE INDEX (PRIMARY) ON old.id = new.id"


def put_behind(connection: BaseDatabaseWrapper, lives: Sequence[Live]) -> None:
    """Write live rows anew, so that each gets the next ``seq``, in this order."""
    if not lives:
        return
    remove(connection, [live.pk for live in lives])
    for live in lives:
        live.seq = None  # type: ignore[assignment]  # The column counts by itself.
    Live.objects.using(connection.alias).bulk_create(lives)
