"""``DatabaseInspector``: reads the tables for commands, the dashboard and metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum

from dlq.job import JobRecord
from dlq.states import State, Waits
from dlq.store import (
    BOUND,
    Failures,
    Inspector,
    JobCount,
    JobFilter,
    JobPage,
    QueueCounts,
    SlotCounts,
    Tally,
    Total,
)
from dlq.store.tallies import FIGURES
from dlq.workers import Order, RunnerInfo, WorkerInfo
from dlq_db import models, searching
from dlq_db.chunks import chunks
from dlq_db.clock import ServerTime
from dlq_db.counting import counted
from dlq_db.dialects import statement_for
from dlq_db.failures import translated
from dlq_db.lines import END, held_slots
from dlq_db.models import Job, Live, Runner, Semaphore, Worker
from dlq_db.queues import paused_queues
from dlq_db.rows import record_of
from dlq_db.store import DatabaseStore
from dlq_db.tallying import Sums, add

__all__ = ["DatabaseInspector"]


class DatabaseInspector(Inspector):
    """Reads what a DatabaseStore writes."""

    def __init__(self, store: DatabaseStore) -> None:
        """Read the backend and database of ``store``."""
        self._store = store

    def counts(
        self, queues: Collection[str] | None = None, *, limit: int | None = None, now: datetime | None = None
    ) -> list[QueueCounts]:
        at_least: frozenset[State] = frozenset()
        with translated(self._store.connection):
            latencies = self._latencies(now)
            if limit is None:
                states = self._states(queues)
            else:
                states, at_least = counted(
                    self._store.connection, self._store.alias, queues, limit, latencies.keys()
                )
            paused = paused_queues(self._store.connection, self._store.alias, now)
        return [
            QueueCounts(
                queue=queue,
                states=states.get(queue, {}),
                latency=latencies.get(queue),
                paused=queue in paused,
                paused_until=paused.get(queue),
                at_least=at_least,
            )
            for queue in sorted(states.keys() | paused.keys())
            if queues is None or queue in queues
        ]

    def _states(self, queues: Collection[str] | None) -> dict[str, dict[State, int]]:
        found: dict[str, dict[State, int]] = defaultdict(dict)
        for rows in (self._jobs().exclude(state=None), self._live()):
            if queues is not None:
                rows = rows.filter(queue__in=list(queues))
            for queue, state, count in rows.values_list("queue", "state").annotate(Count("pk")):
                found[queue][State(state)] = count
        return found

    def _latencies(self, now: datetime | None) -> dict[str, float]:
        """For how long the ready job that is first by ``seq`` has been due, of all priorities the longest.

        To look at all ready jobs would cost more the longer the queues are. A job that became ready after others
        but has been due for longer, such as a retry, is seen once it is the first.
        """
        with self._store.connection.cursor() as cursor:
            cursor.execute(statement_for(self._store.connection, "oldest.sql"), [self._store.alias] * 5)
            ids = [id for (id,) in cursor.fetchall()]
        found: dict[str, float] = {}
        for chunk in chunks(ids):
            for job in self._jobs().filter(pk__in=chunk).annotate(read_at=ServerTime()):
                since = max(job.enqueued_at, job.run_after or job.enqueued_at)
                waited = max(0.0, ((now or job.read_at) - since).total_seconds())
                found[job.queue] = max(waited, found.get(job.queue, 0.0))
        return found

    def runners(self, *, now: datetime | None = None) -> list[RunnerInfo]:
        known = Runner.objects.using(self._store.database).filter(backend=self._store.alias)
        known = known.annotate(read_at=ServerTime()).prefetch_related("workers").order_by("name")
        with translated(self._store.connection):
            return [_runner_of(runner, now or runner.read_at) for runner in known]

    def slots(self, limit: int, *, after: str = "") -> list[SlotCounts]:
        """Of all backends on this database, which share their keys."""
        found: list[SlotCounts] = []
        with translated(self._store.connection):
            keys = Semaphore.objects.using(self._store.database).filter(key__gt=after).order_by("key")
            for semaphore in keys.iterator(chunk_size=500):
                counts = self._slot_counts(semaphore)
                if counts.held or counts.waiting:
                    found.append(counts)
                if len(found) >= limit:
                    break
        return sorted(found, key=lambda counts: counts.key)

    def _slot_counts(self, semaphore: Semaphore) -> SlotCounts:
        lives = Live.objects.using(self._store.database).filter(
            line__gte=semaphore.mark, line__lt=semaphore.mark + END
        )
        return SlotCounts(
            key=semaphore.key,
            limit=semaphore.slots,
            held=held_slots(self._store.connection, semaphore.mark),
            waiting=lives.filter(waits=Waits.LIMIT).count(),
        )

    def jobs(self, chosen: JobFilter, *, limit: int, before: UUID | None = None) -> Sequence[JobRecord]:
        found = searching.fitting(self._loaded(), chosen).order_by("-pk")
        if before is not None:
            found = found.filter(pk__lt=before)
        with translated(self._store.connection):
            return [record_of(job) for job in found[:limit]]

    def search(
        self,
        chosen: JobFilter,
        *,
        limit: int,
        before: UUID | None = None,
        after: UUID | None = None,
        within: int = BOUND,
    ) -> JobPage:
        with translated(self._store.connection):
            window = searching.window(self._jobs(), self._live(), chosen, before, after, within)
            found = searching.fitting(window.of(self._loaded()), chosen)
            rows = list(found.order_by("-pk" if after is None else "pk")[: limit + 1])
        reached = rows[limit - 1].pk if len(rows) > limit else window.end
        jobs = [record_of(job) for job in rows[:limit]]
        return JobPage(jobs=jobs if after is None else jobs[::-1], reached=reached)

    def count(self, chosen: JobFilter, *, within: int = BOUND) -> JobCount:
        with translated(self._store.connection):
            window = searching.window(self._jobs(), self._live(), chosen, None, None, within)
            number = searching.fitting(window.of(self._jobs()), chosen).count()
        return JobCount(number, exact=window.end is None)

    def failures(self, *, within: int = BOUND) -> Failures:
        with translated(self._store.connection):
            rows = searching.failed(self._jobs())[: within + 1]
            found = list(rows)
        return Failures(searching.grouped(found[:within]), exact=len(found) <= within)

    def _loaded(self) -> QuerySet[Job]:
        return self._jobs().select_related("live", "note").defer("note__log")

    def tallies(
        self,
        since: datetime,
        until: datetime | None = None,
        *,
        queues: Collection[str] | None = None,
        tasks: Collection[str] | None = None,
    ) -> list[Tally]:
        chosen = Q(minute__gte=since)
        if until is not None:
            chosen &= Q(minute__lt=until)
        if queues is not None:
            chosen &= Q(queue__in=list(queues))
        if tasks is not None:
            chosen &= Q(task__in=list(tasks))
        sums = self._summed(chosen, chosen, "minute", "queue", "task")
        return [
            Tally(minute=minute, queue=queue, task=task, **figures)
            for (minute, queue, task), figures in sorted(sums.items())
        ]

    def totals(self) -> list[Total]:
        sums = self._summed(Q(), Q(minute=None), "queue", "task")
        return [Total(queue=queue, task=task, **figures) for (queue, task), figures in sorted(sums.items())]

    def _summed(self, counts: Q, tallies: Q, *by: str) -> dict[tuple[Any, ...], dict[str, Any]]:
        """Figures of both tables, read at one moment, lest what is folded meanwhile is told twice or not at all."""
        counted, folded = (
            table.using(self._store.database)
            .filter(chosen, backend=self._store.alias)
            .values_list(*by)
            .annotate(*map(Sum, FIGURES))
            for table, chosen in [(models.Count.objects.all(), counts), (models.Tally.objects.all(), tallies)]
        )
        sums: Sums[tuple[Any, ...]] = {}
        with translated(self._store.connection):
            for row in counted.union(folded, all=True):
                add(sums, row[: len(by)], dict(zip(FIGURES, row[len(by) :], strict=True)))
        return {key: dict(figures) for key, figures in sums.items()}

    def _jobs(self) -> QuerySet[Job]:
        return Job.objects.using(self._store.database).filter(backend=self._store.alias)

    def _live(self) -> QuerySet[Live]:
        return Live.objects.using(self._store.database).filter(backend=self._store.alias)


def _runner_of(runner: Runner, now: datetime) -> RunnerInfo:
    return RunnerInfo(
        id=runner.name,
        host=runner.host,
        pid=runner.pid,
        beat=runner.beat,
        # SQLite reads its clock in whole milliseconds, so a beat of this instant may seem to be ahead of it.
        beat_age=max(0.0, (now - runner.beat_at).total_seconds()),
        workers=[_worker_of(worker, runner) for worker in sorted(runner.workers.all(), key=lambda w: w.name)],
    )


def _worker_of(worker: Worker, runner: Runner) -> WorkerInfo:
    return WorkerInfo(
        id=worker.name,
        runner=runner.name,
        pid=worker.pid,
        queues=worker.queues,
        slots=worker.slots,
        kind=worker.kind,
        incarnation=worker.incarnation,
        order=Order(worker.order),
        instructed=worker.instructed,
        heeded=worker.heeded,
    )
