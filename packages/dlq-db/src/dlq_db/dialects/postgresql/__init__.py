"""PostgreSQL: one statement for each verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from django.db import DataError, IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import LOG_LINES, Exchanged, NewJob, Note, Outcome, Sight, WorkerRef
from dlq.states import State
from dlq_db.dialects import statement
from dlq_db.dialects.postgresql.arguments import first_of_each, note_columns, outcome_columns
from dlq_db.dialects.postgresql.claiming import Claiming
from dlq_db.dialects.postgresql.looking import Looking, Served
from dlq_db.dialects.postgresql.marks import Place, Searches
from dlq_db.dialects.postgresql.patience import limit_waits
from dlq_db.dialects.postgresql.replies import claim_of, place_of, sight_of

__all__ = ["PostgreSQL", "Searches"]

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
    """See ``Dialect``. It remembers how far its searches have come: see marks.py."""

    def __init__(self, searches: Searches) -> None:
        """``searches`` says when one counts as slow."""
        self._claiming = Claiming(searches)
        self._waiting = Looking(searches)
        self._looking = Looking(searches)
        self._served = Served(searches)
        self._pruned: dict[tuple[State, str | None], tuple[datetime | None, datetime | None]] = {}

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
        turn = self._claiming.begin(queues)
        self._waiting.know(queues)
        arguments = {
            "backend": backend,
            "worker": worker.id,
            "incarnation": worker.incarnation,
            "queues": list(turn.starts),
            "marks": [marks and str(marks) for marks in turn.starts.values()],
            "most": limit,
            "now": now,
            **outcome_columns(outcomes),
        }
        rows = _not_overtaken(lambda: _rows(connection, "exchange", arguments))
        registered, stale, already, paused, walked, position = rows[0][:6]
        jobs = [row[7:] for row in rows if row[7] is not None]
        if registered:
            self._claiming.end(turn, [place_of(job) for job in jobs], limit, paused, walked, position)
        claims = [claim_of(job, worker.id) for job in jobs]
        return Exchanged(claims=claims, stale=stale or [], already=already or [], registered=registered)

    def annotate(self, connection: BaseDatabaseWrapper, backend: str, notes: Sequence[Note]) -> list[UUID]:
        """One statement."""
        arguments = {"backend": backend, "keep": LOG_LINES, **note_columns(notes)}
        stored = set(_rows(connection, "annotate", arguments))
        return [note.id for note in notes if (note.id, note.token) not in stored]

    def waiting(self, connection: BaseDatabaseWrapper, backend: str, now: datetime | None) -> list[str]:
        """One statement."""
        glance = self._waiting.begin()
        ((ready, *first, walked, position),) = _rows(
            connection, "waiting", {"backend": backend, "now": now, **glance.arguments}
        )
        self._waiting.end(glance, map(Place, *first), walked, position)
        return sorted(ready)

    def look(
        self, connection: BaseDatabaseWrapper, backend: str, runner: str, limit: int, now: datetime | None
    ) -> Sight:
        """One statement."""
        glance = self._looking.begin()
        arguments = {"backend": backend, "runner": runner, "most": limit, "now": now}
        arguments |= glance.arguments | self._served.arguments(whole=glance.whole)
        ((*sight, queues, priorities, seqs, walked, position, moment, last_due, last_expired),) = _rows(
            connection, "look", arguments
        )
        self._looking.end(glance, map(Place, queues, priorities, seqs), walked, position)
        if limit:
            self._served.note(glance.began, moment, last_due, last_expired)
        return sight_of(sight)

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

    def prune(
        self,
        connection: BaseDatabaseWrapper,
        backend: str,
        state: State,
        older_than: float | None,
        limit: int,
        task: str | None,
        now: datetime | None,
    ) -> int:
        """One statement. As long as there is more, it goes on where the last one ended, and not at the head again."""
        kept_after, finished_after = self._pruned.pop((state, task), (None, None))
        arguments = {"backend": backend, "state": int(state), "task": task, "most": limit, "now": now}
        arguments |= {"older_than": older_than, "kept_after": kept_after, "finished_after": finished_after}
        ((count, last_kept, last_finished),) = _rows(connection, "prune", arguments)
        if count == limit:
            self._pruned[state, task] = (last_kept or kept_after, last_finished or finished_after)
        return int(count)

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
    """What a verb's statement answers. Past Django's cursor: prepared by the server, and in no debug log."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        return cursor.execute(statement(f"postgresql/{verb}.sql"), arguments, prepare=True).fetchall()
