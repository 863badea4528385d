"""What went wrong in a database, as errors of core that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DataError, Error, InterfaceError, NotSupportedError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.errors import StoreError, StoreNotReady, StoreRefused, StoreUnavailable
from dlq_db.contention import Contended

__all__ = ["translated"]

type Meaning = tuple[type[StoreError], str]

NO_TABLES: Meaning = (
    StoreNotReady,
    "lacks the tables of DLQ ({text}). Run: manage.py migrate --database {alias}",
)
READ_ONLY: Meaning = (
    StoreNotReady,
    (
        "cannot be written to ({text}): it is a replica, or read-only by its settings or its files' permissions. Have "
        'DATABASES["{alias}"] name the primary, with a user who may write.'
    ),
)
FULL: Meaning = (StoreError, "has no space left ({text}). Nothing was stored. Free some on its disk.")
CONFLICT: Meaning = (
    Contended,
    "gave way to another transaction ({text}). Nothing was stored. Repeat the whole transaction.",
)
POOLED: Meaning = (
    StoreNotReady,
    (
        "is behind a pooler that gives each transaction another connection ({text}). Say so: "
        'add "pooling": "transaction" to the OPTIONS of the backend in TASKS.'
    ),
)
DATA: Meaning = (StoreRefused, "refused the data: {text}")
CROWDED: Meaning = (
    StoreUnavailable,
    "takes no more connections ({text}). Run fewer workers, raise max_connections, or put a pooler before it.",
)

BY_SQLSTATE: dict[str, Meaning] = {
    "42P01": NO_TABLES,
    "42703": NO_TABLES,
    "25006": READ_ONLY,
    "53100": FULL,
    "40001": CONFLICT,
    "40P01": CONFLICT,
    "55P03": (
        StoreError,
        (
            "kept a lock from us for longer than lock_timeout ({text}). Nothing was stored. Another transaction "
            "holds it: pg_blocking_pids() and pg_stat_activity say which."
        ),
    ),
    "57014": (
        StoreError,
        (
            "ended the statement ({text}). Nothing was stored. If nobody did that by hand, it took longer than "
            "statement_timeout: see in pg_stat_activity what the server is busy with."
        ),
    ),
    "25P02": (
        StoreError,
        "ignores what is asked in a transaction in which something failed before ({text}). Roll it back.",
    ),
    "53300": CROWDED,
    "42P05": POOLED,
    "26000": POOLED,
}
"""For PostgreSQL, by the code of the error."""

BY_NUMBER: dict[int, Meaning] = {
    **dict.fromkeys([1146, 1054], NO_TABLES),
    # Too long, out of range, not of the character set, not of the type, NULL, larger than max_allowed_packet.
    **dict.fromkeys([1406, 1264, 1366, 1292, 1265, 1048, 1153], DATA),
    **dict.fromkeys([1290, 1792, 1836], READ_ONLY),
    **dict.fromkeys([1021, 1114], FULL),
    **dict.fromkeys([1040, 1203, 1226], CROWDED),
    # A deadlock, and a row that is newer than what the transaction sees.
    **dict.fromkeys([1213, 1020], CONFLICT),
    1205: (
        Contended,
        (
            "kept a lock from us for longer than innodb_lock_wait_timeout ({text}). Nothing was stored. Repeat the "
            "whole transaction; information_schema.innodb_trx says which others there are."
        ),
    ),
    # MySQL's max_execution_time, and MariaDB's max_statement_time.
    **dict.fromkeys(
        [3024, 1969],
        (
            StoreError,
            (
                "ended the statement ({text}). Nothing was stored. It took too long: SHOW FULL PROCESSLIST says what "
                "the server is busy with."
            ),
        ),
    ),
}
"""For MySQL and MariaDB, by the number of the error."""

BY_TEXT: dict[str, Meaning] = {
    # PostgreSQL and PgBouncer, where a connection is refused: such errors have no code.
    "unsupported startup parameter": POOLED,
    "too many clients": CROWDED,
    "connection slots are reserved": CROWDED,
    # SQLite, which has none at all.
    "no such table": NO_TABLES,
    "no such column": NO_TABLES,
    "readonly database": READ_ONLY,
    "disk is full": FULL,
    "database is locked": (
        StoreUnavailable,
        (
            "did not answer: {text}. Another process is writing, for longer than "
            'DATABASES["{alias}"]["OPTIONS"]["timeout"], or in a transaction that had read before.'
        ),
    ),
}
"""By what the message of the error contains."""


@contextmanager
def translated(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Raise errors of core in place of Django's.

    Outside a transaction the connection is given up after an error, unless the database has answered and will go
    on to: it may be broken, or lead to a server that is not the right one any more. The next call opens another.
    """
    try:
        yield
    except Error as error:
        failure = _translate(connection, error)
        if isinstance(failure, StoreUnavailable | StoreNotReady) and not connection.in_atomic_block:
            connection.close()
        raise failure from error
    except (UnicodeError, OverflowError) as error:
        # The driver could not even write it down: half a surrogate pair, or a number of more than 64 bits.
        raise StoreRefused(f"the database {connection.alias!r} cannot hold the data: {error}") from error


def _translate(connection: BaseDatabaseWrapper, error: Error) -> StoreError:
    text = str(error).strip().partition("\n")[0]
    kind, what = _meaning(error, text)
    return kind(f"the database {connection.alias!r} {what.format(text=text, alias=connection.alias)}")


def _meaning(error: Error, text: str) -> Meaning:
    if meaning := BY_SQLSTATE.get(getattr(error.__cause__, "sqlstate", None) or ""):
        return meaning
    if meaning := BY_NUMBER.get(next(iter(getattr(error.__cause__, "args", ())), 0)):
        return meaning
    if isinstance(error, OperationalError | InterfaceError):
        known = (meaning for part, meaning in BY_TEXT.items() if part in str(error))
        return next(known, (StoreUnavailable, "did not answer: {text}"))
    if isinstance(error, DataError):
        return DATA
    if isinstance(error, NotSupportedError):
        return StoreNotReady, "is not one that DLQ can use: {text}"
    return StoreError, "failed: {text}"
