"""How many jobs of each queue are in each state, counted no further than a limit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
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
    for state, queue, count in _by_state(connection, backend, queues, limit):
        found[queue][State(state)] = count
        totals[State(state)] += count
    at_least = frozenset(state for state, total in totals.items() if total > limit)
    if State.READY in at_least:
        named = [queue for queue in ready if queues is None or queue in queues]
        for queue, count in _ready(connection, backend, named, limit):
            found[queue][State.READY] = count
    return found, at_least


def _by_state(
    connection: BaseDatabaseWrapper, backend: str, queues: Collection[str] | None, limit: int
) -> list[tuple[int, str, int]]:
    if queues is not None and not queues:
        return []
    named = [] if queues is None else list(queues)
    chosen = f" AND queue IN ({', '.join(['%s'] * len(named))})" if named else ""
    parts, values = list[str](), list[Any]()
    for state in State:
        table = "dlq_job" if state in FINISHED else "dlq_live"
        parts.append(
            f"SELECT {state:d}, queue, count(*) FROM (SELECT queue FROM {table} "
            f"WHERE backend = %s AND state = {state:d}{chosen} LIMIT {limit + 1:d}) AS part GROUP BY queue"
        )
        values += [backend, *named]
    return _read(connection, " UNION ALL ".join(parts), values)


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
