"""What the tables need beside what Django's models can say, as an operation of migrations."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

from dlq_db.dialects.mysql import tables

__all__ = ["TuneTables"]

FORWARDS = {
    "postgresql": [
        "CREATE SEQUENCE dlq_seq",
        # Room on the page for the one update of a job row, and for the two of a live row.
        "ALTER TABLE dlq_job SET (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05)",
        (
            "ALTER TABLE dlq_live SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, "
            "autovacuum_vacuum_cost_delay = 1, autovacuum_vacuum_cost_limit = 2000)"
        ),
    ],
    "sqlite": [
        "CREATE TABLE dlq_seq (value INTEGER NOT NULL)",
        "INSERT INTO dlq_seq (value) VALUES (0)",
    ],
}

BACKWARDS = {"postgresql": ["DROP SEQUENCE dlq_seq"], "sqlite": ["DROP TABLE dlq_seq"]}


class TuneTables(Operation):
    """The source of ``seq``, and storage parameters, each as the database has them."""

    reversible = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Nothing that models know."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Run the statements of this database."""
        if schema_editor.connection.vendor == "mysql":
            tables.tune(schema_editor)
        for sql in FORWARDS.get(schema_editor.connection.vendor, []):
            schema_editor.execute(sql)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Take back what the tables' removal does not."""
        if schema_editor.connection.vendor == "mysql":
            tables.untune(schema_editor)
        for sql in BACKWARDS.get(schema_editor.connection.vendor, []):
            schema_editor.execute(sql)

    def describe(self) -> str:
        """What ``migrate --plan`` prints."""
        return "Create the sequence of DLQ and tune its tables"
