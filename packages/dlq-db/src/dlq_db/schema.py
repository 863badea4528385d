"""What the tables need beside what Django's models can say, as an operation of migrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import router
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.models import Model

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
        self._run(FORWARDS, app_label, schema_editor)
        if schema_editor.connection.vendor == "mysql":
            tables.tune(schema_editor, self._models(app_label, to_state, schema_editor))

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Take back what the tables' removal does not."""
        if schema_editor.connection.vendor == "mysql":
            tables.untune(schema_editor, self._models(app_label, from_state, schema_editor))
        self._run(BACKWARDS, app_label, schema_editor)

    def _run(
        self,
        statements: Mapping[str, Sequence[str]],
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
    ) -> None:
        connection = schema_editor.connection
        if router.allow_migrate(connection.alias, app_label):
            for sql in statements.get(connection.vendor, []):
                schema_editor.execute(sql)

    def _models(
        self, app_label: str, state: Any, schema_editor: BaseDatabaseSchemaEditor
    ) -> list[type[Model]]:
        """Those whose tables this migration makes in this database."""
        models: list[type[Model]] = state.apps.get_app_config(app_label).get_models()
        return [
            model for model in models if router.allow_migrate_model(schema_editor.connection.alias, model)
        ]

    def describe(self) -> str:
        """What ``migrate --plan`` prints."""
        return "Create the sequence of DLQ and tune its tables"
