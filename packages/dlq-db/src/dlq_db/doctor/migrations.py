"""Migrations that are not applied, and tables that are missing though they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from dlq_db.doctor.findings import Finding, Severity

__all__ = ["check", "judge"]


def check(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """Ask Django's own record."""
    executor = MigrationExecutor(connection)
    targets = [key for key in executor.loader.graph.leaf_nodes() if key[0] == "dlq_db"]
    unapplied = [migration.name for migration, _ in executor.migration_plan(targets)]
    tables = {model._meta.db_table for model in apps.get_app_config("dlq_db").get_models()}
    return judge(connection.alias, unapplied, tables.difference(connection.introspection.table_names()))


def judge(database: str, unapplied: Sequence[str], missing: Set[str]) -> Iterator[Finding]:
    """``missing`` tables are expected as long as their migrations are not applied."""
    if unapplied:
        yield Finding(
            subject="migrations",
            severity=Severity.ERROR,
            seen=f"{len(unapplied)} not applied: {', '.join(unapplied)}",
            remedy=f"manage.py migrate dlq_db --database {database}",
            figures={"unapplied": len(unapplied)},
        )
    elif missing:
        yield Finding(
            subject="migrations",
            severity=Severity.ERROR,
            seen=f"all are recorded as applied, but tables are missing: {', '.join(sorted(missing))}",
            remedy=f"manage.py migrate dlq_db --fake zero --database {database} && "
            f"manage.py migrate dlq_db --database {database}",
            figures={"missing_tables": len(missing)},
        )
