"""``Store.listen`` on SQLite: the file has a number that changes with every commit of others."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable

from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["Watcher"]

INTERVAL = 0.04
"""Seconds between two looks at the number, and at least so many between two looks at the queues."""
RESTING = 0.08
"""Seconds between two looks when there was no news for ``RESTS_AFTER``: it is waking up that costs, not the look."""
RESTS_AFTER = 10.0


class Watcher:
    """Looks at the file often, and at the queues only when somebody has written to it."""

    def __init__(self, waiting: Callable[[], Iterable[str]]) -> None:
        """``waiting`` asks on the same connection which queues have something to give."""
        self._waiting = waiting
        self._connection: sqlite3.Connection | None = None
        self._version = 0
        self._sequence = 0
        self._ready: frozenset[str] = frozenset()
        self._look_at = 0.0
        self._news_at = 0.0

    def listen(self, connection: BaseDatabaseWrapper, timeout: float) -> frozenset[str]:
        """See ``Store.listen``."""
        connection.ensure_connection()
        with connection.wrap_database_errors:
            opened: sqlite3.Connection = connection.connection
            if opened is self._connection:
                return self._wait(opened, time.monotonic() + timeout)
            return self._begin(opened)

    def _begin(self, connection: sqlite3.Connection) -> frozenset[str]:
        self._version, self._sequence, self._ready = _version(connection), 0, frozenset()
        news = self._news(connection)
        self._connection = connection
        return news

    def _wait(self, connection: sqlite3.Connection, ends_at: float) -> frozenset[str]:
        while True:
            time.sleep(max(0.0, min(self._look_at, ends_at) - time.monotonic()))
            now = time.monotonic()
            self._look_at = now + (INTERVAL if now - self._news_at < RESTS_AFTER else RESTING)
            version = _version(connection)
            if version != self._version:
                self._version = version
                if news := self._news(connection):
                    self._news_at = now
                    return news
            if time.monotonic() >= ends_at:
                return frozenset()

    def _news(self, connection: sqlite3.Connection) -> frozenset[str]:
        """The queues that have something to give since the last look, or may have more of it.

        Every job that becomes ready takes a number, but for those that go back to their places.
        """
        before, had = self._sequence, self._ready
        (self._sequence,) = connection.execute("SELECT value FROM dlq_seq").fetchone()
        self._ready = frozenset(self._waiting())
        return self._ready if self._sequence != before else self._ready - had


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version
