"""One row of what the server says of itself."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["Row", "read"]

type Row = dict[str, Any]


def read(connection: BaseDatabaseWrapper, sql: str) -> list[Row]:
    """What a query finds, by the names of its columns."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
