"""What a person is told when a database fails."""

from __future__ import annotations

import psycopg
import pytest
from django.db import Error, InternalError, OperationalError, ProgrammingError, connections

from dlq.errors import ConfigError, StoreError, StoreNotReady, StoreUnavailable
from dlq_db.contention import Contended
from dlq_db.failures import translated
from dlq_db.options import DatabaseOptions

CASES: dict[str, tuple[Error, type[psycopg.Error] | None, type[StoreError], str]] = {
    "a replica": (
        InternalError("read-only"),
        psycopg.errors.ReadOnlySqlTransaction,
        StoreNotReady,
        "primary",
    ),
    "a full disk": (OperationalError("no room"), psycopg.errors.DiskFull, StoreError, "Free some"),
    "a deadlock": (OperationalError("dead"), psycopg.errors.DeadlockDetected, Contended, "Repeat the whole"),
    "a conflict": (
        OperationalError("x"),
        psycopg.errors.SerializationFailure,
        Contended,
        "Repeat the whole",
    ),
    "a lock": (OperationalError("x"), psycopg.errors.LockNotAvailable, StoreError, "pg_blocking_pids"),
    "a failed transaction": (
        InternalError("x"),
        psycopg.errors.InFailedSqlTransaction,
        StoreError,
        "Roll it back",
    ),
    "prepared twice": (
        ProgrammingError('prepared statement "_pg3_0" already exists'),
        psycopg.errors.DuplicatePreparedStatement,
        StoreNotReady,
        'add "pooling": "transaction"',
    ),
    "a pooler that refuses": (
        OperationalError("connection failed: FATAL:  unsupported startup parameter: options"),
        None,
        StoreNotReady,
        'add "pooling": "transaction"',
    ),
    "too many": (
        OperationalError("connection failed: FATAL:  sorry, too many clients already"),
        None,
        StoreUnavailable,
        "max_connections",
    ),
    "nobody there": (OperationalError("connection refused"), None, StoreUnavailable, "connection refused"),
    "a busy file": (OperationalError("database is locked"), None, StoreUnavailable, '["timeout"]'),
}


@pytest.mark.django_db
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_told_what_went_wrong_and_what_to_do(
    case: tuple[Error, type[psycopg.Error] | None, type[StoreError], str],
) -> None:
    error, cause, kind, remedy = case
    error.__cause__ = cause and cause(str(error))
    with pytest.raises(kind) as raised, translated(connections["default"]):
        raise error
    assert type(raised.value) is kind
    assert str(raised.value).startswith("the database 'default' ")
    assert str(error).partition("FATAL:  ")[2] in str(raised.value)
    assert remedy in str(raised.value)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"pooling": "statement"}, "pooling='statement' must be \"transaction\""),
        ({"pooling": "transaction"}, "pooling='transaction' is for PostgreSQL; 'default' is sqlite"),
        ({"listen_notify": "yes"}, "listen_notify"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        DatabaseOptions.parse(options)
    assert complaint in str(raised.value)
