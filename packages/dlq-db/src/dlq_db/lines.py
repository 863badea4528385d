"""The lines in which jobs wait for a slot, and what they are when their time has come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import NewJob, Outcome
from dlq.limits import line_of, slot_of
from dlq.states import State, Waits
from dlq_db.dialects import statement_for

__all__ = ["END", "first_state", "held_slots", "line_for", "released", "waiting_lines"]

END = "g"
"""Comes after every hexadecimal digit: a mark and this end the lines that begin with the mark."""


def line_for(backend: str, job: NewJob) -> str | None:
    """The line of a new job; None without limits."""
    return None if job.limits is None else line_of(backend, job.queue, job.limits)


def first_state(line: str | None) -> tuple[State, Waits | None]:
    """What a job becomes whose time has come: ready, or blocked until it is admitted."""
    return (State.READY, None) if line is None else (State.BLOCKED, Waits.LIMIT)


def released(outcomes: Iterable[Outcome]) -> list[str]:
    """The marks of the keys of which these outcomes may give slots back, sorted."""
    return sorted({slot_of(outcome.line) for outcome in outcomes if outcome.line is not None})


def waiting_lines(connection: BaseDatabaseWrapper, first: str, end: str, limit: int) -> list[str]:
    """Up to ``limit`` lines from this range in which jobs wait, sorted."""
    return _column(connection, statement_for(connection, "lines.sql"), [first, end, end, limit])


HELD = "SELECT count(*) FROM dlq_live WHERE line IS NOT NULL AND state >= 3 AND line >= %s AND line < %s"


def held_slots(connection: BaseDatabaseWrapper, mark: str) -> int:
    """How many slots of a key are held."""
    (held,) = _column(connection, HELD, [mark, mark + END])
    return int(held)


def _column(connection: BaseDatabaseWrapper, sql: str, arguments: Sequence[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return [value for (value,) in cursor.fetchall()]
