"""What MySQL and MariaDB need beside what Django makes of the models."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from django.db import NotSupportedError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Model

__all__ = ["INDEXES", "check_version", "special", "tune", "untune"]

INDEXES: Mapping[str, Mapping[str, str]] = {
    "dlq_job": {
        "dlq_job_finished": "backend, state, keep_until, finished_at",
        "dlq_job_failed": "backend, state, id",
    },
    "dlq_live": {
        "dlq_live_ready": "backend, state, queue, urgency, seq",
        "dlq_live_due": "backend, due_at",
        "dlq_live_expiry": "backend, expires_at",
        "dlq_live_running": "worker, state",
        "dlq_live_line": "waits, line, urgency, seq",
        "dlq_live_slot": "line, state",
    },
    "dlq_schedule": {"dlq_schedule_due": "backend, look_at, `key`"},
}
"""By table and name, in place of the indexes of the models that hold only some rows, or expressions.

MariaDB leaves those out; MySQL makes them, but for all rows. A search of a state that is not in its index here reads no
more than the live jobs of one backend. See ``docs/design/0012-mysql.md``.
"""

COLUMNS: Mapping[str, Collection[str]] = {
    "dlq_live": (
        # An order that rises with every column: MariaDB before 10.8 has no index that falls in one of them.
        "ADD COLUMN urgency smallint AS (-priority) STORED",
        "MODIFY seq bigint NOT NULL AUTO_INCREMENT",
        # Of rows without a mark there may be any number, here as everywhere. The backend comes last: with it in front
        # the optimizer would take this index for one of all jobs of a backend.
        "ADD UNIQUE INDEX dlq_live_mark (mark, backend)",
        # A column that counts needs an index of its own.
        "ADD INDEX dlq_live_seq (seq)",
    ),
}


def check_version(connection: BaseDatabaseWrapper) -> None:
    """Raise NotSupportedError where the server is older than what dlq-db needs; Django refuses the rest."""
    version, is_mariadb = connection.mysql_version, connection.mysql_is_mariadb  # type: ignore[attr-defined]
    if not is_mariadb and version < (8, 0, 17):
        found = ".".join(map(str, version))
        raise NotSupportedError(f"dlq-db needs MySQL 8.0.17 or MariaDB 10.6 or later (found MySQL {found}).")


def tune(schema_editor: BaseDatabaseSchemaEditor, models: Collection[type[Model]]) -> None:
    """Make names differ by every byte, ``seq`` count by itself, and every search have its index."""
    connection = schema_editor.connection
    check_version(connection)
    with connection.constraint_checks_disabled():
        for model in models:
            schema_editor.execute(
                f"ALTER TABLE {model._meta.db_table} {', '.join(_changes(connection, model))}"
            )


def _changes(connection: BaseDatabaseWrapper, model: type[Model]) -> Iterator[str]:
    # With a collation that ignores no trailing spaces either.
    collation = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"  # type: ignore[attr-defined]
    table = model._meta.db_table
    yield f"CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}"
    for name in sorted(special(model) & _made(connection, table)):
        yield f"DROP INDEX {name}"
    yield from COLUMNS.get(table, ())
    for name, columns in INDEXES.get(table, {}).items():
        yield f"ADD INDEX {name} ({columns})"


def untune(schema_editor: BaseDatabaseSchemaEditor, models: Collection[type[Model]]) -> None:
    """Leave indexes of those names that Django is about to drop."""
    connection = schema_editor.connection
    if not connection.features.supports_expression_indexes:
        return
    for model in models:
        table = model._meta.db_table
        for name in sorted(special(model) - _made(connection, table)):
            schema_editor.execute(f"CREATE INDEX {name} ON {table} (backend)")


def special(model: type[Model]) -> set[str]:
    """The names of the indexes that these databases cannot make as the model declares them."""
    return {index.name for index in model._meta.indexes if index.condition or index.contains_expressions}


def _made(connection: BaseDatabaseWrapper, table: str) -> set[str]:
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, table))
