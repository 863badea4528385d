"""Clean database connections for user code, whatever the job before has left behind."""

from __future__ import annotations

import contextlib
import time

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["tidy_connections"]


def tidy_connections() -> None:
    """Give up this thread's connections that are broken, too old, or left in the middle of a transaction.

    ``CONN_MAX_AGE = 0``, Django's default, means "until the request ends". A worker has no requests: it
    keeps a sound connection instead of opening one for each job.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        # Where CONN_HEALTH_CHECKS is on, Django then checks before the next query.
        connection.health_check_done = False  # type: ignore[attr-defined]
        if not _is_sound(connection):
            _give_up(connection)


def _is_sound(connection: BaseDatabaseWrapper) -> bool:
    if _was_closed(connection) or connection.in_atomic_block:
        return False
    if connection.get_autocommit() != connection.settings_dict["AUTOCOMMIT"]:
        return False
    max_age = connection.settings_dict["CONN_MAX_AGE"]
    if max_age and connection.close_at is not None and time.monotonic() >= connection.close_at:
        return False
    if connection.errors_occurred:
        connection.errors_occurred = False
        return connection.is_usable()
    return True


def _was_closed(connection: BaseDatabaseWrapper) -> bool:
    # By a task that went past Django: the driver knows without asking the server.
    try:
        connection.connection.cursor().close()
    except Exception:
        return True
    return False


def _give_up(connection: BaseDatabaseWrapper) -> None:
    # A wrapper that is still inside atomic() cannot be reused: the next use makes a new one.
    with contextlib.suppress(Exception):
        connection.connection.close()
    del connections[connection.alias]
