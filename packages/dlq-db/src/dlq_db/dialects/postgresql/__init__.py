"""PostgreSQL: one statement for each verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import psycopg
from django.db import IntegrityError
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import Claim, Exchanged, NewJob, Outcome, WorkerRef
from dlq_db.dialects import statement
from dlq_db.dialects.postgresql.patience import limit_waits

__all__ = ["PostgreSQL"]

LIMITS = (
    "-c statement_timeout=20s -c lock_timeout=10s "
    # A runner that is stopped in the middle of a transaction must not hold its locks for long.
    "-c idle_in_transaction_session_timeout=10s"
)


class PostgreSQL:
    """See ``Dialect``."""

    def enqueue(
        self, connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime | None
    ) -> datetime:
        """Through Django's own cursor: the caller may be in a transaction, or count its queries."""
        jobs = _first_of_each(jobs, lambda job: job.id)
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
        """One statement."""
        arguments = {
            "backend": backend,
            "worker": worker.id,
            "incarnation": worker.incarnation,
            "queues": list(dict.fromkeys(queues)),
            "most": limit,
            "now": now,
            **_columns(_in_lock_order(outcomes)),
        }
        rows = _rows(connection, "exchange", arguments)
        registered, stale, already, first, *_ = rows[0]
        claims = [_claim(row, worker.id) for row in rows] if first is not None else []
        return Exchanged(claims=claims, stale=stale or [], already=already or [], registered=registered)

    def promote(self, connection: BaseDatabaseWrapper, backend: str, limit: int, now: datetime | None) -> int:
        """One statement."""
        return len(_rows(connection, "promote", {"backend": backend, "most": limit, "now": now}))

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
        options["options"] = f"{options.get('options', '')} {LIMITS}".strip()
        limit_waits(connection)


def _first_of_each[T](items: Sequence[T], key: Callable[[T], object]) -> list[T]:
    """A statement sees all rows of an array at once: what comes twice must be left out before."""
    seen: dict[object, T] = {}
    for item in items:
        seen.setdefault(key(item), item)
    return list(seen.values())


def _in_lock_order(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """By id: two exchanges that settle the same jobs then wait for each other in turn, and not in a circle."""
    unique = _first_of_each(outcomes, lambda outcome: (outcome.id, outcome.token))
    return sorted(unique, key=lambda outcome: outcome.id.int)


def _rows(connection: BaseDatabaseWrapper, verb: str, arguments: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What a verb's statement answers. Past Django's cursor: prepared by the server, and in no debug log."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        return cursor.execute(statement(f"postgresql/{verb}.sql"), arguments, prepare=True).fetchall()


def _columns(outcomes: Sequence[Outcome]) -> dict[str, list[Any]]:
    return {
        "ids": [o.id for o in outcomes],
        "tokens": [o.token for o in outcomes],
        "states": [int(o.state) for o in outcomes],
        "counted": [int(o.counted) for o in outcomes],
        "results": [o.result for o in outcomes],
        "exceptions": [o.failure and o.failure.exception for o in outcomes],
        "tracebacks": [o.failure and o.failure.traceback for o in outcomes],
        "delays": [o.delay for o in outcomes],
        "seconds": [o.seconds for o in outcomes],
    }


def _claim(row: Sequence[Any], worker: str) -> Claim:
    (
        _,
        _,
        _,
        id,
        token,
        attempts,
        interruptions,
        claimed_at,
        task,
        queue,
        payload,
        priority,
        run_after,
        enqueued_at,
    ) = row[:14]
    max_attempts, max_interruptions, overrides = row[14:]
    return Claim(
        id=id,
        token=token,
        task=task,
        queue=queue,
        payload=payload,
        priority=priority,
        run_after=run_after,
        enqueued_at=enqueued_at,
        claimed_at=claimed_at,
        worker=worker,
        attempts=attempts,
        interruptions=interruptions,
        max_attempts=max_attempts,
        max_interruptions=max_interruptions,
        overrides=overrides,
    )
