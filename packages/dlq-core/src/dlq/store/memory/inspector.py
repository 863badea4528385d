"""``MemoryInspector``: reads a MemoryStore."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from dlq.job import JobRecord
from dlq.states import State
from dlq.store.inspector import (
    BOUND,
    FailureGroup,
    Failures,
    Inspector,
    JobCount,
    JobFilter,
    JobPage,
    QueueCounts,
    SlotCounts,
)
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
        self, queues: Collection[str] | None = None, *, limit: int | None = None, now: datetime | None = None
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
            found = [job for job in self._newest_first(chosen, before) if fits(job, chosen)]
            return _records(found[:limit])

    def search(
        self,
        chosen: JobFilter,
        *,
        limit: int,
        before: UUID | None = None,
        after: UUID | None = None,
        within: int = BOUND,
    ) -> JobPage:
        with self._store.lock:
            line = self._newest_first(chosen, before)
            if after is not None:
                line = [job for job in reversed(line) if job.new.id > after]
            found: list[StoredJob] = []
            looked_at = 0
            for job in line[:within]:
                if len(found) == limit:
                    break
                looked_at += 1
                if fits(job, chosen):
                    found.append(job)
            reached = line[looked_at - 1].new.id if 0 < looked_at < len(line) else None
            return JobPage(jobs=_records(found if after is None else found[::-1]), reached=reached)

    def count(self, chosen: JobFilter, *, within: int = BOUND) -> JobCount:
        with self._store.lock:
            line = self._newest_first(chosen, None)
            return JobCount(sum(fits(job, chosen) for job in line[:within]), len(line) <= within)

    def failures(self, *, within: int = BOUND) -> Failures:
        with self._store.lock:
            line = self._newest_first(JobFilter(states={State.FAILED}), None)
            return Failures(_grouped(line[:within]), len(line) <= within)

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

    def _newest_first(self, chosen: JobFilter, before: UUID | None) -> list[StoredJob]:
        """The jobs that a search looks at: those in the states of the filter."""
        found = [
            job
            for job in self._store.jobs.values()
            if (chosen.states is None or job.state in chosen.states)
            and (before is None or job.new.id < before)
        ]
        return sorted(found, key=lambda job: job.new.id, reverse=True)


def fits(job: StoredJob, chosen: JobFilter) -> bool:
    """Whether a job fits every part of the filter, but for its state."""
    last = job.history[-1].failure.exception if job.history else None
    return (
        (chosen.queues is None or job.new.queue in chosen.queues)
        and (chosen.tasks is None or job.new.task in chosen.tasks)
        and (chosen.workers is None or job.worker in chosen.workers)
        and (chosen.exceptions is None or last in chosen.exceptions)
        and (chosen.since is None or job.enqueued_at >= chosen.since)
        and (chosen.until is None or job.enqueued_at < chosen.until)
        and _has_metadata(job, chosen)
        and _has_text(job, chosen)
    )


def _has_metadata(job: StoredJob, chosen: JobFilter) -> bool:
    return all(any(one in (job.metadata or "") for one in entry) for entry in chosen.metadata_needles)


def _has_text(job: StoredJob, chosen: JobFilter) -> bool:
    if not chosen.text:
        return True
    ids = chosen.id_range
    if ids is not None and ids[0] <= job.new.id <= ids[1]:
        return True
    payload = job.new.payload.lower()
    return chosen.text.lower() in job.new.task.lower() or any(
        needle.lower() in payload for needle in chosen.needles
    )


def _records(jobs: Iterable[StoredJob]) -> list[JobRecord]:
    return [replace(record_of(job), history=(), log=()) for job in jobs]


def _grouped(jobs: Iterable[StoredJob]) -> list[FailureGroup]:
    """Of jobs by descending id."""
    groups: dict[tuple[str, str], list[StoredJob]] = defaultdict(list)
    for job in jobs:
        exception = job.history[-1].failure.exception if job.history else ""
        groups[job.new.task, exception].append(job)
    found = [
        FailureGroup(
            task=task,
            exception=exception,
            count=len(jobs),
            latest=jobs[0].new.id,
            last_at=max(job.finished_at for job in jobs if job.finished_at is not None),
        )
        for (task, exception), jobs in groups.items()
    ]
    return sorted(found, key=lambda group: (-group.count, group.task, group.exception))


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
