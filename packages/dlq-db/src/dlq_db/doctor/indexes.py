"""Indexes that the models declare and the database does not have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Index, Model, UniqueConstraint

from dlq_db.dialects.mysql import tables as mysql
from dlq_db.doctor.findings import Finding, Severity

__all__ = ["check", "judge"]

type Made = Mapping[str, Mapping[str, Any]]
"""The constraints and indexes of a table by name, as Django's introspection has them."""


def check(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """Compare each table that exists with its model."""
    existing = connection.introspection.table_names()
    for model in apps.get_app_config("dlq_db").get_models():
        if model._meta.db_table in existing:
            with connection.cursor() as cursor:
                made = connection.introspection.get_constraints(cursor, model._meta.db_table)
            replaced = mysql.special(model) if connection.vendor == "mysql" else set()
            yield from judge(
                model, made, lambda what, model=model: _statement(connection, model, what), replaced
            )
            if connection.vendor == "mysql":
                yield from judge_replacements(model._meta.db_table, made)


def judge_replacements(table: str, made: Made) -> Iterator[Finding]:
    """The indexes that MySQL and MariaDB have in place of others."""
    for name, columns in mysql.INDEXES.get(table, {}).items():
        if name not in made:
            yield _missing(f"{name} on {table}", f"CREATE INDEX {name} ON {table} ({columns})")


def judge(
    model: type[Model], made: Made, statement: Any, replaced: Collection[str] = ()
) -> Iterator[Finding]:
    """``statement`` gives the SQL that makes an index, a constraint or the index of a field.

    The indexes in ``replaced`` are not looked for.
    """
    table = model._meta.db_table
    declared: Sequence[Any] = [*model._meta.indexes, *model._meta.constraints]
    for what in declared:
        if what.name not in made and what.name not in replaced:
            yield _missing(f"{what.name} on {table}", statement(what))
    leading = {tuple(each["columns"][:1]) for each in made.values() if each["index"] or each["unique"]}
    keys = {tuple(each["columns"][:1]) for each in made.values() if each["primary_key"]}
    for field in model._meta.local_concrete_fields:
        if field.primary_key and (field.column,) not in keys:
            yield _missing(
                f"the primary key of {table}", f"ALTER TABLE {table} ADD PRIMARY KEY ({field.column})"
            )
        elif (
            getattr(field, "db_index", False)
            and not field.primary_key
            and (field.column,) not in leading | keys
        ):
            yield _missing(f"the index of {table}.{field.column}", statement(field))


def _missing(what: str, remedy: str) -> Finding:
    return Finding(subject="indexes", severity=Severity.ERROR, seen=f"missing: {what}", remedy=remedy)


def _statement(
    connection: BaseDatabaseWrapper, model: type[Model], what: Index | UniqueConstraint | Field[Any, Any]
) -> str:
    """What a migration would run."""
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        if isinstance(what, Index):
            editor.add_index(model, what)
        elif isinstance(what, UniqueConstraint):
            editor.add_constraint(model, what)
        else:
            editor.add_index(model, Index(fields=[what.name], name=f"{model._meta.db_table}_{what.column}"))
        return " ".join(editor.collected_sql)
