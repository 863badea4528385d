"""The one file: how it is written to, how full it is, and whether it is whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import DatabaseError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.doctor.findings import Finding, Severity, size

__all__ = [
    "check_integrity",
    "check_journal",
    "check_space",
    "judge_integrity",
    "judge_journal",
    "judge_space",
]

SMALL = 16 * 1024 * 1024
"""Free bytes that are not worth a word."""


def check_journal(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """``PRAGMA journal_mode``."""
    return judge_journal(_pragma(connection, "journal_mode")[0])


def judge_journal(mode: str) -> Iterator[Finding]:
    """A database in memory has a mode of its own."""
    if mode not in ("wal", "memory"):
        yield Finding(
            subject="journal",
            severity=Severity.WARNING,
            seen=f"journal_mode is {mode}, so readers and writers wait for each other",
            remedy="PRAGMA journal_mode=WAL",
        )


def check_space(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """Pages in all, and those that are free."""
    page, pages, free = (
        int(_pragma(connection, name)[0]) for name in ("page_size", "page_count", "freelist_count")
    )
    return judge_space(pages * page, free * page)


def judge_space(total: int, free: int) -> Iterator[Finding]:
    """In bytes."""
    wide = free > max(SMALL, total / 2)
    yield Finding(
        subject="file",
        severity=Severity.WARNING if wide else Severity.NOTE,
        seen=f"the file has {size(total)}, {size(free)} of them free",
        remedy="VACUUM, with all runners stopped, for it locks the file" if wide else None,
        figures={"bytes": total, "free_bytes": free},
    )


def check_integrity(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """``PRAGMA quick_check``, which reads the whole file, unless the damage keeps it from that."""
    try:
        lines = _pragma(connection, "quick_check")
    except OperationalError:
        raise
    except DatabaseError as error:
        lines = [str(error)]
    return judge_integrity(lines)


def judge_integrity(lines: Sequence[str]) -> Iterator[Finding]:
    """One line, ok, or one for each thing that is wrong."""
    if list(lines) != ["ok"]:
        yield Finding(
            subject="integrity",
            severity=Severity.ERROR,
            seen=f"the file is damaged: {'; '.join(lines[:3])}",
            remedy="Stop everything that uses it, and restore a backup; or: sqlite3 FILE .recover | sqlite3 NEW",
            figures={"problems": len(lines)},
        )


def _pragma(connection: BaseDatabaseWrapper, name: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {name}")
        return [row[0] for row in cursor.fetchall()]
