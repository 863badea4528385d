"""Which databases hold jobs: those that backends of dlq-db name in ``TASKS``, and no others."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import connections
from django.tasks import task_backends

from dlq import conf
from dlq.backend import QueueBackend
from dlq_db.backends import DatabaseBackend

__all__ = ["backends_by_database"]


def backends_by_database() -> dict[str, list[QueueBackend]]:
    """The backends on each entry of ``DATABASES`` that holds jobs; first those of the alias ``default``.

    Empty where ``TASKS`` has no backend of dlq-db, as in tests that put one of Django's own in its place. What a
    backend's own check refuses is no error here: routers are asked while the checks run.
    """
    found: dict[str, list[QueueBackend]] = {}
    for alias in sorted(conf.our_aliases(), key=lambda alias: alias != "default"):
        backend = task_backends[alias]
        if isinstance(backend, DatabaseBackend) and isinstance(backend.options, Mapping):
            database = backend.options.get("database_alias", "default")
            if database in connections:
                found.setdefault(database, []).append(backend)
    return found
