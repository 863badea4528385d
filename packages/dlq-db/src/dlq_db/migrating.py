"""What ``migrate`` leaves to do: tables that were kept away though their migrations count as applied, and triggers."""

from __future__ import annotations

from typing import Any

from django.db import connections, router
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from dlq_db.databases import backends_by_database
from dlq_db.models import Job

__all__ = ["install_triggers", "make_missing_tables", "remove_triggers"]


def make_missing_tables(using: str, **kwargs: Any) -> None:
    """Make the tables in a database that has become one for jobs. Called after every ``migrate``.

    Django writes down a migration as applied also where a router forbade all that it does. When a backend comes
    to name such a database, ``migrate`` would find nothing to do, and the tables would be missing for ever.
    """
    connection = connections[using]
    if not router.allow_migrate_model(using, Job):
        return
    recorded = [name for app, name in MigrationRecorder(connection).applied_migrations() if app == "dlq_db"]
    if recorded and Job._meta.db_table not in connection.introspection.table_names():
        MigrationRecorder(connection).migration_qs.filter(app="dlq_db").delete()
        MigrationExecutor(connection).migrate([("dlq_db", max(recorded))])


def remove_triggers(using: str, **kwargs: Any) -> None:
    """Take triggers that no task asks for any more out of a database. Called before every ``migrate``."""
    if _has_triggers(using):
        from dlq_db.triggers.installing import remove_unasked  # It needs psycopg.

        remove_unasked(using)


def install_triggers(using: str, **kwargs: Any) -> None:
    """Make a database have the triggers that tasks ask for. Called after every ``migrate``."""
    if _has_triggers(using):
        from dlq_db.triggers.installing import install

        install(using)


def _has_triggers(using: str) -> bool:
    return connections[using].vendor == "postgresql" and using in backends_by_database()
