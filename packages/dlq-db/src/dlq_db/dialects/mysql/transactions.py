"""Transactions of ours on MySQL: at READ COMMITTED, whatever the site's default is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.dialects.mysql.plans import by_key

__all__ = ["committed"]

LEVEL = "read committed"


@contextmanager
def committed(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """A transaction that locks rows and no gaps between them; or the caller's, if there is one.

    After an error inside the caller's it can only be rolled back: half a verb may be written, and after a
    deadlock the server has done that already.
    """
    connection.ensure_connection()
    is_ours = connection.get_autocommit()
    with transaction.atomic(using=connection.alias, savepoint=False), connection.execute_wrapper(by_key):
        if is_ours and connection.isolation_level != LEVEL:  # type: ignore[attr-defined]
            # It is for the next transaction, and forgotten with the next statement that is in none, as those are that
            # switch autocommit off.
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        yield
