"""What MySQL and MariaDB need beside what Django makes of the models."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import NotSupportedError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

__all__ = ["check_version", "tune", "untune"]

TABLES = ("dlq_job", "dlq_live", "dlq_attempt", "dlq_note", "dlq_pause", "dlq_runner", "dlq_worker")

REPLACED = {
    "dlq_job": ("dlq_job_finished", "dlq_job_kept"),
    "dlq_live": (
        *("dlq_live_ready", "dlq_live_due", "dlq_live_running", "dlq_live_blocked", "dlq_live_expiry"),
        "dlq_live_cancel",
    ),
}
"""The partial indexes of the models. MariaDB leaves them out; MySQL makes them, but for all rows."""

JOB = """
    ALTER TABLE dlq_job
        ADD INDEX dlq_job_finished (backend, state, keep_until, finished_at)
"""
LIVE = """
    ALTER TABLE dlq_live
        MODIFY seq bigint NOT NULL AUTO_INCREMENT,
        ADD COLUMN urgency smallint AS (-priority) STORED,
        ADD INDEX dlq_live_seq (seq),
        ADD INDEX dlq_live_ready (backend, state, queue, urgency, seq),
        ADD INDEX dlq_live_due (backend, due_at),
        ADD INDEX dlq_live_expiry (backend, expires_at),
        ADD INDEX dlq_live_running (worker, state)
"""
"""``urgency`` is there because MariaDB before 10.8 has no index that falls in one column and rises in the next.

See ``docs/design/0012-mysql.md`` for the choice of indexes, and for ``seq``.
"""


def check_version(connection: BaseDatabaseWrapper) -> None:
    """Raise NotSupportedError where the server is older than what dlq-db needs; Django refuses the rest."""
    version, is_mariadb = connection.mysql_version, connection.mysql_is_mariadb  # type: ignore[attr-defined]
    if not is_mariadb and version < (8, 0, 17):
        found = ".".join(map(str, version))
        raise NotSupportedError(f"dlq-db needs MySQL 8.0.17 or MariaDB 10.6 or later (found MySQL {found}).")


def tune(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make names differ by every byte, ``seq`` count by itself, and every search have its index."""
    connection = schema_editor.connection
    check_version(connection)
    # With a collation that ignores no trailing spaces either.
    bytewise = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"  # type: ignore[attr-defined]
    with connection.constraint_checks_disabled():
        for table in TABLES:
            schema_editor.execute(f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE {bytewise}")
    for drop in _drops(connection):
        schema_editor.execute(drop)
    schema_editor.execute(JOB)
    schema_editor.execute(LIVE)


def untune(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Leave indexes of those names that Django is about to drop."""
    connection = schema_editor.connection
    if not connection.features.supports_expression_indexes:
        return
    for table, names in REPLACED.items():
        for name in set(names).difference(_indexes(connection, table)):
            schema_editor.execute(f"CREATE INDEX {name} ON {table} (backend)")


def _drops(connection: BaseDatabaseWrapper) -> Iterator[str]:
    for table, names in REPLACED.items():
        for name in _indexes(connection, table).intersection(names):
            yield f"DROP INDEX {name} ON {table}"


def _indexes(connection: BaseDatabaseWrapper, table: str) -> set[str]:
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, table))
