"""``DatabaseStore``: the store of dlq-db. What every database says alike is here; the rest in ``dialects``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Exists, F, OuterRef, QuerySet, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from dlq.errors import RunnerUnknown
from dlq.job import Claim, Exchanged, JobRecord, NewJob, Outcome, RunnerInfo, WorkerInfo, WorkerRef
from dlq.states import State
from dlq.store import Store
from dlq_db.dialects import Dialect, statement
from dlq_db.failures import translated
from dlq_db.models import Attempt, Job, Live, Runner, Worker
from dlq_db.rows import claim_of, record_of

__all__ = ["DatabaseStore"]


class DatabaseStore(Store):
    """Jobs in the tables of one database. Connections are Django's: one for each thread."""

    database: str

    def __init__(self, alias: str = "default", database: str = "default") -> None:
        """The store of the backend ``alias``, on an entry of ``DATABASES``."""
        self.alias = alias
        self.database = database

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """This thread's connection."""
        return connections[self.database]

    @cached_property
    def _dialect(self) -> Dialect:
        if self.connection.vendor == "postgresql":
            from dlq_db.dialects.postgresql import PostgreSQL

            return PostgreSQL()
        from dlq_db.dialects.sqlite import SQLite

        return SQLite()

    # --- Clients ---

    def enqueue(self, jobs: Sequence[NewJob], *, now: datetime | None = None) -> datetime:
        with translated(self.connection):
            return self._dialect.enqueue(self.connection, self.alias, jobs, now)

    def get(self, ids: Collection[UUID]) -> list[JobRecord]:
        with translated(self.connection):
            found = Job.objects.using(self.database).filter(backend=self.alias)
            found = found.select_related("live").prefetch_related("history")
            return [
                record_of(job, sorted(job.history.all(), key=lambda attempt: attempt.pk))
                for chunk in _chunks(ids)
                for job in found.filter(pk__in=chunk)
            ]

    # --- Workers ---

    def exchange(
        self,
        worker: WorkerRef,
        outcomes: Sequence[Outcome],
        queues: Sequence[str],
        limit: int,
        *,
        now: datetime | None = None,
    ) -> Exchanged:
        with translated(self.connection):
            return self._dialect.exchange(self.connection, self.alias, worker, outcomes, queues, limit, now)

    def waiting(self) -> list[str]:
        with translated(self.connection), self.connection.cursor() as cursor:
            cursor.execute(statement("waiting.sql"), [self.alias, self.alias])
            return sorted(queue for (queue,) in cursor.fetchall())

    def reconcile(
        self, worker: WorkerRef, held: Collection[tuple[UUID, int]], *, now: datetime | None = None
    ) -> WorkerRef:
        with translated(self.connection), self._atomic():
            seat = Worker.objects.using(self.database).filter(backend=self.alias, name=worker.id)
            # Waits for an exchange that is still under way, and stops one that comes later: see exchange.sql.
            if not seat.update(incarnation=F("incarnation") + 1):
                raise RunnerUnknown(f"Worker {worker.id!r} is not registered; register it first.")
            running = self._running().filter(worker=worker.id).values_list("pk", "token")
            lost = [id for id, token in running if (id, token) not in held]
            for chunk in _chunks(lost):
                self._live().filter(pk__in=chunk).update(state=State.READY)
            return WorkerRef(worker.id, seat.get().incarnation)

    def unpark(self, tasks: Collection[str], *, now: datetime | None = None) -> int:
        with translated(self.connection):
            blocked = self._live().filter(state=State.BLOCKED, job__task__in=list(tasks))
            return (
                self._live()
                .filter(pk__in=blocked.values("pk"), state=State.BLOCKED)
                .update(state=State.READY)
            )

    def parked(self) -> list[str]:
        with translated(self.connection):
            blocked = self._live().filter(state=State.BLOCKED)
            return sorted(blocked.values_list("job__task", flat=True).distinct())

    # --- Liveness ---

    def register_runner(self, runner: RunnerInfo, *, now: datetime | None = None) -> None:
        with translated(self.connection):
            Runner.objects.using(self.database).update_or_create(
                backend=self.alias,
                name=runner.id,
                defaults={"host": runner.host, "pid": runner.pid},
                create_defaults={
                    "host": runner.host,
                    "pid": runner.pid,
                    "beat": runner.beat,
                    "beat_at": _moment(now),
                },
            )

    def register_worker(self, worker: WorkerInfo, *, now: datetime | None = None) -> WorkerRef:
        with translated(self.connection), self._atomic():
            runners = Runner.objects.using(self.database).filter(backend=self.alias, name=worker.runner)
            runner = runners.select_for_update().first()
            if runner is None:
                raise RunnerUnknown(f"Runner {worker.runner!r} is not registered; register it first.")
            Worker.objects.using(self.database).update_or_create(
                backend=self.alias,
                name=worker.id,
                defaults={
                    "runner": runner,
                    "incarnation": worker.incarnation,
                    "pid": worker.pid,
                    "queues": worker.queues,
                    "slots": worker.slots,
                    "kind": worker.kind,
                },
            )
            return WorkerRef(worker.id, worker.incarnation)

    def unregister_worker(self, worker: str) -> None:
        with translated(self.connection):
            Worker.objects.using(self.database).filter(backend=self.alias, name=worker).delete()

    def beat(self, runner: str, *, now: datetime | None = None) -> dict[str, int]:
        with translated(self.connection):
            return self._dialect.beat(self.connection, self.alias, runner, now)

    def retire(self, runner: str, beat: int | None = None) -> bool:
        with translated(self.connection):
            return self._dialect.retire(self.connection, self.alias, runner, beat)

    def held(self, worker: str, limit: int) -> list[Claim]:
        with translated(self.connection):
            return _oldest(self._running().filter(worker=worker), limit)

    def orphans(self, limit: int) -> list[Claim]:
        with translated(self.connection):
            seats = Worker.objects.filter(backend=self.alias, name=OuterRef("worker"))
            return _oldest(self._running().filter(~Exists(seats)), limit)

    # --- Upkeep ---

    def promote(self, limit: int, *, now: datetime | None = None) -> int:
        with translated(self.connection):
            return self._dialect.promote(self.connection, self.alias, limit, now)

    def prune(self, state: State, older_than: float, limit: int, *, now: datetime | None = None) -> int:
        with translated(self.connection), self._atomic():
            ended = Job.objects.using(self.database).filter(backend=self.alias, state=state)
            ended = ended.filter(finished_at__lte=_moment(now) - Value(timedelta(seconds=older_than)))
            skip_locked = self.connection.features.has_select_for_update_skip_locked
            ended = ended.order_by("finished_at").select_for_update(skip_locked=skip_locked)
            doomed = list(ended.values_list("pk", flat=True)[:limit])
            for chunk in _chunks(doomed):
                Attempt.objects.using(self.database).filter(job__in=chunk)._raw_delete(self.database)
                Job.objects.using(self.database).filter(pk__in=chunk)._raw_delete(self.database)
            return len(doomed)

    def ping(self) -> None:
        with translated(self.connection):
            Live.objects.using(self.database).filter(backend=self.alias).exists()

    def dedicate(self) -> None:
        with translated(self.connection):
            if DEDICATED in self.connection.settings_dict:
                return
            own = self.connection.copy()
            own.settings_dict[DEDICATED] = True
            self._dialect.dedicate(own)
            self.connection.close()
            connections[self.database] = own

    def close(self) -> None:
        self.connection.close()
        if DEDICATED in self.connection.settings_dict:
            del connections[self.database]  # What comes next in this thread, or in a fork, is as before.

    def _atomic(self) -> transaction.Atomic:
        return transaction.atomic(using=self.database)

    def _live(self) -> QuerySet[Live]:
        return Live.objects.using(self.database).filter(backend=self.alias)

    def _running(self) -> QuerySet[Live]:
        return self._live().filter(state=State.RUNNING)


DEDICATED = "DLQ_DEDICATED"
"""Marks the settings of a connection that ``dedicate`` has put in the place of Django's own."""

CHUNK = 500
"""Values in one statement: SQLite and others have limits."""


def _chunks[T](values: Collection[T]) -> list[list[T]]:
    listed = list(values)
    return [listed[at : at + CHUNK] for at in range(0, len(listed), CHUNK)]


def _moment(now: datetime | None) -> Combinable:
    return Now() if now is None else Value(now)


def _oldest(running: QuerySet[Live], limit: int) -> list[Claim]:
    return [claim_of(live) for live in running.select_related("job").order_by("claimed_at")[:limit]]
