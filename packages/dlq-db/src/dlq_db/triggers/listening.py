"""Which listeners a database can serve: it must be PostgreSQL, and hold both the rows and the jobs."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connections, router
from django.tasks import task_backends

from dlq.backend import QueueBackend
from dlq.discovery import load_all_tasks
from dlq_db.backends import DatabaseBackend
from dlq_db.triggers.listeners import Listener, listeners

__all__ = ["elsewhere", "listeners_in"]


def listeners_in(using: str) -> Iterator[tuple[Listener, QueueBackend]]:
    """Those whose rows and jobs are both in this database, each with the backend of its jobs."""
    for listener, backend in _ours():
        if backend.config.database_alias == router.db_for_write(listener.model) == using:
            yield listener, backend


def elsewhere() -> Iterator[tuple[Listener, str]]:
    """Those that no database can serve, each with the reason in words."""
    for listener, backend in _ours():
        jobs, rows = backend.config.database_alias, router.db_for_write(listener.model)
        if jobs != rows:
            yield listener, f"the jobs are in the database {jobs!r}, the rows in {rows!r}"
        elif connections[rows].vendor != "postgresql":
            yield listener, f"the database {rows!r} is no PostgreSQL"


def _ours() -> Iterator[tuple[Listener, QueueBackend]]:
    """The listeners whose task is on a backend of dlq-db; a test may have put another in its place."""
    load_all_tasks()
    for listener in listeners():
        backend = task_backends[listener.task.backend]
        if isinstance(backend, DatabaseBackend):
            yield listener, backend
