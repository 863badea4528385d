"""A store in the memory of one process: for tests, and as the plainest reading of the interface."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from uuid import UUID

from dlq.errors import RunnerUnknown
from dlq.job import (
    Attempt,
    Claim,
    Counted,
    Exchanged,
    JobRecord,
    NewJob,
    Outcome,
    RunnerInfo,
    WorkerInfo,
    WorkerRef,
)
from dlq.states import FINISHED, State
from dlq.store.base import Store
from dlq.store.inspector import Inspector, JobFilter, QueueCounts

__all__ = ["MemoryInspector", "MemoryStore"]


@dataclass(slots=True)
class _Job:
    """A stored job: what was enqueued, and what has become of it since."""

    new: NewJob
    enqueued_at: datetime
    state: State
    sequence: int
    due_at: datetime | None = None
    token: int = 0
    settled: tuple[int, str] | None = None
    """The last token that settled the job, and who settled with it."""
    attempts: int = 0
    interruptions: int = 0
    worker: str | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: str | None = None
    history: list[Attempt] = field(default_factory=list)


@dataclass(slots=True)
class _Runner:
    info: RunnerInfo
    beat: int
    beat_at: datetime


class MemoryStore(Store):
    """Everything under one lock. Lives and dies with the process; shared by its threads."""

    def __init__(self, alias: str = "default") -> None:
        """Start empty, as the store of the backend with this alias."""
        self.alias = alias
        self._lock = threading.Lock()
        self._jobs: dict[UUID, _Job] = {}
        self._runners: dict[str, _Runner] = {}
        self._workers: dict[str, WorkerInfo] = {}
        self._sequence = count(1)

    # --- Clients ---

    def enqueue(self, jobs: Sequence[NewJob], *, now: datetime | None = None) -> datetime:
        now = now or _clock()
        with self._lock:
            for new in jobs:
                waits = new.run_after is not None and new.run_after > now
                self._jobs.setdefault(
                    new.id,
                    _Job(
                        new,
                        enqueued_at=now,
                        state=State.SCHEDULED if waits else State.READY,
                        sequence=next(self._sequence),
                        due_at=new.run_after if waits else None,
                    ),
                )
        return now

    def get(self, ids: Collection[UUID]) -> list[JobRecord]:
        with self._lock:
            return [_record(self._jobs[id]) for id in set(ids) if id in self._jobs]

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
        now = now or _clock()
        with self._lock:
            stale, already = [], []
            for outcome in outcomes:
                job = self._jobs.get(outcome.id)
                if job is not None and job.state is State.RUNNING and job.token == outcome.token:
                    self._settle(job, worker.id, outcome, now)
                elif job is not None and job.settled == (outcome.token, worker.id):
                    already.append(outcome.id)
                else:
                    stale.append(outcome.id)
            seat = self._workers.get(worker.id)
            registered = seat is not None and seat.incarnation == worker.incarnation
            ready = islice(self._ready(queues), limit) if registered else ()
            claims = [self._claim(job, worker.id, now) for job in list(ready)]
            return Exchanged(claims=claims, stale=stale, already=already, registered=registered)

    def _ready(self, queues: Sequence[str]) -> Iterator[_Job]:
        for queue in dict.fromkeys(queues):
            ready = (j for j in self._jobs.values() if j.state is State.READY and j.new.queue == queue)
            yield from sorted(ready, key=lambda job: (-job.new.priority, job.sequence))

    def _claim(self, job: _Job, worker: str, now: datetime) -> Claim:
        job.state, job.worker, job.claimed_at = State.RUNNING, worker, now
        job.token += 1
        return _claim(job)

    def _settle(self, job: _Job, by: str, outcome: Outcome, now: datetime) -> None:
        assert job.claimed_at is not None
        interrupted = outcome.counted is Counted.INTERRUPTION
        started_at = job.claimed_at if interrupted else now - timedelta(seconds=outcome.seconds)
        job.settled = (outcome.token, by)
        job.attempts += outcome.counted is Counted.ATTEMPT
        job.interruptions += outcome.counted is Counted.INTERRUPTION
        if outcome.failure is not None:
            job.history.append(
                Attempt(
                    worker=job.worker or "",
                    started_at=started_at,
                    finished_at=now,
                    counted=outcome.counted,
                    failure=outcome.failure,
                )
            )
        job.state = outcome.state
        if outcome.state in FINISHED:
            job.result, job.started_at, job.finished_at = outcome.result, started_at, now
        else:
            job.worker = None
        if outcome.state is State.SCHEDULED:
            job.due_at = now + timedelta(seconds=outcome.delay)
        elif outcome.state is State.READY and outcome.counted is Counted.ATTEMPT:
            job.sequence = next(self._sequence)

    def waiting(self) -> list[str]:
        with self._lock:
            return sorted({job.new.queue for job in self._in(State.READY)})

    def reconcile(
        self, worker: WorkerRef, held: Collection[tuple[UUID, int]], *, now: datetime | None = None
    ) -> WorkerRef:
        with self._lock:
            if worker.id not in self._workers:
                raise RunnerUnknown(f"Worker {worker.id!r} is not registered; register it first.")
            for job in self._in(State.RUNNING):
                if job.worker == worker.id and (job.new.id, job.token) not in held:
                    job.state, job.worker = State.READY, None
            seat = self._workers[worker.id]
            self._workers[worker.id] = replace(seat, incarnation=seat.incarnation + 1)
            return WorkerRef(worker.id, seat.incarnation + 1)

    def unpark(self, tasks: Collection[str], *, now: datetime | None = None) -> int:
        with self._lock:
            jobs = [job for job in self._in(State.BLOCKED) if job.new.task in tasks]
            for job in jobs:
                job.state = State.READY
            return len(jobs)

    def parked(self) -> list[str]:
        with self._lock:
            return sorted({job.new.task for job in self._in(State.BLOCKED)})

    # --- Liveness ---

    def register_runner(self, runner: RunnerInfo, *, now: datetime | None = None) -> None:
        with self._lock:
            known = self._runners.get(runner.id)
            beat, beat_at = (known.beat, known.beat_at) if known else (runner.beat, now or _clock())
            self._runners[runner.id] = _Runner(runner, beat, beat_at)

    def register_worker(self, worker: WorkerInfo, *, now: datetime | None = None) -> WorkerRef:
        with self._lock:
            if worker.runner not in self._runners:
                raise RunnerUnknown(f"Runner {worker.runner!r} is not registered; register it first.")
            self._workers[worker.id] = worker
            return WorkerRef(worker.id, worker.incarnation)

    def unregister_worker(self, worker: str) -> None:
        with self._lock:
            self._workers.pop(worker, None)

    def beat(self, runner: str, *, now: datetime | None = None) -> dict[str, int]:
        with self._lock:
            if runner not in self._runners:
                return {}
            self._runners[runner].beat += 1
            self._runners[runner].beat_at = now or _clock()
            return {id: known.beat for id, known in self._runners.items()}

    def retire(self, runner: str, beat: int | None = None) -> bool:
        with self._lock:
            known = self._runners.get(runner)
            if known is None or beat not in (None, known.beat):
                return False
            del self._runners[runner]
            self._workers = {id: w for id, w in self._workers.items() if w.runner != runner}
            return True

    def held(self, worker: str, limit: int) -> list[Claim]:
        with self._lock:
            return _oldest((job for job in self._in(State.RUNNING) if job.worker == worker), limit)

    def orphans(self, limit: int) -> list[Claim]:
        with self._lock:
            return _oldest((job for job in self._in(State.RUNNING) if job.worker not in self._workers), limit)

    # --- Upkeep ---

    def promote(self, limit: int, *, now: datetime | None = None) -> int:
        now = now or _clock()
        with self._lock:
            due = [job for job in self._in(State.SCHEDULED) if job.due_at is not None and job.due_at <= now]
            due.sort(key=lambda job: (job.due_at, job.sequence))
            for job in due[:limit]:
                job.state, job.due_at, job.sequence = State.READY, None, next(self._sequence)
            return len(due[:limit])

    def prune(self, state: State, older_than: float, limit: int, *, now: datetime | None = None) -> int:
        last = (now or _clock()) - timedelta(seconds=older_than)
        with self._lock:
            old = (job for job in self._in(state) if job.finished_at is not None and job.finished_at <= last)
            doomed = [job.new.id for job in islice(old, limit)]
            for id in doomed:
                del self._jobs[id]
            return len(doomed)

    def ping(self) -> None:
        pass

    def dedicate(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _in(self, state: State) -> Iterator[_Job]:
        return (job for job in self._jobs.values() if job.state is state)


class MemoryInspector(Inspector):
    """Reads a MemoryStore."""

    def __init__(self, store: MemoryStore) -> None:
        """Read ``store``, which lives in this process."""
        self._store = store

    def counts(self) -> list[QueueCounts]:
        queues: dict[str, dict[State, int]] = {}
        with self._store._lock:
            for job in self._store._jobs.values():
                states = queues.setdefault(job.new.queue, {})
                states[job.state] = states.get(job.state, 0) + 1
        return [QueueCounts(queue=queue, states=queues[queue]) for queue in sorted(queues)]

    def runners(self, *, now: datetime | None = None) -> list[RunnerInfo]:
        now = now or _clock()
        with self._store._lock:
            return [
                replace(
                    known.info,
                    beat=known.beat,
                    beat_age=max(0.0, (now - known.beat_at).total_seconds()),
                    workers=sorted(
                        (w for w in self._store._workers.values() if w.runner == id), key=lambda w: w.id
                    ),
                )
                for id, known in sorted(self._store._runners.items())
            ]

    def jobs(self, chosen: JobFilter, *, limit: int, before: UUID | None = None) -> list[JobRecord]:
        with self._store._lock:
            found = [
                job
                for job in self._store._jobs.values()
                if (chosen.states is None or job.state in chosen.states)
                and (chosen.queues is None or job.new.queue in chosen.queues)
                and (chosen.tasks is None or job.new.task in chosen.tasks)
                and (before is None or job.new.id < before)
            ]
        found.sort(key=lambda job: job.new.id, reverse=True)
        return [replace(_record(job), history=()) for job in found[:limit]]


def _clock() -> datetime:
    return datetime.now(UTC)


def _oldest(jobs: Iterable[_Job], limit: int) -> list[Claim]:
    return sorted((_claim(job) for job in jobs), key=lambda claim: claim.claimed_at)[:limit]


def _claim(job: _Job) -> Claim:
    assert job.claimed_at is not None
    assert job.worker is not None
    return Claim(
        id=job.new.id,
        token=job.token,
        task=job.new.task,
        queue=job.new.queue,
        payload=job.new.payload,
        priority=job.new.priority,
        run_after=job.new.run_after,
        enqueued_at=job.enqueued_at,
        claimed_at=job.claimed_at,
        worker=job.worker,
        attempts=job.attempts,
        interruptions=job.interruptions,
        max_attempts=job.new.max_attempts,
        max_interruptions=job.new.max_interruptions,
        overrides=job.new.overrides,
    )


def _record(job: _Job) -> JobRecord:
    return JobRecord(
        id=job.new.id,
        state=job.state,
        task=job.new.task,
        queue=job.new.queue,
        payload=job.new.payload,
        priority=job.new.priority,
        run_after=job.new.run_after,
        enqueued_at=job.enqueued_at,
        due_at=job.due_at,
        started_at=job.claimed_at if job.state is State.RUNNING else job.started_at,
        finished_at=job.finished_at,
        worker=job.worker,
        token=job.token,
        attempts=job.attempts,
        interruptions=job.interruptions,
        max_attempts=job.new.max_attempts,
        max_interruptions=job.new.max_interruptions,
        overrides=job.new.overrides,
        result=job.result,
        history=tuple(job.history),
    )
