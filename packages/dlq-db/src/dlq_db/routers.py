"""``QueueRouter``: name it in ``DATABASE_ROUTERS`` where jobs have a database of their own."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from dlq_db.databases import backends_by_database

__all__ = ["QueueRouter"]


class QueueRouter:
    """Keeps the tables of dlq-db in the databases that backends of ``TASKS`` name, and out of all others.

    It has no say about the models of other apps: where those go in a database that is for jobs alone is for the
    site's own router, or for ``migrate dlq_db --database …`` to say.
    """

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        """For our models the database of the row at hand, else that of the first backend."""
        if model._meta.app_label != "dlq_db":
            return None
        instance = hints.get("instance")
        if instance is not None and instance._state.db is not None:
            database: str = instance._state.db
            return database
        return next(iter(backends_by_database()), None)

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """Our tables exist where jobs are."""
        return db in backends_by_database() if app_label == "dlq_db" else None
