"""A ``Q`` over the old and the new row as SQL for ``CREATE TRIGGER … WHEN``, which takes no parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import FieldError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Aggregate, F, Func, Model, OuterRef, Q, Value
from django.db.models.expressions import Col, CombinedExpression, ExpressionWrapper
from django.db.models.sql import Query
from django.db.models.sql.datastructures import BaseTable
from psycopg import sql

from dlq.errors import ConfigError

__all__ = ["condition_sql"]

SIDES = {"insert": ("new",), "update": ("old", "new"), "delete": ("old",)}
ALLOWED = (F, Value, CombinedExpression, ExpressionWrapper, Func)
REFUSED = (OuterRef, Aggregate)


def condition_sql(when: Q, model: type[Model], event: str, connection: BaseDatabaseWrapper) -> str:
    """The condition with its values written out, each quoted by the driver for this connection.

    A comparison with NULL is false, as Django's filters have it, and not unknown: so its negation is true. Two
    columns that are both NULL are equal.

    Raises ConfigError for what a trigger cannot look at: other tables, and names that are not of the row.
    """
    return _Condition(model, event, connection).of(when)


class _Condition:
    def __init__(self, model: type[Model], event: str, connection: BaseDatabaseWrapper) -> None:
        self._event = event
        self._connection = connection
        self._columns = _columns(model, SIDES[event])
        self._query = Query(model, alias_cols=False)
        # The ORM takes them for annotations, and so never looks for columns or joins of its own.
        self._query.annotations = self._columns
        self._query.alias_map = {side: BaseTable(side, side) for side in SIDES[event]}
        self._compiler = self._query.get_compiler(connection=connection)

    def of(self, when: Q) -> str:
        joint = {Q.AND: " AND ", Q.OR: " OR ", Q.XOR: " <> "}[when.connector]
        parts = [self.of(child) if isinstance(child, Q) else self._leaf(child) for child in when.children]
        joined = f"({joint.join(parts)})" if parts else "true"
        return f"NOT {joined}" if when.negated else joined

    def _leaf(self, child: Any) -> str:
        if not isinstance(child, tuple):
            raise ConfigError(f"when has {child!r}; only conditions by name can be used, such as new__x=1.")
        name, value = child
        column = self._named(name)
        self._refuse_foreign(value)
        try:
            if name.removeprefix(column) in ("", "__exact") and hasattr(value, "resolve_expression"):
                return self._equal(column, value)
            where, _ = self._query.build_filter((name, value), allow_joins=False, check_filterable=False)
            return f"coalesce({self._text(*self._compiler.compile(where))}, false)"
        except (FieldError, TypeError, ValueError) as error:
            raise ConfigError(f"when has {name}={value!r}, which cannot be used: {error}") from error

    def _equal(self, column: str, value: Any) -> str:
        left = self._compiler.compile(self._columns[column])
        right = self._compiler.compile(value.resolve_expression(self._query, allow_joins=False))
        return f"({self._text(*left)} IS NOT DISTINCT FROM {self._text(*right)})"

    def _text(self, text: str, params: Any) -> str:
        opened = self._connection.connection
        return text % tuple(sql.Literal(value).as_string(opened) for value in params)

    def _named(self, name: str) -> str:
        """The column that a name begins with."""
        words = name.split("__")
        for count in range(2, len(words) + 1):
            if (column := "__".join(words[:count])) in self._columns:
                return column
        known = ", ".join(sorted(self._columns))
        raise ConfigError(f"when has {name!r}; on {self._event} the names begin with one of: {known}.")

    def _refuse_foreign(self, value: Any) -> None:
        for part in _parts(value):
            if isinstance(part, REFUSED) or not isinstance(part, ALLOWED):
                raise ConfigError(
                    f"when has {part!r}; a trigger can compare with values, with F('old__…') and F('new__…'), and "
                    f"with functions and sums of these."
                )
            if isinstance(part, F) and self._named(part.name) != part.name:  # type: ignore[attr-defined]
                raise ConfigError(f"when has {part!r}, which is no column; use a function of one.")


def _columns(model: type[Model], sides: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for side in sides:
        for field in model._meta.local_concrete_fields:
            # Of a foreign key the value that is stored, which is all that a trigger sees.
            kind = field.target_field if field.is_relation else field  # type: ignore[attr-defined]
            names = {field.name, field.attname} | ({"pk"} if field.primary_key else set())
            found |= {f"{side}__{name}": Col(side, field, kind) for name in names}
    return found


def _parts(value: Any) -> Iterator[Any]:
    """All expressions in a value."""
    if isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _parts(item)
    elif hasattr(value, "resolve_expression"):
        yield value
        for source in getattr(value, "get_source_expressions", list)():
            yield from _parts(source)
