"""What a listener is in SQL: a trigger that hands a job, all but its arguments, to one function."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field
from psycopg import sql

from dlq.backend import QueueBackend
from dlq.errors import ConfigError
from dlq_db.dialects import statement
from dlq_db.triggers.conditions import condition_sql
from dlq_db.triggers.declaring import Listener

__all__ = ["FUNCTION", "Trigger", "function_sql", "mark", "name_of", "trigger_for"]

FUNCTION = "dlq_changed"
CHANGED = "(old.*) *<> (new.*)"
"""Compares bytes: there are types without an equality, such as json."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """One to be installed; ``table`` is quoted, ``mark`` tells whether one of the same name is still the same."""

    name: str
    table: str
    create: str
    task: str

    @property
    def mark(self) -> str:
        """A comment on the trigger."""
        return f"{mark(self.create)} {self.task}"


def mark(text: str) -> str:
    """What tells two definitions apart."""
    return f"dlq {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def name_of(listener: Listener, backend: QueueBackend) -> str:
    """The name of a listener's trigger, whatever its options and conditions are."""
    digest = hashlib.sha256(f"{backend.alias} {listener}".encode()).hexdigest()
    return f"dlq_{listener.event}_{digest[:16]}"


def trigger_for(listener: Listener, backend: QueueBackend, using: str) -> Trigger:
    """The trigger of a listener whose jobs and rows are in this database.

    Raises ConfigError for conditions and fields that cannot be, EnqueueError for a task that cannot be enqueued.
    """
    connection = connections[using]
    table = connection.ops.quote_name(listener.model._meta.db_table)
    name = name_of(listener, backend)
    job = json.dumps(_job(listener, backend, connection))
    create = (
        f"CREATE TRIGGER {name} AFTER {listener.event.upper()} ON {table} FOR EACH ROW"
        f"{_when(listener, connection)} EXECUTE FUNCTION {FUNCTION}({_literal(job, connection)})"
    )
    return Trigger(name=name, table=table, create=create, task=listener.task.module_path)


def function_sql(schema: str, connection: BaseDatabaseWrapper) -> str:
    """The function of all triggers; ``schema`` is that of our tables.

    It runs the statement of an enqueue, with variables in the place of arguments: the two cannot drift apart.
    """
    enqueue = re.sub(r"%\((\w+)\)s", r"given_\1", statement("postgresql/enqueue.sql"))
    text = statement("postgresql/changed.sql").replace("{enqueue}", enqueue)
    return text.replace("{schema}", sql.Identifier(schema).as_string(connection.connection))


def _job(listener: Listener, backend: QueueBackend, connection: BaseDatabaseWrapper) -> dict[str, Any]:
    job = asdict(backend.new_job(listener.task, (), {"old": None, "new": None}))
    if job["run_after"] is not None:
        raise ConfigError(
            f"{listener}: the task has run_after={job['run_after']}, which is no time for all changes."
        )
    made_by_trigger = ("id", "payload", "run_after")
    return {
        "backend": backend.alias,
        "max_payload": backend.config.max_payload,
        "columns": [
            [field.column, field.attname, _is_decimal(field, connection)] for field in _fields(listener)
        ],
        **{name: value for name, value in job.items() if name not in made_by_trigger},
    }


def _fields(listener: Listener) -> list[Field[Any, Any]]:
    every = list(listener.model._meta.local_concrete_fields)
    if listener.fields is None:
        return every
    named = {field.name: field for field in every} | {field.attname: field for field in every}
    named["pk"] = next(field for field in every if field.primary_key)
    if unknown := [name for name in listener.fields if name not in named]:
        raise ConfigError(
            f"{listener}: fields has {unknown[0]!r}; the table has: {', '.join(sorted(named))}."
        )
    return [named[name] for name in listener.fields]


def _is_decimal(field: Field[Any, Any], connection: BaseDatabaseWrapper) -> bool:
    """Whether JSON would make a float of it, which is another number."""
    return bool(re.fullmatch(r"numeric(\(.*\))?", field.db_type(connection) or ""))


def _when(listener: Listener, connection: BaseDatabaseWrapper) -> str:
    parts = [CHANGED] if listener.event == "update" else []
    if listener.when is not None:
        try:
            parts.append(condition_sql(listener.when, listener.model, listener.event, connection))
        except ConfigError as error:
            raise ConfigError(f"{listener}: {error}") from error
    return f" WHEN ({' AND '.join(parts)})" if parts else ""


def _literal(text: str, connection: BaseDatabaseWrapper) -> str:
    return sql.Literal(text).as_string(connection.connection)
