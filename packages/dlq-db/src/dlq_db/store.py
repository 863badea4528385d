"""``DatabaseStore``: the store of dlq-db. What every database says alike is here; the rest in ``dialects``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, Exists, F, OuterRef, QuerySet, Value, When
from django.db.models.functions import Least

from dlq.errors import RunnerUnknown, StoreError
from dlq.job import Cancelled, Claim, Edit, Enqueued, Exchanged, JobRecord, NewJob, Note, Outcome
from dlq.limits import Slot, slot_mark
from dlq.logs import get_logger
from dlq.states import State, Waits
from dlq.store import Store
from dlq.store.base import CANCELLABLE, Version
from dlq.workers import Order, RunnerInfo, Sight, WorkerInfo, WorkerRef
from dlq_db import controls
from dlq_db.admitting import Admission, Admitted
from dlq_db.chunks import chunks
from dlq_db.clock import moment
from dlq_db.conflicts import overwriting
from dlq_db.contention import repeated
from dlq_db.dialects import Dialect, Ear
from dlq_db.endings import end
from dlq_db.failures import translated
from dlq_db.models import Job, Live, Pause, Runner, Worker
from dlq_db.rows import claim_of, whole_record_of
from dlq_db.semaphores import declare_semaphores
from dlq_db.silence import silence

__all__ = ["DatabaseStore"]


class DatabaseStore(Store):
    """Jobs in the tables of one database. Connections are Django's: one for each thread."""

    database: str

    def __init__(
        self,
        alias: str = "default",
        database: str = "default",
        *,
        listen_notify: bool = True,
        pooling: str | None = None,
        silence_polling: bool = True,
    ) -> None:
        """The store of the backend ``alias``, on an entry of ``DATABASES``; the others are options of these names."""
        self.alias = alias
        self.database = database
        self._listen_notify = listen_notify
        self._pooled = pooling == "transaction"
        self._silence_polling = silence_polling
        self._next_line = ""
        """Where the next look for jobs that wait for a slot begins."""

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """This thread's connection."""
        return connections[self.database]

    @cached_property
    def dialect(self) -> Dialect:
        """How the hot path is said to this database."""
        if self.connection.vendor == "postgresql":
            from dlq_db.dialects.postgresql import PostgreSQL, Searches

            return PostgreSQL(Searches(), pooled=self._pooled)
        if self.connection.vendor == "mysql":
            from dlq_db.dialects.mysql import MySQL

            return MySQL()
        from dlq_db.dialects.sqlite import SQLite

        return SQLite()

    # --- Clients ---

    @repeated
    def enqueue(self, jobs: Sequence[NewJob], *, now: datetime | None = None) -> Enqueued:
        with translated(self.connection):
            enqueued = self.dialect.enqueue(self.connection, self.alias, jobs, now)
            due = [job for job in jobs if job.run_after is None or job.run_after <= enqueued.at]
            if ready := {job.queue for job in due if job.limits is None}:
                self.tell(ready)
        self.admit_new(jobs, now)
        return enqueued

    def admit_new(self, jobs: Iterable[NewJob], now: datetime | None) -> None:
        """Give new jobs free slots once others can see the jobs; before that no row is touched that others need.

        Raises nothing: the jobs are stored, and the next look admits them.
        """
        slots = {slot_mark(job.limits.slot.key): job.limits.slot for job in jobs if job.limits is not None}
        if not slots:
            return
        if self.connection.in_atomic_block:
            admit = partial(self._admit_declared, slots, now)
            transaction.on_commit(admit, using=self.database, robust=True)
        elif self.connection.get_autocommit():
            self._admit_declared(slots, now)

    def _admit_declared(self, slots: Mapping[str, Slot], now: datetime | None) -> None:
        try:
            with translated(self.connection):
                declare_semaphores(self.connection, slots, now)
                self._tell_of(self.dialect.admit_of(self.connection, sorted(slots), now))
        except StoreError as error:
            logger.info("New jobs were not admitted yet; the next look does it: %s", error)

    def _tell_of(self, admitted: Iterable[Admitted]) -> None:
        """Tell those who listen to the backends of these jobs, which need not be this one."""
        if self._listen_notify:
            for backend, places in groupby(sorted(admitted), itemgetter(0)):
                self.dialect.tell(self.connection, backend, {queue for _, queue in places})

    def get(self, ids: Collection[UUID]) -> list[JobRecord]:
        with translated(self.connection):
            found = Job.objects.using(self.database).filter(backend=self.alias)
            found = found.select_related("live", "note").prefetch_related("history")
            return [whole_record_of(job) for chunk in chunks(ids) for job in found.filter(pk__in=chunk)]

    # --- Workers ---

    @repeated
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
            return self.dialect.exchange(self.connection, self.alias, worker, outcomes, queues, limit, now)

    def waiting(self, *, now: datetime | None = None) -> list[str]:
        with translated(self.connection):
            return self.dialect.waiting(self.connection, self.alias, now)

    def listen(self, timeout: float) -> frozenset[str] | None:
        if self._ear is None:
            return None
        with translated(self.connection):
            return self._ear.listen(self.connection, timeout)

    @cached_property
    def _ear(self) -> Ear | None:
        return self.dialect.ear(self.alias, self.waiting) if self._listen_notify else None

    def tell(self, queues: Collection[str] = ()) -> None:
        """Tell those who listen that these queues have jobs; without a name, that any may."""
        if self._listen_notify:
            self.dialect.tell(self.connection, self.alias, queues)

    @repeated
    def reconcile(
        self, worker: WorkerRef, held: Collection[tuple[UUID, int]], *, now: datetime | None = None
    ) -> WorkerRef:
        with translated(self.connection), self.transaction():
            seat = Worker.objects.using(self.database).filter(backend=self.alias, name=worker.id)
            # Waits for an exchange that is still under way, and stops one that comes later: see exchange.sql.
            if not seat.update(incarnation=F("incarnation") + 1):
                raise RunnerUnknown(f"Worker {worker.id!r} is not registered; register it first.")
            lost = [live for live in self._locked(worker.id) if (live.pk, live.token) not in held]
            cancelled = [live.pk for live in lost if live.cancel is not None]
            if cancelled:
                end(self.connection, self.alias, cancelled, State.CANCELLED, now or self._clock())
            for chunk in chunks([live.pk for live in lost if live.cancel is None]):
                self._live().filter(pk__in=chunk).update(state=State.READY)
            return WorkerRef(worker.id, seat.get().incarnation)

    @repeated
    def annotate(self, notes: Sequence[Note], *, now: datetime | None = None) -> list[UUID]:
        with translated(self.connection):
            return self.dialect.annotate(self.connection, self.alias, notes)

    @repeated
    def unpark(self, tasks: Collection[Version], *, now: datetime | None = None) -> int:
        with translated(self.connection), self.transaction():
            count = sum(self._unpark(task, version) for task, version in tasks)
            if count:
                self.tell()
            return count

    def _unpark(self, task: str, version: int) -> int:
        parked = self._parked().filter(version=version, job__task=task)
        found = chunks(list(parked.values_list("pk", flat=True)))
        unparked = [self._parked().filter(pk__in=chunk) for chunk in found]
        return sum(live.update(state=_FIRST_STATE, waits=_FIRST_WAITS, version=None) for live in unparked)

    def parked(self) -> list[Version]:
        with translated(self.connection):
            found = self._parked().values_list("job__task", "version").distinct()
            return sorted((task, version or 1) for task, version in found)

    # --- Liveness ---

    @repeated
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
                    "beat_at": moment(now),
                },
            )

    @repeated
    def register_worker(self, worker: WorkerInfo, *, now: datetime | None = None) -> WorkerRef:
        with translated(self.connection), self.transaction():
            runners = Runner.objects.using(self.database).filter(backend=self.alias, name=worker.runner)
            runner = runners.select_for_update().first()
            if runner is None:
                raise RunnerUnknown(f"Runner {worker.runner!r} is not registered; register it first.")
            said = {
                "runner": runner,
                "incarnation": worker.incarnation,
                "pid": worker.pid,
                "queues": worker.queues,
                "slots": worker.slots,
                "kind": worker.kind,
            }
            order = {"order": worker.order}
            told = {"instructed": worker.instructed, "heeded": worker.heeded}
            Worker.objects.using(self.database).update_or_create(
                backend=self.alias,
                name=worker.id,
                defaults=said if worker.order is Order.WORK else said | order,
                create_defaults=said | order | told,
            )
            return WorkerRef(worker.id, worker.incarnation)

    @repeated
    def unregister_worker(self, worker: str) -> None:
        with translated(self.connection):
            Worker.objects.using(self.database).filter(backend=self.alias, name=worker).delete()

    @repeated
    def beat(self, runner: str, *, now: datetime | None = None) -> dict[str, int]:
        with translated(self.connection):
            return self.dialect.beat(self.connection, self.alias, runner, now)

    @repeated
    def retire(self, runner: str, beat: int | None = None) -> bool:
        with translated(self.connection):
            return self.dialect.retire(self.connection, self.alias, runner, beat)

    def held(self, worker: str, limit: int) -> list[Claim]:
        with translated(self.connection):
            return _oldest(self._running().filter(worker=worker), limit)

    def orphans(self, limit: int) -> list[Claim]:
        with translated(self.connection):
            seats = Worker.objects.filter(backend=self.alias, name=OuterRef("worker"))
            return _oldest(self._running().filter(~Exists(seats)), limit)

    # --- Controls ---

    @repeated
    def pause(self, queue: str, until: datetime | None = None, *, now: datetime | None = None) -> None:
        with translated(self.connection):
            Pause.objects.using(self.database).bulk_create(
                [Pause(backend=self.alias, queue=queue, until=until)],
                **overwriting(self.connection, ["until"], unique=["backend", "queue"]),
            )

    @repeated
    def resume(self, queue: str) -> bool:
        with translated(self.connection):
            pauses = Pause.objects.using(self.database).filter(backend=self.alias, queue=queue)
            if was_paused := pauses._raw_delete(self.database) > 0:
                self.tell([queue])
            return was_paused

    @repeated
    def cancel(
        self,
        ids: Collection[UUID],
        reason: str,
        *,
        states: Collection[State] = CANCELLABLE,
        now: datetime | None = None,
    ) -> Cancelled:
        unique, chosen = list(dict.fromkeys(ids)), CANCELLABLE.intersection(states)
        with translated(self.connection), self.transaction():
            return controls.cancel(self.connection, self.alias, unique, reason, chosen, now or self._clock())

    @repeated
    def retry(
        self,
        ids: Collection[UUID],
        *,
        edits: Mapping[UUID, Edit] | None = None,
        now: datetime | None = None,
    ) -> list[UUID]:
        unique = list(dict.fromkeys(ids))
        with translated(self.connection), self.transaction():
            places = self.dialect.places(self.connection, len(unique))
            if revived := controls.retry(self.connection, self.alias, unique, places, edits or {}):
                self.tell()
            return revived

    @repeated
    def instruct(self, worker: str, order: Order) -> int | None:
        told = {} if order is Order.PING else {"order": order}
        with translated(self.connection), self.transaction():
            seat = Worker.objects.using(self.database).filter(backend=self.alias, name=worker)
            if not seat.update(instructed=F("instructed") + 1, **told):
                return None
            return seat.get().instructed

    @repeated
    def heed(self, worker: str, number: int) -> None:
        with translated(self.connection):
            seat = Worker.objects.using(self.database).filter(backend=self.alias, name=worker)
            seat.filter(heeded__lt=number).update(heeded=Least(F("instructed"), Value(number)))

    # --- Upkeep ---

    @repeated
    def look(self, runner: str, limit: int, *, now: datetime | None = None) -> Sight:
        with translated(self.connection):
            sight, waits = self.dialect.look(self.connection, self.alias, runner, limit, now)
            if sight.promoted and sight.ready:
                self.tell(sight.ready)
            admitted = self._admit(limit, now) if waits and limit else []
            ready = {queue for backend, queue in admitted if backend == self.alias}.union(sight.ready)
            return replace(sight, admitted=len(admitted), ready=sorted(ready)) if admitted else sight

    @repeated
    def admit(self, limit: int, *, now: datetime | None = None) -> int:
        with translated(self.connection):
            return len(self._admit(limit, now))

    def _admit(self, limit: int, now: datetime | None) -> list[Admitted]:
        admission = Admission(self.connection, self.dialect, now)
        admitted, self._next_line = admission.admit_any(limit, self._next_line)
        self._tell_of(admitted)
        return admitted

    @repeated
    def prune(
        self,
        state: State,
        older_than: float | None,
        limit: int,
        *,
        task: str | None = None,
        now: datetime | None = None,
    ) -> int:
        with translated(self.connection):
            return self.dialect.prune(self.connection, self.alias, state, older_than, limit, task, now)

    def ping(self) -> None:
        with translated(self.connection):
            Live.objects.using(self.database).filter(backend=self.alias).exists()

    def dedicate(self) -> None:
        with translated(self.connection):
            if DEDICATED in self.connection.settings_dict:
                return
            own = self.connection.copy()
            own.settings_dict[DEDICATED] = True
            if self._silence_polling:
                silence(own)
            self.dialect.dedicate(own)
            self.connection.close()
            connections[self.database] = own

    def close(self) -> None:
        self.connection.close()
        if DEDICATED in self.connection.settings_dict:
            del connections[self.database]  # What comes next in this thread, or in a fork, is as before.

    def transaction(self) -> AbstractContextManager[None]:
        """One in which a verb may read and then write, inside the caller's if there is one."""
        return self.dialect.transaction(self.connection)

    def _clock(self) -> datetime:
        return self.dialect.clock(self.connection)

    def _live(self) -> QuerySet[Live]:
        return Live.objects.using(self.database).filter(backend=self.alias)

    def _parked(self) -> QuerySet[Live]:
        return self._live().filter(waits=Waits.TASK)

    def _locked(self, worker: str) -> Iterator[Live]:
        """The jobs that a worker runs, none of which can change before the transaction ends."""
        # Found first, and locked by key: who locks what he finds may wait for what he passes.
        found = sorted(self._running().filter(worker=worker).values_list("pk", flat=True))
        for chunk in chunks(found):
            yield from self._running().filter(worker=worker, pk__in=chunk).order_by("pk").select_for_update()

    def _running(self) -> QuerySet[Live]:
        return self._live().filter(state=State.RUNNING)


_FIRST_STATE = Case(When(line=None, then=State.READY), default=State.BLOCKED)
_FIRST_WAITS = Case(When(line=None, then=None), default=Waits.LIMIT)
"""What a parked job becomes: see ``lines.first_state``."""

logger = get_logger("dlq.store")

DEDICATED = "DLQ_DEDICATED"
"""Marks the settings of a connection that ``dedicate`` has put in the place of Django's own."""


def _oldest(running: QuerySet[Live], limit: int) -> list[Claim]:
    return [claim_of(live) for live in running.select_related("job").order_by("claimed_at")[:limit]]
