"""``MemoryInspector``: reads a MemoryStore."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from dlq.job import JobRecord
from dlq.states import State
from dlq.store.inspector import Inspector, JobFilter, QueueCounts, SlotCounts
from dlq.store.memory.jobs import StoredJob, record_of
from dlq.store.memory.store import MemoryStore, clock
from dlq.store.tallies import Tally, Total
from dlq.workers import RunnerInfo

__all__ = ["MemoryInspector"]


class MemoryInspector(Inspector):
    """Reads a MemoryStore."""

    def __init__(self, store: MemoryStore) -> None:
        """Read ``store``, which lives in this process."""
        self._store = store

    def counts(
        self, queues: Collection[str] | None = None, *, now: datetime | None = None
    ) -> list[QueueCounts]:
        now = now or clock()
        with self._store.lock:
            paused = self._store.paused_queues(now)
            jobs: dict[str, list[StoredJob]] = {queue: [] for queue in paused}
            for job in self._store.jobs.values():
                jobs.setdefault(job.new.queue, []).append(job)
            return [
                _counts_of(queue, jobs[queue], paused, now)
                for queue in sorted(jobs)
                if queues is None or queue in queues
            ]

    def runners(self, *, now: datetime | None = None) -> list[RunnerInfo]:
        now = now or clock()
        with self._store.lock:
            return [
                replace(
                    known.info,
                    beat=known.beat,
                    beat_age=max(0.0, (now - known.beat_at).total_seconds()),
                    workers=sorted(
                        (w for w in self._store.workers.values() if w.runner == id), key=lambda w: w.id
                    ),
                )
                for id, known in sorted(self._store.runners.items())
            ]

    def slots(self, limit: int, *, after: str = "") -> list[SlotCounts]:
        with self._store.lock:
            admission = self._store.admission
            found = [
                SlotCounts(
                    key=slot.key,
                    limit=slot.limit,
                    held=len(admission.held(mark)),
                    waiting=len(admission.waiting(mark)),
                )
                for mark, slot in admission.slots.items()
                if slot.key > after
            ]
        return sorted((s for s in found if s.held or s.waiting), key=lambda s: s.key)[:limit]

    def jobs(self, chosen: JobFilter, *, limit: int, before: UUID | None = None) -> list[JobRecord]:
        with self._store.lock:
            found = [
                job
                for job in self._store.jobs.values()
                if (chosen.states is None or job.state in chosen.states)
                and (chosen.queues is None or job.new.queue in chosen.queues)
                and (chosen.tasks is None or job.new.task in chosen.tasks)
                and (chosen.workers is None or job.worker in chosen.workers)
                and (before is None or job.new.id < before)
            ]
            found.sort(key=lambda job: job.new.id, reverse=True)
            return [replace(record_of(job), history=(), log=()) for job in found[:limit]]

    def tallies(
        self,
        since: datetime,
        until: datetime | None = None,
        *,
        queues: Collection[str] | None = None,
        tasks: Collection[str] | None = None,
    ) -> list[Tally]:
        with self._store.lock:
            return [
                tally
                for tally in self._store.tallies.by_minute()
                if tally.minute >= since
                and (until is None or tally.minute < until)
                and (queues is None or tally.queue in queues)
                and (tasks is None or tally.task in tasks)
            ]

    def totals(self) -> list[Total]:
        with self._store.lock:
            return self._store.tallies.totals()


def _counts_of(
    queue: str, jobs: list[StoredJob], paused: dict[str, datetime | None], now: datetime
) -> QueueCounts:
    ready = [job.due_since for job in jobs if job.state is State.READY]
    found = {state: sum(job.state is state for job in jobs) for state in {job.state for job in jobs}}
    return QueueCounts(
        queue=queue,
        states=found,
        latency=max(0.0, (now - min(ready)).total_seconds()) if ready else None,
        paused=queue in paused,
        paused_until=paused.get(queue),
    )
