"""Rows of the server's own views, by the names of their columns."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["Row", "our_tables", "read", "setting"]

type Row = dict[str, Any]


def read(connection: BaseDatabaseWrapper, sql: str, *arguments: Any) -> list[Row]:
    """What a query finds."""
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def setting(connection: BaseDatabaseWrapper, name: str, otherwise: str = "") -> str:
    """A setting of the server; the version may be one that does not have it."""
    [row] = read(connection, "SELECT current_setting(%s, true) AS value", name)
    return otherwise if row["value"] is None else str(row["value"])


def our_tables() -> list[str]:
    """The tables of dlq-db."""
    return [model._meta.db_table for model in apps.get_app_config("dlq_db").get_models()]
