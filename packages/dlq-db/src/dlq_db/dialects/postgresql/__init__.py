"""PostgreSQL: one statement for each verb."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from django.db import DataError, IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import LOG_LINES, Enqueued, Exchanged, NewJob, Note, Outcome
from dlq.states import State
from dlq.store.schedules import Advance, Advanced
from dlq.store.tallies import TALLIES_KEPT
from dlq.workers import Sight, WorkerRef
from dlq_db.admitting import MANY, Admission, Admitted
from dlq_db.dialects.postgresql import sessions
from dlq_db.dialects.postgresql.arguments import (
    advance_columns,
    first_of_each,
    note_columns,
    outcome_columns,
)
from dlq_db.dialects.postgresql.claiming import Claiming
from dlq_db.dialects.postgresql.enqueueing import enqueue, enqueue_unique
from dlq_db.dialects.postgresql.listening import Listener
from dlq_db.dialects.postgresql.looking import Looking, Served
from dlq_db.dialects.postgresql.marks import Place, Searches
from dlq_db.dialects.postgresql.replies import claim_of, place_of, sight_of
from dlq_db.dialects.postgresql.telling import tell
from dlq_db.lines import released
from dlq_db.tallying import FOLDED_AT_ONCE, Folds

__all__ = ["PostgreSQL", "Searches"]

READY = """
    UPDATE dlq_live l
    SET state = 3, waits = NULL, seq = n.seq
    FROM (
        SELECT id, nextval('dlq_seq') AS seq
        FROM (SELECT id FROM unnest(%s::uuid[]) WITH ORDINALITY AS i (id, place) ORDER BY place) ordered
    ) n
    WHERE l.id = n.id
"""


class PostgreSQL:
    """See ``Dialect``. It remembers how far its searches have come: see marks.py."""

    def __init__(self, searches: Searches, *, pooled: bool = False) -> None:
        """``searches`` says when one counts as slow.

        ``pooled``: each transaction may have another connection to the server, see ``sessions``.
        """
        self._pooled = pooled
        self._claiming = Claiming(searches)
        self._waiting = Looking(searches)
        self._looking = Looking(searches)
        self._served = Served(searches)
        self._folds = Folds()
        self._pruned: dict[tuple[State, str | None], tuple[datetime | None, datetime | None]] = {}

    def transaction(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """A plain one: what is read and then written is locked by row."""
        return transaction.atomic(using=connection.alias)

    def places(self, connection: BaseDatabaseWrapper, count: int) -> Sequence[int]:
        """One statement."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval('dlq_seq') FROM generate_series(1, %s)", [count])
            return [seq for (seq,) in cursor.fetchall()]

    def make_ready(self, connection: BaseDatabaseWrapper, ids: Sequence[UUID]) -> None:
        """One statement."""
        with connection.cursor() as cursor:
            cursor.execute(READY, [list(ids)])

    def enqueue(
        self, connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime | None
    ) -> Enqueued:
        """One statement, unless some of the jobs are unique and others have their marks."""
        jobs = first_of_each(jobs, lambda job: job.id)
        if not any(job.unique for job in jobs):
            return enqueue(connection, backend, jobs, now)
        return _not_overtaken(lambda: enqueue_unique(connection, backend, jobs, now))

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
        """One statement, and the same again when others have overtaken it: see there.

        Slots that are given back are given on between the settlement and the claims: three of them in one transaction.
        """
        marks = released(outcomes)
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
        rows = _not_overtaken(lambda: self._exchange(connection, arguments, marks, now))
        registered, stale, already, paused, walked, position = rows[0][:6]
        jobs = [row[7:] for row in rows if row[7] is not None]
        if registered:
            self._claiming.end(turn, [place_of(job) for job in jobs], limit, paused, walked, position)
        claims = [claim_of(job, worker.id) for job in jobs]
        return Exchanged(claims=claims, stale=stale or [], already=already or [], registered=registered)

    def _exchange(
        self,
        connection: BaseDatabaseWrapper,
        arguments: dict[str, Any],
        marks: Sequence[str],
        now: datetime | None,
    ) -> list[tuple[Any, ...]]:
        if not marks:
            return self._rows(connection, "exchange", arguments)
        keys = {"marks": marks, "most": MANY, "now": now}
        settled, _, granted, claimed = self._several(
            connection,
            ("exchange", arguments | {"most": 0}),
            ("lock", keys),
            ("grant", keys),
            ("exchange", arguments | outcome_columns([])),
        )
        if granted[0][-1]:
            Admission(connection, self, now).admit_of(marks)
        return [(row[0], *settled[0][1:3], *row[3:]) for row in claimed]

    def admit_of(
        self, connection: BaseDatabaseWrapper, marks: Sequence[str], now: datetime | None
    ) -> list[Admitted]:
        """Two statements in one transaction; more where somebody waits who is to be discarded, or to take a place."""
        keys = {"marks": marks, "most": MANY, "now": now}
        _, ((backends, queues, others),) = self._several(connection, ("lock", keys), ("grant", keys))
        admitted = list(zip(backends, queues, strict=True))
        return admitted + Admission(connection, self, now).admit_of(marks) if others else admitted

    def annotate(self, connection: BaseDatabaseWrapper, backend: str, notes: Sequence[Note]) -> list[UUID]:
        """One statement."""
        arguments = {"backend": backend, "keep": LOG_LINES, **note_columns(notes)}
        stored = set(self._rows(connection, "annotate", arguments))
        return [note.id for note in notes if (note.id, note.token) not in stored]

    def waiting(self, connection: BaseDatabaseWrapper, backend: str, now: datetime | None) -> list[str]:
        """One statement."""
        glance = self._waiting.begin()
        ((ready, *first, walked, position),) = self._rows(
            connection, "waiting", {"backend": backend, "now": now, **glance.arguments}
        )
        self._waiting.end(glance, map(Place, *first), walked, position)
        return sorted(ready)

    def look(
        self, connection: BaseDatabaseWrapper, backend: str, runner: str, limit: int, now: datetime | None
    ) -> tuple[Sight, bool]:
        """One statement, and another one a minute."""
        glance = self._looking.begin()
        arguments = {"backend": backend, "runner": runner, "most": limit, "now": now}
        arguments |= glance.arguments | self._served.arguments(whole=glance.whole)
        ((*sight, queues, priorities, seqs, walked, position, moment, last_due, last_expired, waits),) = (
            self._rows(connection, "look", arguments)
        )
        self._looking.end(glance, map(Place, queues, priorities, seqs), walked, position)
        if limit:
            self._served.note(glance.began, moment, last_due, last_expired)
            self._fold(connection, backend, moment)
        return sight_of(sight), waits

    def _fold(self, connection: BaseDatabaseWrapper, backend: str, now: datetime) -> None:
        if self._folds.are_due(now):
            arguments = {"backend": backend, "now": now, "most": FOLDED_AT_ONCE}
            arguments |= {"kept": TALLIES_KEPT.total_seconds()}
            ((folded,),) = self._rows(connection, "fold", arguments)
            self._folds.note(folded, now)

    def beat(
        self, connection: BaseDatabaseWrapper, backend: str, runner: str, now: datetime | None
    ) -> dict[str, int]:
        """One statement."""
        return dict(self._rows(connection, "beat", {"backend": backend, "runner": runner, "now": now}))

    def retire(self, connection: BaseDatabaseWrapper, backend: str, runner: str, beat: int | None) -> bool:
        """One statement, and once more when a worker registered beside the first, which did not see it."""
        arguments = {"backend": backend, "runner": runner, "beat": beat}
        try:
            return bool(self._rows(connection, "retire", arguments))
        except IntegrityError:
            return bool(self._rows(connection, "retire", arguments))

    def tell(self, connection: BaseDatabaseWrapper, backend: str, queues: Collection[str]) -> None:
        """NOTIFY, at most so often."""
        tell(connection, backend, queues)

    def ear(self, backend: str, waiting: Callable[[], Iterable[str]]) -> Listener | None:
        """LISTEN, which belongs to a connection to the server: a pooler would lose it."""
        return None if self._pooled else Listener(backend, waiting)

    def clock(self, connection: BaseDatabaseWrapper) -> datetime:
        """That of the server."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT statement_timestamp()")
            now: datetime = cursor.fetchone()[0]
        return now

    def advance(
        self, connection: BaseDatabaseWrapper, backend: str, advances: Sequence[Advance], now: datetime | None
    ) -> Advanced:
        """One statement."""
        arguments = {"backend": backend, "now": now, **advance_columns(backend, advances)}
        ((at, keys, jobs),) = self._rows(connection, "advance", arguments)
        return Advanced(at=at, keys=keys, jobs=jobs)

    def _rows(
        self, connection: BaseDatabaseWrapper, verb: str, arguments: dict[str, Any]
    ) -> list[tuple[Any, ...]]:
        return sessions.rows(connection, verb, arguments, pooled=self._pooled)

    def _several(
        self, connection: BaseDatabaseWrapper, *calls: tuple[str, dict[str, Any]]
    ) -> list[list[tuple[Any, ...]]]:
        return sessions.rows_of_several(connection, calls, pooled=self._pooled)

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
        ((count, last_kept, last_finished),) = self._rows(connection, "prune", arguments)
        if count == limit:
            self._pruned[state, task] = (last_kept or kept_after, last_finished or finished_after)
        return int(count)

    def dedicate(self, connection: BaseDatabaseWrapper) -> None:
        """With limits, plans and patience of its own."""
        sessions.dedicate(connection, pooled=self._pooled)


def _not_overtaken[R](run: Callable[[], R]) -> R:
    while True:
        try:
            return run()
        except DataError as error:
            if not isinstance(error.__cause__, psycopg.errors.DivisionByZero):
                raise
