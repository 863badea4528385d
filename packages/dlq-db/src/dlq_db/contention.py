"""Verbs that are repeated when the database has given up their transaction in favour of another."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.errors import StoreError

__all__ = ["Contended", "repeated"]

TRIES = 6
LONGEST = 15.0
"""Seconds after which no other try begins: who waits in vain for a lock waits for long."""


class Contended(StoreError):
    """The transaction was ended by the database, because of others, and has changed nothing."""


class _HasConnection(Protocol):
    @property
    def connection(self) -> BaseDatabaseWrapper: ...


def repeated[S: _HasConnection, **P, R](
    verb: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """Repeat a verb that was Contended, a few times; in a transaction of the caller's only the caller can."""

    @wraps(verb)
    def patiently(store: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        began = time.monotonic()
        for number in range(TRIES - 1):
            try:
                return verb(store, *args, **kwargs)
            except Contended:
                if store.connection.in_atomic_block or time.monotonic() - began > LONGEST:
                    raise
                time.sleep(random.uniform(0, 0.01 * 2**number))
        return verb(store, *args, **kwargs)

    return patiently
