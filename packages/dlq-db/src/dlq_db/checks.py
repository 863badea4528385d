"""System checks of where the tables of dlq-db are, and of where Django looks for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.db import router

from dlq_db.databases import backends_by_database
from dlq_db.models import Job
from dlq_db.triggers.listening import elsewhere

__all__ = ["check_databases", "register_checks"]


def register_checks() -> None:
    """Make ``manage.py check`` look at our databases. It asks none of them anything."""
    checks.register(check_databases)


def check_databases(**kwargs: Any) -> list[checks.CheckMessage]:
    """What ``DATABASE_ROUTERS`` and the backends in ``TASKS`` do not agree about."""
    named = {
        database: [backend.alias for backend in backends]
        for database, backends in backends_by_database().items()
    }
    return [*_never_migrated(named), *_looked_for_elsewhere(named), *_never_told()] if named else []


def _never_migrated(named: dict[str, list[str]]) -> Iterator[checks.CheckMessage]:
    for database, aliases in named.items():
        if not router.allow_migrate_model(database, Job):
            yield checks.Error(
                f"The backend {aliases[0]!r} in TASKS keeps its jobs in the database {database!r}, where a router "
                f"of DATABASE_ROUTERS lets no migration make the tables of DLQ.",
                hint="Put 'dlq_db.routers.QueueRouter' first in DATABASE_ROUTERS, then run: "
                f"manage.py migrate --database {database}",
                id="dlq.E101",
            )


def _looked_for_elsewhere(named: dict[str, list[str]]) -> Iterator[checks.CheckMessage]:
    read = router.db_for_read(Job)
    if read not in named:
        yield checks.Warning(
            f"Jobs are in {', '.join(map(repr, named))}, but Job.objects reads the database {read!r}, and migrate "
            f"makes the tables of DLQ in every database.",
            hint="Add 'dlq_db.routers.QueueRouter' to DATABASE_ROUTERS.",
            id="dlq.W101",
        )


def _never_told() -> Iterator[checks.CheckMessage]:
    """Changes of rows that no trigger can make jobs of."""
    for listener, why in elsewhere():
        yield checks.Warning(
            f"{listener} never hears of a change: {why}.",
            hint="Changes become jobs on PostgreSQL, in the database that holds both. Silence this where it is another "
            "on purpose, as in development.",
            id="dlq.W102",
        )
