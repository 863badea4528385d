"""Indexes that a ``CONCURRENTLY`` has left half made: they cost every write and serve no search."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.doctor.findings import Finding, Severity
from dlq_db.doctor.postgresql.reading import Row, our_tables, read

__all__ = ["check", "judge"]

INVALID = """
    SELECT i.indexrelid::regclass::text AS name
    FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
    WHERE t.oid = ANY (SELECT to_regclass(name) FROM unnest(%s::text[]) name) AND NOT (i.indisvalid AND i.indisready)
    ORDER BY 1
"""


def check(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """Of our tables."""
    return judge(read(connection, INVALID, our_tables()))


def judge(rows: Iterable[Row]) -> Iterator[Finding]:
    """Each is one too many."""
    for row in rows:
        yield Finding(
            subject="indexes",
            severity=Severity.ERROR,
            seen=f"{row['name']} is invalid",
            remedy=f"REINDEX INDEX CONCURRENTLY {row['name']}",
        )
