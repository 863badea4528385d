"""Words to those who listen that there are jobs: NOTIFY, after the commit, and not more often than anybody needs.

PostgreSQL lets transactions that hold a NOTIFY commit one after another only, each with its own wait for the disk.
So none rides in a transaction that stores jobs: it is sent after that, by itself, on the caller's connection.

A process says the same at most once in ``WINDOW``. Nobody stays behind to say later what was left out: whoever
listens looks for it when the window is over, see ``listening``.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection
from functools import partial

import psycopg
from django.db import Error, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.logs import get_logger

__all__ = ["ANY", "WINDOW", "channel", "queues_of", "tell"]

logger = get_logger("dlq.store")

WINDOW = 0.05
"""Seconds in which a process says the same once."""
ANY = ""
"""A word that names no queue: any of them may have jobs."""
LONGEST_CHANNEL = 63
LONGEST_WORD = 7999
"""Bytes that a NOTIFY can hold."""
MANY = 10_000
"""Words after which those said before are forgotten."""

_said: dict[tuple[str, str, str], float] = {}
"""When this process has said what: the alias of the database, the backend's, and the word."""


def channel(backend: str) -> str:
    """Where the words about this backend go. An alias that is too long for a name of PostgreSQL's is hashed."""
    name = f"dlq:{backend}"
    if len(name.encode()) <= LONGEST_CHANNEL:
        return name
    return f"dlq:{hashlib.sha256(backend.encode()).hexdigest()[:48]}"


def queues_of(word: str) -> list[str]:
    """The queues that a word names, or ``[ANY]``; also for a word of somebody else's, who may say anything."""
    try:
        named = json.loads(word)
    except ValueError:
        return [ANY]
    return named if isinstance(named, list) and all(isinstance(it, str) for it in named) else [ANY]


def tell(connection: BaseDatabaseWrapper, backend: str, queues: Collection[str]) -> None:
    """Say that these queues have jobs: now, or when the open transaction commits. Without a name, that any may.

    Raises nothing: the jobs are stored, and will be found without a word.
    """
    word = json.dumps(sorted(queues), separators=(",", ":")) if queues else ANY
    if len(word) > LONGEST_WORD:
        word = ANY
    if connection.in_atomic_block:
        say = partial(_say, connection, backend, word)
        transaction.on_commit(say, using=connection.alias, robust=True)
    elif connection.get_autocommit():
        _say(connection, backend, word)


def _say(connection: BaseDatabaseWrapper, backend: str, word: str) -> None:
    if not _is_due((connection.alias, backend, word)):
        return
    try:
        connection.ensure_connection()
        # Past Django's cursor: a site that counts its queries would see one more now and then.
        with connection.wrap_database_errors, psycopg.ClientCursor(connection.connection) as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [channel(backend), word])
    except Error as error:
        logger.info("Nobody could be told of new jobs; they will be found all the same: %s", error)


def _is_due(words: tuple[str, str, str]) -> bool:
    now = time.monotonic()
    if now - _said.get(words, -WINDOW) < WINDOW:
        return False
    if len(_said) >= MANY:
        _said.clear()
    _said[words] = now
    return True
