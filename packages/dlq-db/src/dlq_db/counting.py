"""How many jobs of each queue are in each state, counted no further than a limit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.states import FINISHED, State
from dlq_db.chunks import chunks

__all__ = ["counted"]

type Counts = dict[str, dict[State, int]]

AT_A_TIME = 100
"""Queues in one statement: SQLite has a limit of parts."""


def counted(
    connection: BaseDatabaseWrapper,
    backend: str,
    queues: Collection[str] | None,
    limit: int,
    ready: Iterable[str],
) -> tuple[Counts, frozenset[State]]:
    """The counts by queue, and the states of which there may be more.

    Of each state so many rows are read. That would show nothing of a short queue behind a long one, so when too many
    jobs are ready, those of each queue that is known to have ready jobs are counted by themselves.
    """
    found: Counts = defaultdict(dict)
    totals = dict.fromkeys(State, 0)
    for state, queue, count in _by_state(connection, backend, limit):
        found[queue][State(state)] = found[queue].get(State(state), 0) + count
        totals[State(state)] += count
    at_least = frozenset(state for state, total in totals.items() if total > limit)
    if State.READY in at_least:
        named = [queue for queue in ready if queues is None or queue in queues]
        for queue, count in _ready(connection, backend, named, limit):
            found[queue][State.READY] = count
    return found, at_least


def _by_state(connection: BaseDatabaseWrapper, backend: str, limit: int) -> list[tuple[int, str, int]]:
    """Of all queues: to look for one among rows without end is what the limit is to prevent."""
    parts = [
        f"SELECT {state:d}, queue, count(*) FROM (SELECT queue FROM {rows} LIMIT {limit + 1:d}) AS part GROUP BY queue"
        for state, rows in _lines()
    ]
    return _read(connection, " UNION ALL ".join(parts), [backend] * len(parts))


def _lines() -> Iterator[tuple[State, str]]:
    """Where the jobs of each state are, each said so that an index of its own fits."""
    for state in State:
        if state not in FINISHED:
            yield state, f"dlq_live WHERE backend = %s AND state = {state:d}"
            continue
        ended = f"dlq_job WHERE backend = %s AND state = {state:d} AND keep_until IS"
        yield state, f"{ended} NULL ORDER BY finished_at DESC"
        yield state, f"{ended} NOT NULL ORDER BY keep_until DESC"


def _ready(
    connection: BaseDatabaseWrapper, backend: str, queues: Sequence[str], limit: int
) -> Iterable[tuple[str, int]]:
    part = (
        f"SELECT %s, count(*) FROM (SELECT 1 AS one FROM dlq_live WHERE backend = %s AND state = {State.READY:d} "
        f"AND queue = %s LIMIT {limit + 1:d}) AS part"
    )
    for some in chunks(queues, AT_A_TIME):
        values = [value for queue in some for value in (queue, backend, queue)]
        yield from _read(connection, " UNION ALL ".join([part] * len(some)), values)


def _read(connection: BaseDatabaseWrapper, sql: str, values: Sequence[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[Any] = cursor.fetchall()
        return rows
