"""``MemoryStore``: everything under one lock."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from uuid import UUID

from dlq.errors import RunnerUnknown
from dlq.job import Cancelled, Claim, Edit, Enqueued, Exchanged, JobRecord, NewJob, Note, Outcome
from dlq.limits import line_of, slot_of
from dlq.states import WAITING, State
from dlq.store.base import CANCELLABLE, Store, Version
from dlq.store.memory.admission import Admission
from dlq.store.memory.jobs import StoredJob, claim_of, oldest, record_of
from dlq.store.memory.tallies import MemoryTallies
from dlq.store.schedules import FireRecord, ScheduleRecord
from dlq.store.tallies import figures_of
from dlq.unique import OnDuplicate, mark_of
from dlq.workers import Cancellation, Instruction, Order, RunnerInfo, Sight, WorkerInfo, WorkerRef

__all__ = ["MemoryStore", "clock"]


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
        self.lock = threading.RLock()
        """Held while anything here is read or written; the inspector and the schedules take it too."""
        self.jobs: dict[UUID, StoredJob] = {}
        self.runners: dict[str, _Runner] = {}
        self.workers: dict[str, WorkerInfo] = {}
        self.schedules: dict[str, ScheduleRecord] = {}
        self.fires: dict[tuple[str, datetime], FireRecord] = {}
        self.tallies = MemoryTallies()
        self._pauses: dict[str, datetime | None] = {}
        self._word = threading.Condition(self.lock)
        self._said: dict[str, int] = {}
        """For each queue the number of the last word about it."""
        self._words = 0
        self._heard = threading.local()
        """For each thread that listens the number of the last word that it has heard."""
        self._sequence = count(1)
        self.admission = Admission(self.jobs, self._sequence, self.tallies)
        """Who gets the slots."""

    # --- Clients ---

    def enqueue(self, jobs: Sequence[NewJob], *, now: datetime | None = None) -> Enqueued:
        enqueued = Enqueued(at=now or clock())
        with self.lock:
            for new in jobs:
                if new.id not in self.jobs:
                    self.jobs[new.id] = self._stored(new, enqueued.at)
                    self._take_in(self.jobs[new.id], enqueued.at)
            rejected = {new.id: self.jobs[new.id].duplicate_of for new in jobs}
            self._say({new.queue for new in jobs if self.jobs[new.id].state is State.READY})
            self._admit({slot_of(line) for new in jobs if (line := self.jobs[new.id].line)}, enqueued.at)
        return replace(enqueued, duplicates={id: other for id, other in rejected.items() if other})

    def _take_in(self, job: StoredJob, now: datetime) -> None:
        """A new job, unless it is a duplicate."""
        unique = job.new.unique
        if unique is not None and (holder := self._holder(unique.mark, job)) is not None:
            if unique.on_duplicate is OnDuplicate.REPLACE and holder.state in WAITING:
                holder.take_over(job)
                self._say({holder.new.queue} if holder.state is State.READY else ())
            job.reject(holder.new.id, now)
            return
        self.admission.declare(job)
        self.tallies.add(job.new, now, {"enqueued": 1})

    def _holder(self, mark: str, but: StoredJob | None = None) -> StoredJob | None:
        return next((job for job in self.jobs.values() if job.mark == mark and job is not but), None)

    def _stored(self, new: NewJob, now: datetime) -> StoredJob:
        waits = new.run_after is not None and new.run_after > now
        job = StoredJob(
            new,
            enqueued_at=now,
            state=State.SCHEDULED,
            sequence=next(self._sequence),
            metadata=new.metadata,
            due_at=new.run_after if waits else None,
            expires_at=_after(now, new.expires_after),
            line=None if new.limits is None else line_of(self.alias, new.queue, new.limits),
            mark=mark_of(new.unique),
        )
        if not waits:
            job.queue(job.sequence)
        return job

    def _admit(self, marks: Collection[str], now: datetime) -> None:
        """Give the free slots of these keys to those that wait for them."""
        admitted = self.admission.admit(len(self.jobs), self.paused_queues(now), now, marks)
        self._say({job.new.queue for job in admitted})

    def get(self, ids: Collection[UUID]) -> list[JobRecord]:
        with self.lock:
            return [record_of(self.jobs[id]) for id in set(ids) if id in self.jobs]

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
        now = now or clock()
        with self.lock:
            stale, already = [], []
            for outcome in outcomes:
                job = self.jobs.get(outcome.id)
                if job is not None and job.state is State.RUNNING and job.token == outcome.token:
                    job.settle(worker.id, outcome, now, self._sequence)
                    self.tallies.add(job.new, now, figures_of(outcome, job.state))
                elif job is not None and job.settled == (outcome.token, worker.id):
                    already.append(outcome.id)
                else:
                    stale.append(outcome.id)
            self._admit({slot_of(outcome.line) for outcome in outcomes if outcome.line}, now)
            seat = self.workers.get(worker.id)
            registered = seat is not None and seat.incarnation == worker.incarnation
            ready = islice(self._ready(queues, now), limit) if registered else ()
            claims = [self._claim(job, worker.id, now) for job in list(ready)]
            return Exchanged(claims=claims, stale=stale, already=already, registered=registered)

    def _ready(self, queues: Sequence[str], now: datetime) -> Iterator[StoredJob]:
        paused = self.paused_queues(now)
        for queue in dict.fromkeys(queues):
            if queue in paused:
                continue
            ready = (j for j in self.jobs.values() if j.state is State.READY and j.new.queue == queue)
            yield from sorted(ready, key=lambda job: (-job.new.priority, job.sequence))

    def _claim(self, job: StoredJob, worker: str, now: datetime) -> Claim:
        job.state, job.worker, job.claimed_at = State.RUNNING, worker, now
        job.token += 1
        if job.new.unique is not None and job.new.unique.ends_at_start:
            job.mark = None
        return claim_of(job)

    def waiting(self, *, now: datetime | None = None) -> list[str]:
        with self.lock:
            return self._waiting(self.paused_queues(now or clock()))

    def _waiting(self, paused: Collection[str]) -> list[str]:
        return sorted({job.new.queue for job in self._in(State.READY)}.difference(paused))

    def listen(self, timeout: float) -> frozenset[str] | None:
        with self._word:
            if not hasattr(self._heard, "last"):
                self._heard.last = self._words
            self._word.wait_for(lambda: self._words > self._heard.last, timeout)
            last, self._heard.last = self._heard.last, self._words
            return frozenset(queue for queue, word in self._said.items() if word > last)

    def _say(self, queues: Collection[str]) -> None:
        """Tell those who listen. To be called under the lock."""
        if queues:
            self._words += 1
            self._said |= dict.fromkeys(queues, self._words)
            self._word.notify_all()

    def reconcile(
        self, worker: WorkerRef, held: Collection[tuple[UUID, int]], *, now: datetime | None = None
    ) -> WorkerRef:
        with self.lock:
            if worker.id not in self.workers:
                raise RunnerUnknown(f"Worker {worker.id!r} is not registered; register it first.")
            for job in self._in(State.RUNNING):
                if job.worker == worker.id and (job.new.id, job.token) not in held:
                    self._return(job, now or clock())
            seat = self.workers[worker.id]
            self.workers[worker.id] = replace(seat, incarnation=seat.incarnation + 1)
            return WorkerRef(worker.id, seat.incarnation + 1)

    def _return(self, job: StoredJob, now: datetime) -> None:
        """Back to its place, unless somebody has asked to cancel it."""
        if job.reason is None:
            job.state, job.worker = State.READY, None
        else:
            job.finish(State.CANCELLED, now)
            self.tallies.add(job.new, now, {"cancelled": 1})

    def annotate(self, notes: Sequence[Note], *, now: datetime | None = None) -> list[UUID]:
        with self.lock:
            stale = []
            for note in notes:
                job = self.jobs.get(note.id)
                if job is not None and job.state is State.RUNNING and job.token == note.token:
                    job.annotate(note)
                else:
                    stale.append(note.id)
            return stale

    def unpark(self, tasks: Collection[Version], *, now: datetime | None = None) -> int:
        with self.lock:
            jobs = [job for job in self._in(State.BLOCKED) if job.parked_for in tasks]
            for job in jobs:
                job.waits = job.parked_for = None
                job.queue(job.sequence)
            self._say({job.new.queue for job in jobs if job.state is State.READY})
            return len(jobs)

    def parked(self) -> list[Version]:
        with self.lock:
            return sorted({job.parked_for for job in self._in(State.BLOCKED) if job.parked_for})

    # --- Liveness ---

    def register_runner(self, runner: RunnerInfo, *, now: datetime | None = None) -> None:
        with self.lock:
            known = self.runners.get(runner.id)
            beat, beat_at = (known.beat, known.beat_at) if known else (runner.beat, now or clock())
            self.runners[runner.id] = _Runner(runner, beat, beat_at)

    def register_worker(self, worker: WorkerInfo, *, now: datetime | None = None) -> WorkerRef:
        with self.lock:
            if worker.runner not in self.runners:
                raise RunnerUnknown(f"Runner {worker.runner!r} is not registered; register it first.")
            if (seat := self.workers.get(worker.id)) is not None:
                order = seat.order if worker.order is Order.WORK else worker.order
                worker = replace(worker, order=order, instructed=seat.instructed, heeded=seat.heeded)
            self.workers[worker.id] = worker
            return WorkerRef(worker.id, worker.incarnation)

    def unregister_worker(self, worker: str) -> None:
        with self.lock:
            self.workers.pop(worker, None)

    def beat(self, runner: str, *, now: datetime | None = None) -> dict[str, int]:
        with self.lock:
            if runner not in self.runners:
                return {}
            self.runners[runner].beat += 1
            self.runners[runner].beat_at = now or clock()
            return {id: known.beat for id, known in self.runners.items()}

    def retire(self, runner: str, beat: int | None = None) -> bool:
        with self.lock:
            known = self.runners.get(runner)
            if known is None or beat not in (None, known.beat):
                return False
            del self.runners[runner]
            self.workers = {id: w for id, w in self.workers.items() if w.runner != runner}
            return True

    def held(self, worker: str, limit: int) -> list[Claim]:
        with self.lock:
            return oldest((job for job in self._in(State.RUNNING) if job.worker == worker), limit)

    def orphans(self, limit: int) -> list[Claim]:
        with self.lock:
            return oldest((job for job in self._in(State.RUNNING) if job.worker not in self.workers), limit)

    # --- Controls ---

    def pause(self, queue: str, until: datetime | None = None, *, now: datetime | None = None) -> None:
        with self.lock:
            self._pauses[queue] = until

    def resume(self, queue: str) -> bool:
        with self.lock:
            was_paused = self._pauses.pop(queue, self) is not self
            self._say({queue} if was_paused else ())
            return was_paused

    def paused_queues(self, now: datetime) -> dict[str, datetime | None]:
        """The queues that are paused, and until when. To be called under the lock."""
        return {queue: until for queue, until in self._pauses.items() if until is None or until > now}

    def cancel(
        self,
        ids: Collection[UUID],
        reason: str,
        *,
        states: Collection[State] = CANCELLABLE,
        now: datetime | None = None,
    ) -> Cancelled:
        cancelled, now = Cancelled(), now or clock()
        with self.lock:
            for job in self._found(ids, CANCELLABLE.intersection(states)):
                if job.state is State.RUNNING:
                    cancelled.asked.append(job.new.id)
                else:
                    cancelled.done.append(job.new.id)
                    job.finish(State.CANCELLED, now)
                    self.tallies.add(job.new, now, {"cancelled": 1})
                job.reason = reason
        return cancelled

    def retry(
        self,
        ids: Collection[UUID],
        *,
        edits: Mapping[UUID, Edit] | None = None,
        now: datetime | None = None,
    ) -> list[UUID]:
        with self.lock:
            jobs = []
            for job in self._found(ids, {State.FAILED, State.CANCELLED}):
                if job.new.unique is None or self._holder(job.new.unique.mark) is None:
                    job.revive(next(self._sequence), (edits or {}).get(job.new.id))
                    jobs.append(job)
            self._say({job.new.queue for job in jobs if job.state is State.READY})
            return [job.new.id for job in jobs]

    def instruct(self, worker: str, order: Order) -> int | None:
        with self.lock:
            if (seat := self.workers.get(worker)) is None:
                return None
            kept = seat.order if order is Order.PING else order
            self.workers[worker] = replace(seat, order=kept, instructed=seat.instructed + 1)
            return seat.instructed + 1

    def heed(self, worker: str, number: int) -> None:
        with self.lock:
            if (seat := self.workers.get(worker)) is not None:
                self.workers[worker] = replace(seat, heeded=max(seat.heeded, min(number, seat.instructed)))

    # --- Upkeep ---

    def look(self, runner: str, limit: int, *, now: datetime | None = None) -> Sight:
        now = now or clock()
        with self.lock:
            own = {id: seat for id, seat in self.workers.items() if seat.runner == runner}
            paused = self.paused_queues(now)
            self.tallies.forget(now)
            return Sight(
                expired=self._expire(limit, now),
                promoted=self._promote(limit, now),
                admitted=self._admit_any(limit, now),
                ready=self._waiting(paused),
                paused=sorted(paused),
                instructions=[
                    Instruction(id, seat.order, seat.instructed)
                    for id, seat in sorted(own.items())
                    if seat.heeded < seat.instructed
                ],
                cancellations=[
                    Cancellation(job.worker, job.new.id, job.token, job.reason)
                    for job in self._in(State.RUNNING)
                    if job.reason is not None and job.worker is not None and job.worker in own
                ],
            )

    def _expire(self, limit: int, now: datetime) -> int:
        over = (job for job in self.jobs.values() if job.expires_at is not None and job.expires_at <= now)
        expired = list(islice((job for job in over if job.state in WAITING), limit))
        for job in expired:
            job.expire(now)
            self.tallies.add(job.new, now, {"failed": 1})
        return len(expired)

    def _promote(self, limit: int, now: datetime) -> int:
        due = [job for job in self._in(State.SCHEDULED) if job.due_at is not None and job.due_at <= now]
        due.sort(key=lambda job: (job.due_at, job.sequence))
        for job in due[:limit]:
            job.due_at = None
            job.queue(next(self._sequence))
        self._say({job.new.queue for job in due[:limit] if job.state is State.READY})
        return len(due[:limit])

    def admit(self, limit: int, *, now: datetime | None = None) -> int:
        with self.lock:
            return self._admit_any(limit, now or clock())

    def _admit_any(self, limit: int, now: datetime) -> int:
        admitted = self.admission.admit(limit, self.paused_queues(now), now)
        self._say({job.new.queue for job in admitted})
        return len(admitted)

    def prune(
        self,
        state: State,
        older_than: float | None,
        limit: int,
        *,
        task: str | None = None,
        now: datetime | None = None,
    ) -> int:
        now = now or clock()
        last = None if older_than is None else now - timedelta(seconds=older_than)
        with self.lock:
            old = (
                job for job in self._in(state) if _is_over(job, last, now) and task in (None, job.new.task)
            )
            doomed = [job.new.id for job in islice(old, limit)]
            for id in doomed:
                del self.jobs[id]
            return len(doomed)

    def ping(self) -> None:
        pass

    def dedicate(self) -> None:
        pass

    def close(self) -> None:
        self._heard.__dict__.clear()

    def _in(self, state: State) -> Iterator[StoredJob]:
        return (job for job in self.jobs.values() if job.state is state)

    def _found(self, ids: Collection[UUID], states: Collection[State]) -> list[StoredJob]:
        found = (self.jobs.get(id) for id in dict.fromkeys(ids))
        return [job for job in found if job is not None and job.state in states]


def clock() -> datetime:
    """The store's own clock."""
    return datetime.now(UTC)


def _after(now: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else now + timedelta(seconds=seconds)


def _is_over(job: StoredJob, last: datetime | None, now: datetime) -> bool:
    """Whether a finished job is kept no longer."""
    if job.keep_until is not None:
        return job.keep_until <= now
    return last is not None and job.finished_at is not None and job.finished_at <= last
