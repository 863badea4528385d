"""Two who meet at a row: a verb of the store in another thread, and a transaction of this one that it waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.store import DatabaseStore

__all__ = ["second"]

PATIENCE = 60.0
WAITS_FOR_US = {
    "postgresql": """
        SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))
    """,
    "mysql": """
        SELECT EXISTS (
            SELECT * FROM information_schema.innodb_lock_waits
            JOIN information_schema.innodb_trx ON trx_id = blocking_trx_id
            WHERE trx_mysql_thread_id = CONNECTION_ID()
        )
    """,
}


@contextmanager
def second[R](
    first: DatabaseStore, verb: Callable[[DatabaseStore], R], meanwhile: Callable[[], None] = lambda: None
) -> Iterator[Future[R]]:
    """The block is a transaction; at its end the verb waits for it in another thread, and then goes on."""

    def run() -> R:
        store = DatabaseStore("default", database=first.database)
        try:
            return verb(store)
        finally:
            store.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(using=first.database):
            answer: Future[R] = Future()
            yield answer
            running = pool.submit(run)
            _wait_until_blocked(first.connection, running)
            meanwhile()
        answer.set_result(running.result(PATIENCE))


def _wait_until_blocked[R](connection: BaseDatabaseWrapper, running: Future[R]) -> None:
    deadline = time.monotonic() + PATIENCE
    with connection.cursor() as cursor:
        while not running.done():
            cursor.execute(WAITS_FOR_US[connection.vendor])
            if cursor.fetchone()[0]:
                return
            assert time.monotonic() < deadline, "nobody waits"
            # MariaDB reads its locks anew only for one who has not asked for a tenth of a second.
            threading.Event().wait(0.15)
    raise AssertionError(f"it did not wait: {running.result()}")
