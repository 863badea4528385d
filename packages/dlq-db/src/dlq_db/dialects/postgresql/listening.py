"""``Store.listen`` on PostgreSQL: LISTEN, on a connection that does nothing else."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from dlq_db.dialects.postgresql.telling import ANY, WINDOW, channel, queues_of

__all__ = ["Listener"]

ECHO = 1.2 * WINDOW
"""Seconds after a word until the queues are looked at: who said it could not say so again for ``WINDOW``.

A little more, so that in a stream of words each comes before the echo of the one before.
"""
CHECK_EVERY = 60.0
"""Seconds of silence after which the server is asked whether it is still there."""


class Listener:
    """Hears words about one backend, and looks once more when each was the last for a while."""

    def __init__(self, backend: str, waiting: Callable[[], Iterable[str]]) -> None:
        """``waiting`` asks on the same connection which queues have something to give."""
        self._channel = channel(backend)
        self._waiting = waiting
        self._connection: psycopg.Connection | None = None
        self._words: list[str] = []
        self._told: dict[str, float] = {}
        """When each queue was passed on, as long as it may have to wait for that to happen again."""
        self._echoes: dict[str, float] = {}
        """When to look whether more has happened in a queue than was said."""
        self._check_at = 0.0

    def listen(self, connection: BaseDatabaseWrapper, timeout: float) -> frozenset[str]:
        """See ``Store.listen``. On a new connection something may have been missed: then all are looked at."""
        connection.ensure_connection()
        with connection.wrap_database_errors:
            opened: psycopg.Connection = connection.connection
            if opened is self._connection:
                return self._wait(opened, time.monotonic() + timeout)
            self._begin(opened)
            return frozenset(self._waiting())

    def _begin(self, connection: psycopg.Connection) -> None:
        for kept in (self._words, self._told, self._echoes):
            kept.clear()
        # What arrives while something else is asked is handed over here.
        connection.add_notify_handler(lambda word: self._words.append(word.payload))
        with psycopg.ClientCursor(connection) as cursor:
            cursor.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        now = time.monotonic()
        # Somebody may have said a moment ago what nobody heard, and not say it again until the window is over.
        self._echoes[ANY] = now + ECHO
        self._connection, self._check_at = connection, now + CHECK_EVERY

    def _wait(self, connection: psycopg.Connection, ends_at: float) -> frozenset[str]:
        while True:
            now = time.monotonic()
            self._check(connection, now)
            if queues := self._heard(now) or self._echoed(now):
                return queues
            if now >= ends_at:
                return frozenset()
            self._receive(connection, min(ends_at, *self._echoes.values(), now + CHECK_EVERY) - now)

    def _receive(self, connection: psycopg.Connection, timeout: float) -> None:
        waiting = select.poll()
        waiting.register(connection.fileno(), select.POLLIN)
        if not waiting.poll(max(0.0, timeout) * 1000):
            return
        connection.pgconn.consume_input()
        while word := connection.pgconn.notifies():
            self._words.append(word.extra.decode())

    def _heard(self, now: float) -> frozenset[str]:
        """What was said, but for what was passed on a moment ago: that has an echo."""
        if not self._words:
            return frozenset()
        named = {queue for word in self._words for queue in queues_of(word)}
        self._words.clear()
        fresh = {queue for queue in named if now - self._told.get(queue, -WINDOW) >= WINDOW}
        self._told |= dict.fromkeys(fresh, now)
        self._echoes |= dict.fromkeys(named, now + ECHO)
        self._check_at = now + CHECK_EVERY
        return frozenset(fresh - {ANY}).union(self._waiting() if ANY in fresh else ())

    def _echoed(self, now: float) -> frozenset[str]:
        """What has something to give of which nothing was said for a while, though it was before."""
        due = [queue for queue, at in self._echoes.items() if at <= now]
        for queue in due:
            del self._echoes[queue]
            self._told.pop(queue, None)
        return frozenset(self._waiting()) if due else frozenset()

    def _check(self, connection: psycopg.Connection, now: float) -> None:
        """A server that vanished says nothing, as one that has nothing to say."""
        if now >= self._check_at:
            with psycopg.ClientCursor(connection) as cursor:
                cursor.execute("SELECT 1")
            self._check_at = now + CHECK_EVERY
