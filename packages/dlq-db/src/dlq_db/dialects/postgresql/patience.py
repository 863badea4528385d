"""An end to every wait for PostgreSQL's answer, also where a network or a pooler keeps the connection up."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["limit_waits"]

PATIENCE = 25.0
"""Seconds without the whole answer after which a call has failed; a little over ``statement_timeout``."""


def limit_waits(connection: BaseDatabaseWrapper) -> None:
    """Have every call on a connection that is not opened yet fail when it takes too long.

    The server's own timeouts do not help when its word never arrives, and those of TCP not when somebody
    between it and us goes on acknowledging.
    """
    connect = connection.get_new_connection

    def connect_with_limit(params: dict[str, Any]) -> Any:
        opened = connect(params)
        wait = opened.wait
        opened.wait = lambda call, *args, **kwargs: wait(_limited(call), *args, **kwargs)
        return opened

    connection.get_new_connection = connect_with_limit  # type: ignore[method-assign, assignment]


def _limited[R](call: Generator[Any, Any, R]) -> Generator[Any, Any, R]:
    """A call of psycopg that gives up: it is resumed, ready or not, every tenth of a second."""
    ends_at = time.monotonic() + PATIENCE
    try:
        waits_for = next(call)
        while True:
            ready = yield waits_for
            if time.monotonic() > ends_at:
                raise psycopg.OperationalError(f"no answer within {PATIENCE:g} s")
            waits_for = call.send(ready)
    except StopIteration as end:
        answer: R = end.value
        return answer
