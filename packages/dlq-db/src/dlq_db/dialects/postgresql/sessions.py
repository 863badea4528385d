"""The connections of a runner: what is set on them, and how it is set where a pooler shares them out.

A pooler in transaction mode, such as PgBouncer's, gives each transaction another connection to the server. What is
prepared or set on one of these is missing on the next, and in the way of somebody else; a LISTEN is lost. There each
statement carries its settings with it, for its own transaction alone: in the same message, so that it costs no
round trip.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorDebugWrapper

from dlq_db.dialects import statement
from dlq_db.dialects.postgresql.patience import limit_waits

__all__ = ["dedicate", "rows", "rows_of_several"]

LIMITS = {
    "statement_timeout": "20s",
    "lock_timeout": "10s",
    # A runner that is stopped in the middle of a transaction must not hold its locks for long.
    "idle_in_transaction_session_timeout": "10s",
}
PATIENT = {"idle_session_timeout": "0"}
"""A worker may have nothing to say for a minute, and someone who listens for ever."""
PLANS = {
    "jit": "off",
    "enable_seqscan": "off",
}
PREPARED = {
    # One plan for all arguments, because planning takes a third as long as the exchange. Such a plan does not know how
    # few rows it is for, and would read whole tables: it has to look up by key, in the order of an index.
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_sort": "off",
}

BY_THE_WAY = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; " + "".join(
    f"SET LOCAL {name} = '{value}'; " for name, value in (LIMITS | PLANS).items()
)
"""What goes before a statement in the same message, which PostgreSQL takes for one transaction."""


def dedicate(connection: BaseDatabaseWrapper, *, pooled: bool) -> None:
    """Give every call on a connection that is not opened yet an end: no server may hang a runner."""
    options = connection.settings_dict["OPTIONS"]
    # It stays open as long as its thread, whatever the site does with its own.
    options.pop("pool", None)
    # A runner repeats nothing; its statements are made for this level.
    options["isolation_level"] = psycopg.IsolationLevel.READ_COMMITTED
    options.setdefault("application_name", "dlq")
    options.setdefault("connect_timeout", 10)
    # A peer that has vanished is noticed after so many milliseconds when something was sent, else after 25 s.
    options.setdefault("tcp_user_timeout", 20_000)
    options.setdefault("keepalives_idle", 10)
    options.setdefault("keepalives_interval", 5)
    options.setdefault("keepalives_count", 3)
    if pooled:
        options["prepare_threshold"] = None
    else:
        # Django forbids prepared statements; an explicit None in the site's OPTIONS keeps it so.
        options.setdefault("prepare_threshold", 5)
        options["options"] = f"{options.get('options', '')} {_as_arguments()}".strip()
    limit_waits(connection)


def _as_arguments() -> str:
    session = LIMITS | PATIENT | PLANS | PREPARED | {"default_transaction_isolation": r"read\ committed"}
    return " ".join(f"-c {name}={value}" for name, value in session.items())


def rows(
    connection: BaseDatabaseWrapper, verb: str, arguments: dict[str, Any], *, pooled: bool
) -> list[tuple[Any, ...]]:
    """What a verb's statement answers. Past Django's cursor, so that the server can prepare it."""
    connection.ensure_connection()
    sql = statement(f"postgresql/{verb}.sql")
    with connection.wrap_database_errors, _logged(connection, sql, arguments):
        if pooled:
            return _in_one_message(connection.connection, sql, arguments)
        with psycopg.Cursor(connection.connection) as cursor:
            return cursor.execute(sql, arguments, prepare=True).fetchall()


def rows_of_several(
    connection: BaseDatabaseWrapper, calls: Sequence[tuple[str, dict[str, Any]]], *, pooled: bool
) -> list[list[tuple[Any, ...]]]:
    """What the statements of several verbs answer, in one transaction. Each sees what was there when it began.

    They go off together, and cost one round trip, where no pooler is between.
    """
    connection.ensure_connection()
    texts = [(statement(f"postgresql/{verb}.sql"), arguments) for verb, arguments in calls]
    server = connection.connection
    with connection.wrap_database_errors, _logged(connection, texts[0][0], texts[0][1]):
        if pooled:
            with server.transaction(), psycopg.ClientCursor(server) as cursor:
                cursor.execute(BY_THE_WAY)
                return [cursor.execute(sql, arguments).fetchall() for sql, arguments in texts]
        with server.pipeline(), server.transaction():
            cursors = [psycopg.Cursor(server).execute(*text, prepare=True) for text in texts]
        return [cursor.fetchall() for cursor in cursors]


def _in_one_message(
    connection: psycopg.Connection, sql: str, arguments: dict[str, Any]
) -> list[tuple[Any, ...]]:
    with psycopg.ClientCursor(connection) as cursor:
        # Inside a transaction of somebody else's the settings would outlive the statement.
        alone = connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        cursor.execute((BY_THE_WAY if alone else "") + sql, arguments)
        while cursor.nextset():
            pass
        return cursor.fetchall()


def _logged(
    connection: BaseDatabaseWrapper, sql: str, arguments: dict[str, Any]
) -> AbstractContextManager[None]:
    """As Django's own cursor does, where the connection says that it logs."""
    if not connection.queries_logged:
        return nullcontext()
    return CursorDebugWrapper(None, connection).debug_sql(sql, arguments)
