"""PostgreSQL: one statement for each verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from django.db import DataError, IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorDebugWrapper

from dlq.job import LOG_LINES, Exchanged, NewJob, Note, Outcome, Sight, WorkerRef
from dlq_db.dialects import statement
from dlq_db.dialects.postgresql.arguments import first_of_each, note_columns, outcome_columns
from dlq_db.dialects.postgresql.patience import limit_waits
from dlq_db.dialects.postgresql.replies import claim_of, sight_of

__all__ = ["PostgreSQL"]

LIMITS = (
    "-c statement_timeout=20s -c lock_timeout=10s "
    # A runner that is stopped in the middle of a transaction must not hold its locks for long.
    "-c idle_in_transaction_session_timeout=10s"
)

PLANS = (
    # One plan for all arguments, because planning takes a third as long as the exchange. Such a plan does not know
    # how few rows it is for, and would read whole tables: it has to look up by key, in the order of an index.
    "-c plan_cache_mode=force_generic_plan -c jit=off "
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c enable_sort=off"
)


class PostgreSQL:
    """See ``Dialect``."""

    def transaction(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """A plain one: what is read and then written is locked by row."""
        return transaction.atomic(using=connection.alias)

    def places(self, connection: BaseDatabaseWrapper, count: int) -> Sequence[int]:
        """One statement."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval('dlq_seq') FROM generate_series(1, %s)", [count])
            return [seq for (seq,) in cursor.fetchall()]

    def enqueue(
        self, connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime | None
    ) -> datetime:
        """Through Django's own cursor: the caller may be in a transaction, or count its queries."""
        jobs = first_of_each(jobs, lambda job: job.id)
        with connection.cursor() as cursor:
            cursor.execute(
                statement("postgresql/enqueue.sql"),
                {
                    "backend": backend,
                    "now": now,
                    "ids": [job.id for job in jobs],
                    "tasks": [job.task for job in jobs],
                    "queues": [job.queue for job in jobs],
                    "priorities": [job.priority for job in jobs],
                    "payloads": [job.payload for job in jobs],
                    "run_afters": [job.run_after for job in jobs],
                    "max_attempts": [job.max_attempts for job in jobs],
                    "max_interruptions": [job.max_interruptions for job in jobs],
                    "overrides": [job.overrides for job in jobs],
                    "expires_afters": [job.expires_after for job in jobs],
                    "metadata": [job.metadata for job in jobs],
                },
            )
            enqueued_at: datetime = cursor.fetchone()[0]
        return enqueued_at

    def exchange(
        self,
        connection: BaseDatabaseWrapper,
        backend: str,
        worker: WorkerRef,
        outcomes: Sequence[Outcome],
        queues: Sequence[str],
        limit: int,
        now: datetime | None,
    ) -> Exchanged:
        """One statement, and the same again when others have overtaken it: see there."""
        arguments = {
            "backend": backend,
            "worker": worker.id,
            "incarnation": worker.incarnation,
            "queues": list(dict.fromkeys(queues)),
            "most": limit,
            "now": now,
            **outcome_columns(outcomes),
        }
        rows = _not_overtaken(lambda: _rows(connection, "exchange", arguments))
        registered, stale, already, first, *_ = rows[0]
        claims = [claim_of(row, worker.id) for row in rows] if first is not None else []
        return Exchanged(claims=claims, stale=stale or [], already=already or [], registered=registered)

    def annotate(self, connection: BaseDatabaseWrapper, backend: str, notes: Sequence[Note]) -> list[UUID]:
        """One statement."""
        arguments = {"backend": backend, "keep": LOG_LINES, **note_columns(notes)}
        stored = set(_rows(connection, "annotate", arguments))
        return [note.id for note in notes if (note.id, note.token) not in stored]

    def look(
        self, connection: BaseDatabaseWrapper, backend: str, runner: str, limit: int, now: datetime | None
    ) -> Sight:
        """One statement."""
        arguments = {"backend": backend, "runner": runner, "most": limit, "now": now}
        (row,) = _rows(connection, "look", arguments)
        return sight_of(row)

    def beat(
        self, connection: BaseDatabaseWrapper, backend: str, runner: str, now: datetime | None
    ) -> dict[str, int]:
        """One statement."""
        return dict(_rows(connection, "beat", {"backend": backend, "runner": runner, "now": now}))

    def retire(self, connection: BaseDatabaseWrapper, backend: str, runner: str, beat: int | None) -> bool:
        """One statement, and once more when a worker registered beside the first, which did not see it."""
        arguments = {"backend": backend, "runner": runner, "beat": beat}
        try:
            return bool(_rows(connection, "retire", arguments))
        except IntegrityError:
            return bool(_rows(connection, "retire", arguments))

    def dedicate(self, connection: BaseDatabaseWrapper) -> None:
        """Give every call an end: a server that is gone, or busy for ever, must not hang a runner."""
        options = connection.settings_dict["OPTIONS"]
        # Django forbids prepared statements; an explicit None in the site's OPTIONS keeps it so.
        options.setdefault("prepare_threshold", 5)
        options.setdefault("connect_timeout", 10)
        options.setdefault("tcp_user_timeout", 20_000)
        options.setdefault("keepalives_idle", 10)
        options.setdefault("application_name", "dlq")
        options["options"] = f"{options.get('options', '')} {LIMITS} {PLANS}".strip()
        limit_waits(connection)


def _not_overtaken[R](run: Callable[[], R]) -> R:
    while True:
        try:
            return run()
        except DataError as error:
            if not isinstance(error.__cause__, psycopg.errors.DivisionByZero):
                raise


def _rows(connection: BaseDatabaseWrapper, verb: str, arguments: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What a verb's statement answers. Past Django's cursor, so that the server can prepare it."""
    connection.ensure_connection()
    sql = statement(f"postgresql/{verb}.sql")
    with (
        connection.wrap_database_errors,
        psycopg.Cursor(connection.connection) as cursor,
        _logged(connection, sql, arguments),
    ):
        return cursor.execute(sql, arguments, prepare=True).fetchall()


def _logged(
    connection: BaseDatabaseWrapper, sql: str, arguments: dict[str, Any]
) -> AbstractContextManager[None]:
    """As Django's own cursor does, where the connection says that it logs."""
    if not connection.queries_logged:
        return nullcontext()
    return CursorDebugWrapper(None, connection).debug_sql(sql, arguments)
