"""SQLite: short immediate transactions, since there is one writer at a time anyway."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from uuid import UUID

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F
from django.utils import timezone

from dlq.job import Enqueued, Exchanged, NewJob, Note, Outcome
from dlq.states import State
from dlq.store.schedules import Advance, Advanced
from dlq.workers import Sight, WorkerRef
from dlq_db.admitting import Admission, Admitted
from dlq_db.dialects.sqlite.annotating import annotate
from dlq_db.dialects.sqlite.claiming import claim
from dlq_db.dialects.sqlite.enqueueing import enqueue
from dlq_db.dialects.sqlite.looking import look
from dlq_db.dialects.sqlite.settling import settle
from dlq_db.dialects.sqlite.watching import Watcher
from dlq_db.dialects.sqlite.writing import immediate, key, reserve, write_many
from dlq_db.firing import advance
from dlq_db.lines import released
from dlq_db.models import Runner, Worker
from dlq_db.pruning import is_anything_over, prune
from dlq_db.queues import waiting_queues
from dlq_db.tallying import Folds

__all__ = ["SQLite"]

READY = "UPDATE dlq_live SET state = 3, waits = NULL, seq = %s WHERE id = %s"


class SQLite:
    """See ``Dialect``. Its clock is that of the machine, which is also SQLite's own."""

    def __init__(self) -> None:
        """It remembers when it has folded."""
        self._folds = Folds()

    def transaction(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """One that has the write lock."""
        return immediate(connection)

    def places(self, connection: BaseDatabaseWrapper, count: int) -> Sequence[int]:
        """One statement."""
        return reserve(connection, count)

    def make_ready(self, connection: BaseDatabaseWrapper, ids: Sequence[UUID]) -> None:
        """One statement for each."""
        places = reserve(connection, len(ids))
        write_many(
            connection, READY, [(seq, key(connection, id)) for seq, id in zip(places, ids, strict=True)]
        )

    def admit_of(
        self, connection: BaseDatabaseWrapper, marks: Sequence[str], now: datetime | None
    ) -> list[Admitted]:
        """One transaction."""
        with immediate(connection):
            return Admission(connection, self, now).admit_of(marks)

    def enqueue(
        self, connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime | None
    ) -> Enqueued:
        """A few statements for a batch, inside the caller's transaction when there is one."""
        now = now or timezone.now()
        with immediate(connection):
            duplicates = enqueue(connection, backend, jobs, now)
        return Enqueued(at=now, duplicates=duplicates)

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
        """One transaction; rows are found by index and written by primary key."""
        now = now or timezone.now()
        seats = Worker.objects.using(connection.alias).filter(backend=backend, name=worker.id)
        with immediate(connection):
            stale, already = settle(connection, backend, worker.id, outcomes, now)
            if marks := released(outcomes):
                Admission(connection, self, now).admit_of(marks)
            registered = seats.filter(incarnation=worker.incarnation).exists()
            claims = claim(connection, backend, worker.id, queues, limit, now) if registered else []
        return Exchanged(claims=claims, stale=stale, already=already, registered=registered)

    def waiting(self, connection: BaseDatabaseWrapper, backend: str, now: datetime | None) -> list[str]:
        """Two statements."""
        return waiting_queues(connection, backend, now)

    def annotate(self, connection: BaseDatabaseWrapper, backend: str, notes: Sequence[Note]) -> list[UUID]:
        """One transaction."""
        with immediate(connection):
            return [note.id for note in annotate(connection, backend, notes)]

    def look(
        self, connection: BaseDatabaseWrapper, backend: str, runner: str, limit: int, now: datetime | None
    ) -> tuple[Sight, bool]:
        """Reads, and writes if there is something to write."""
        return look(connection, backend, runner, limit, now or timezone.now(), self._folds)

    def beat(
        self, connection: BaseDatabaseWrapper, backend: str, runner: str, now: datetime | None
    ) -> dict[str, int]:
        """Write first: reading alone says nothing about whether the others could have beaten."""
        with immediate(connection):
            runners = Runner.objects.using(connection.alias).filter(backend=backend)
            if not runners.filter(name=runner).update(beat=F("beat") + 1, beat_at=now or timezone.now()):
                return {}
            return dict(runners.values_list("name", "beat"))

    def retire(self, connection: BaseDatabaseWrapper, backend: str, runner: str, beat: int | None) -> bool:
        """Its workers go with it."""
        with immediate(connection):
            doomed = Runner.objects.using(connection.alias).filter(backend=backend, name=runner)
            deleted, _ = (doomed.filter(beat=beat) if beat is not None else doomed).delete()
            return deleted > 0

    def tell(self, connection: BaseDatabaseWrapper, backend: str, queues: Collection[str]) -> None:
        """Nothing: whoever listens sees that the file has changed."""

    def ear(self, backend: str, waiting: Callable[[], Iterable[str]]) -> Watcher:
        """Watches the file."""
        return Watcher(waiting)

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
        """One transaction, if there is anything to delete: every runner asks, and only writing needs the lock."""
        if not is_anything_over(connection, backend, state, older_than, task, now):
            return 0
        with immediate(connection):
            return prune(connection, backend, state, older_than, limit, task, now)

    def clock(self, connection: BaseDatabaseWrapper) -> datetime:
        """That of the machine."""
        return timezone.now()

    def advance(
        self, connection: BaseDatabaseWrapper, backend: str, advances: Sequence[Advance], now: datetime | None
    ) -> Advanced:
        """One transaction."""
        now = now or timezone.now()
        with immediate(connection):
            done, jobs = advance(connection, backend, advances, now)
            enqueue(connection, backend, jobs, now)
        return done

    def dedicate(self, connection: BaseDatabaseWrapper) -> None:
        """Wait longer for the writer's turn than Django does, and let readers go on beside it."""
        options = connection.settings_dict["OPTIONS"]
        options.setdefault("timeout", 20)
        options.setdefault("transaction_mode", "IMMEDIATE")
        # The mode stays with the file, and the switch does not wait for its turn: if it fails, another is at it.
        with contextlib.suppress(OperationalError), connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode=WAL")
