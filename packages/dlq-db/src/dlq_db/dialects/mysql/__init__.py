"""MySQL and MariaDB: short transactions at READ COMMITTED, many rows a statement, each written by its key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F

from dlq.job import Enqueued, Exchanged, NewJob, Note, Outcome
from dlq.states import State
from dlq.store.schedules import Advance, Advanced
from dlq.workers import Sight, WorkerRef
from dlq_db.admitting import Admission, Admitted
from dlq_db.clock import moment
from dlq_db.dialects import statement
from dlq_db.dialects.mysql.annotating import annotate
from dlq_db.dialects.mysql.circumstances import Circumstances
from dlq_db.dialects.mysql.claiming import claim
from dlq_db.dialects.mysql.enqueueing import enqueue
from dlq_db.dialects.mysql.looking import look
from dlq_db.dialects.mysql.patience import limit_waits
from dlq_db.dialects.mysql.settling import settle
from dlq_db.dialects.mysql.transactions import committed
from dlq_db.dialects.mysql.writing import put_behind
from dlq_db.firing import advance
from dlq_db.lines import released
from dlq_db.models import Live, Runner, Worker
from dlq_db.pruning import is_anything_over, prune
from dlq_db.queues import waiting_queues
from dlq_db.tallying import Folds

__all__ = ["MySQL"]


class MySQL:
    """See ``Dialect``. What gives way to another transaction is repeated by ``DatabaseStore``."""

    def __init__(self) -> None:
        """It remembers when it has folded."""
        self._folds = Folds()

    def transaction(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """One that locks rows, and no gaps between them."""
        return committed(connection)

    def places(self, connection: BaseDatabaseWrapper, count: int) -> Sequence[int | None]:
        """None for each: the column counts by itself when the rows are inserted."""
        return [None] * count

    def make_ready(self, connection: BaseDatabaseWrapper, ids: Sequence[UUID]) -> None:
        """They are written anew, so that each gets the next ``seq``."""
        found = Live.objects.using(connection.alias).in_bulk(ids)
        lives = [found[id] for id in ids]
        for live in lives:
            live.state, live.waits = State.READY, None
        put_behind(connection, lives)

    def admit_of(
        self, connection: BaseDatabaseWrapper, marks: Sequence[str], now: datetime | None
    ) -> list[Admitted]:
        """One transaction."""
        with committed(connection):
            return Admission(connection, self, now).admit_of(marks)

    def enqueue(
        self, connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime | None
    ) -> Enqueued:
        """Four statements for a batch, inside the caller's transaction when there is one."""
        with committed(connection):
            return enqueue(connection, backend, jobs, now)

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
        """One transaction. Locks are taken in one order: the worker's row, those of the outcomes by id, and those
        of the claims, for which it never waits.
        """
        with committed(connection):
            with connection.cursor() as cursor:
                cursor.execute(statement("mysql/seat.sql"), [backend, worker.id])
                *said, incarnation = cursor.fetchone()
            server = Circumstances.of(tuple(said), now)
            stale, already = (
                settle(connection, backend, worker.id, outcomes, server) if outcomes else ([], [])
            )
            if marks := released(outcomes):
                Admission(connection, self, now).admit_of(marks)
            registered = incarnation == worker.incarnation
            claims = claim(connection, backend, worker.id, queues, limit, server.now) if registered else []
        return Exchanged(claims=claims, stale=stale, already=already, registered=registered)

    def waiting(self, connection: BaseDatabaseWrapper, backend: str, now: datetime | None) -> list[str]:
        """Two statements."""
        return waiting_queues(connection, backend, now)

    def annotate(self, connection: BaseDatabaseWrapper, backend: str, notes: Sequence[Note]) -> list[UUID]:
        """One transaction."""
        with committed(connection):
            return annotate(connection, backend, notes)

    def look(
        self, connection: BaseDatabaseWrapper, backend: str, runner: str, limit: int, now: datetime | None
    ) -> tuple[Sight, bool]:
        """One statement, and more if there is something to write."""
        return look(connection, backend, runner, limit, now, self._folds)

    def beat(
        self, connection: BaseDatabaseWrapper, backend: str, runner: str, now: datetime | None
    ) -> dict[str, int]:
        """Two statements without a transaction: one who is stopped in between must not lock what its peers retire.

        The write comes first: reading alone says nothing about whether the others could have beaten.
        """
        runners = Runner.objects.using(connection.alias).filter(backend=backend)
        if not runners.filter(name=runner).update(beat=F("beat") + 1, beat_at=moment(now)):
            return {}
        return dict(runners.values_list("name", "beat"))

    def retire(self, connection: BaseDatabaseWrapper, backend: str, runner: str, beat: int | None) -> bool:
        """Its workers go with it; one that is about to register waits for the runner's row."""
        using = connection.alias
        with committed(connection):
            doomed = Runner.objects.using(using).filter(backend=backend, name=runner)
            found = doomed.select_for_update().values_list("pk", "beat").first()
            if found is None or beat not in (None, found[1]):
                return False
            workers = list(Worker.objects.using(using).filter(runner=found[0]).values_list("pk", flat=True))
            Worker.objects.using(using).filter(pk__in=workers)._raw_delete(using)
            Runner.objects.using(using).filter(pk=found[0])._raw_delete(using)
            return True

    def tell(self, connection: BaseDatabaseWrapper, backend: str, queues: Collection[str]) -> None:
        """Nothing: nobody can listen."""

    def ear(self, backend: str, waiting: Callable[[], Iterable[str]]) -> None:
        """None: there is nothing in these servers that one could listen to. Runners look."""

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
        """One transaction, if there is anything to delete."""
        if not is_anything_over(connection, backend, state, older_than, task, now):
            return 0
        with committed(connection):
            return prune(connection, backend, state, older_than, limit, task, now)

    def clock(self, connection: BaseDatabaseWrapper) -> datetime:
        """That of the server."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT UTC_TIMESTAMP(6)")
            at: datetime = cursor.fetchone()[0]
            return at.replace(tzinfo=UTC)

    def advance(
        self, connection: BaseDatabaseWrapper, backend: str, advances: Sequence[Advance], now: datetime | None
    ) -> Advanced:
        """One transaction. The rows of schedules are locked by key, as everywhere."""
        now = now or self.clock(connection)
        with committed(connection):
            done, jobs = advance(connection, backend, advances, now)
            enqueue(connection, backend, jobs, now)
        return done

    def dedicate(self, connection: BaseDatabaseWrapper) -> None:
        """Give every call an end: a server that is gone, or busy for ever, must not hang a runner."""
        limit_waits(connection)
