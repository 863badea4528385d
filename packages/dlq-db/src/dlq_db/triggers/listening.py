"""Which listeners a database can serve: it must be PostgreSQL, and hold both the rows and the jobs."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connections, router
from django.tasks import task_backends

from dlq import conf
from dlq.backend import QueueBackend
from dlq.discovery import load_all_tasks
from dlq_db.backends import DatabaseBackend
from dlq_db.triggers.declaring import Listener, listeners

__all__ = ["elsewhere", "listeners_in"]


def listeners_in(using: str) -> Iterator[tuple[Listener, QueueBackend]]:
    """Those whose rows and jobs are both in this database, each with the backend of its jobs."""
    for listener, backend in _ours():
        if _why_not(listener, backend) is None and backend.config.database_alias == using:
            yield listener, backend


def elsewhere() -> Iterator[tuple[Listener, str]]:
    """Those that no database can serve, each with the reason in words."""
    for listener, backend in _ours():
        if why := _why_not(listener, backend):
            yield listener, why


def _why_not(listener: Listener, backend: QueueBackend) -> str | None:
    try:
        jobs, rows = backend.config.database_alias, router.db_for_write(listener.model)
    except LookupError as error:
        return f"there is no such model: {error}"
    if jobs != rows:
        return f"the jobs are in the database {jobs!r}, the rows in {rows!r}"
    if connections[rows].vendor != "postgresql":
        return f"the database {rows!r} is no PostgreSQL"
    return None


def _ours() -> Iterator[tuple[Listener, QueueBackend]]:
    """The listeners whose task is on a backend of dlq-db; a test may have put another in its place, or none."""
    load_all_tasks()
    for listener in listeners():
        backend = task_backends[listener.task.backend] if listener.task.backend in conf.tasks() else None
        if isinstance(backend, DatabaseBackend):
            yield listener, backend
