"""The moment at which a verb happens, in queries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.db.models.sql.compiler import SQLCompiler

__all__ = ["ServerTime", "moment"]


class ServerTime(Now):
    """The same as ``Now``, in UTC on MySQL too, where that follows the time zone of the server's machine."""

    def as_mysql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        """With microseconds, as the columns have them."""
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)


def moment(now: datetime | None) -> Combinable:
    """The time that was given, or the database's own."""
    return ServerTime() if now is None else Value(now)
