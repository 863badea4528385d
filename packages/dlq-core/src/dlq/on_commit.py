"""Enqueues that wait for the commit of an open transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db import connections

from dlq.result import TaskResult

__all__ = ["SendOnCommit", "open_transaction", "waiting_ids", "why_missing"]


class SendOnCommit:
    """Sends jobs when a transaction commits; until then, the one place that knows their ids."""

    def __init__(self, send: Callable[[], object], results: Sequence[TaskResult[..., Any]]) -> None:
        """``send`` sends the jobs of these results."""
        self._send = send
        self.ids = frozenset(result.id for result in results)
        """Of the jobs that have not been sent yet."""

    def __call__(self) -> None:
        """Called by Django after the commit."""
        # Where a test calls it, it stays among the connection's hooks.
        self.ids = frozenset()
        self._send()


def open_transaction(preferred: str | None = None) -> str | None:
    """The database of the open transaction that an enqueue is to wait for; None when no transaction is open.

    It is the preferred one where that has an open transaction, else ``default``, else the first that has one.
    """
    opened = [c.alias for c in connections.all(initialized_only=True) if c.in_atomic_block]
    for alias in (preferred, "default"):
        if alias in opened:
            return alias
    return opened[0] if opened else None


def why_missing(result_id: str) -> str:
    """Why there is no job with this id, in words."""
    for database, waiting in _waiting():
        if result_id in waiting.ids:
            return f"The job {result_id} is sent when the open transaction on {database!r} commits."
    return f"There is no job {result_id}: it never existed, was rolled back, or its retention is over."


def waiting_ids() -> frozenset[str]:
    """The ids of the jobs that are sent when a transaction of this thread commits."""
    return frozenset[str]().union(*(waiting.ids for _, waiting in _waiting()))


def _waiting() -> Iterator[tuple[str, SendOnCommit]]:
    for connection in connections.all(initialized_only=True):
        for _, hook, *_ in connection.run_on_commit:
            if isinstance(hook, SendOnCommit):
                yield connection.alias, hook
