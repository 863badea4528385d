"""What went wrong in a database, as errors of core that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import (
    DataError,
    Error,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.errors import StoreError, StoreNotReady, StoreRefused, StoreUnavailable
from dlq_db.contention import Contended
from dlq_db.dialects.mysql import errors as mysql

__all__ = ["translated"]

UNDEFINED = ("42P01", "42703")  # PostgreSQL: undefined table, undefined column


@contextmanager
def translated(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Raise errors of core in place of Django's.

    Outside a transaction the connection is given up after an error, unless the error is about data: it
    may be broken, and the next call opens another.
    """
    try:
        yield
    except Error as error:
        failure = _translate(connection, error)
        if _may_be_broken(failure) and not connection.in_atomic_block:
            connection.close()
        raise failure from error
    except (UnicodeError, OverflowError) as error:
        # The driver could not even write it down: half a surrogate pair, or a number of more than 64 bits.
        raise StoreRefused(f"the database {connection.alias!r} cannot hold the data: {error}") from error


def _translate(connection: BaseDatabaseWrapper, error: Exception) -> StoreError:
    where = f"the database {connection.alias!r}"
    text = str(error).strip().partition("\n")[0]
    if known := mysql.meaning(error):
        kind, what = known
        return kind(f"{where} {what.format(text=text, alias=connection.alias)}")
    if isinstance(error, NotSupportedError):
        return StoreNotReady(f"{where} is not one that dlq-db can use: {text}")
    if _misses_tables(error):
        return StoreNotReady(
            f"{where} lacks the tables of DLQ ({text}). Run: manage.py migrate --database {connection.alias}"
        )
    if isinstance(error, OperationalError | InterfaceError):
        return StoreUnavailable(f"{where} did not answer: {text}")
    if isinstance(error, DataError):
        return StoreRefused(f"{where} refused the data: {text}")
    return StoreError(f"{where} failed: {text}")


def _may_be_broken(failure: StoreError) -> bool:
    return isinstance(failure, StoreUnavailable) and not isinstance(failure, Contended)


def _misses_tables(error: Exception) -> bool:
    if isinstance(error, ProgrammingError):
        return getattr(error.__cause__, "sqlstate", None) in UNDEFINED
    return isinstance(error, OperationalError) and str(error).startswith(("no such table", "no such column"))
