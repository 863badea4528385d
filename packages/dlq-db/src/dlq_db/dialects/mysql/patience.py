"""Connections that only the runtime uses, with an end to every wait."""

from __future__ import annotations

from collections.abc import Callable

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.dialects.mysql.transactions import LEVEL

__all__ = ["limit_waits"]

PATIENCE = 25
"""Seconds without a word from the server after which a call has failed; a little over the server's own limits."""

STRICT = "sql_mode = CONCAT_WS(',', 'STRICT_TRANS_TABLES', NULLIF(@@sql_mode, ''))"
MARIADB = (
    "SET SESSION innodb_lock_wait_timeout = 10, max_statement_time = 20, "
    # A runner that is stopped in the middle of a transaction must not hold its locks for long.
    f"idle_transaction_timeout = 10, {STRICT}"
)
MYSQL = (
    "SET SESSION innodb_lock_wait_timeout = 10, max_execution_time = 20000, "
    # It cannot tell idle transactions from idle connections: those that do nothing for so long are opened again.
    f"wait_timeout = 120, {STRICT}"
)


def limit_waits(connection: BaseDatabaseWrapper) -> None:
    """Have every call on a connection that is not opened yet fail when it takes too long."""
    options = connection.settings_dict["OPTIONS"]
    options.setdefault("connect_timeout", 10)
    options.setdefault("read_timeout", PATIENCE)
    options.setdefault("write_timeout", PATIENCE)
    options["isolation_level"] = LEVEL
    connection.init_connection_state = _limiting(connection)  # type: ignore[method-assign]
    # Where there is this method, Django begins with it in place of two statements that switch autocommit off and on.
    connection._start_transaction_under_autocommit = lambda: _begin(connection)  # type: ignore[attr-defined]


def _limiting(connection: BaseDatabaseWrapper) -> Callable[[], None]:
    initialize = connection.init_connection_state

    def initialize_with_limits() -> None:
        initialize()
        with connection.cursor() as cursor:
            cursor.execute(MARIADB if connection.mysql_is_mariadb else MYSQL)  # type: ignore[attr-defined]

    return initialize_with_limits


def _begin(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute("START TRANSACTION")
