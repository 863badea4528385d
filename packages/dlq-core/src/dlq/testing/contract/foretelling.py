"""The model of a store: what it holds, and what each verb makes of that, in the plainest words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from dlq.job import Counted, NewJob, Outcome
from dlq.states import FINISHED, WAITING, State
from dlq.store.tallies import ENDINGS
from dlq.testing.contract.builders import NOON

__all__ = ["ModelJob", "World"]


@dataclass
class ModelJob:
    """What the model knows about a job."""

    new: NewJob
    state: State
    place: int
    due_at: datetime | None
    expires_at: datetime | None
    token: int = 0
    worker: str | None = None
    attempts: int = 0
    interruptions: int = 0
    failures: int = 0
    finished_at: datetime | None = None
    keep_until: datetime | None = None
    reason: str | None = None
    """Why it was cancelled, or, while it runs, why it is to be."""
    settled: tuple[int, str] | None = None
    """The last token that settled it, and who settled with it."""

    def take(self, token: int, worker: str) -> None:
        """It was claimed."""
        self.state, self.token, self.worker = State.RUNNING, token, worker

    def settle(self, by: str, outcome: Outcome, now: datetime, place: Callable[[], int]) -> None:
        """Its claim came back."""
        self.settled = (outcome.token, by)
        self.attempts += outcome.counted is Counted.ATTEMPT
        self.interruptions += outcome.counted is Counted.INTERRUPTION
        self.failures += outcome.failure is not None
        cancelled = self.reason is not None and outcome.state not in FINISHED
        self.state = State.CANCELLED if cancelled else outcome.state
        if self.state in FINISHED:
            self.finished_at = now
            if outcome.keep_for is not None:
                self.keep_until = now + timedelta(seconds=outcome.keep_for)
            if self.state is not State.CANCELLED:
                self.reason = None
            elif self.reason is None:
                self.reason = outcome.reason
            return
        self.worker = None
        if self.state is State.SCHEDULED:
            self.due_at = now + timedelta(seconds=outcome.delay)
        elif self.state is State.READY and outcome.counted is Counted.ATTEMPT:
            self.place = place()

    def end(self, state: State, now: datetime) -> None:
        """It ends without a settlement."""
        self.state, self.finished_at, self.due_at = state, now, None

    def promote(self, place: int) -> None:
        """Its time has come."""
        self.state, self.due_at, self.place = State.READY, None, place

    def revive(self, place: int) -> None:
        """Somebody retries it."""
        self.state, self.place = State.READY, place
        self.attempts = self.interruptions = 0
        self.worker = self.reason = None
        self.finished_at = self.keep_until = self.expires_at = None

    def is_over(self, older_than: float | None, now: datetime) -> bool:
        """Whether it is kept no longer."""
        if self.finished_at is None or self.keep_until is not None:
            return self.keep_until is not None and self.keep_until <= now
        return older_than is not None and self.finished_at <= now - timedelta(seconds=older_than)


@dataclass
class World:
    """Everything that the store should hold, at a moment that the model decides."""

    jobs: dict[UUID, ModelJob] = field(default_factory=dict)
    beats: dict[str, int] = field(default_factory=dict)
    seats: dict[str, int] = field(default_factory=dict)
    """The incarnations of the registered workers."""
    pauses: dict[str, datetime | None] = field(default_factory=dict)
    counted: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By queue, task and figure."""
    now: datetime = NOON
    serial: int = 0

    def next(self) -> int:
        """A number that is greater than all before."""
        self.serial += 1
        return self.serial

    def soon(self) -> datetime:
        """In about ten seconds, and never twice the same: no two jobs are due at one moment."""
        return self.now + timedelta(seconds=10, milliseconds=self.next())

    def enqueue(self, new: NewJob) -> None:
        """A job enters; its times lie ahead."""
        self.jobs[new.id] = ModelJob(
            new,
            State.SCHEDULED if new.run_after else State.READY,
            self.next(),
            new.run_after,
            None if new.expires_after is None else self.now + timedelta(seconds=new.expires_after),
        )
        self.count(new, {"enqueued": 1})

    def count(self, new: NewJob, figures: Mapping[str, float]) -> None:
        """Something has happened to a job."""
        for name, value in figures.items():
            self.counted[new.queue, new.task, name] += int(value)

    def end(self, job: ModelJob, state: State) -> None:
        """A job ends without a settlement."""
        job.end(state, self.now)
        self.count(job.new, {ENDINGS[state]: 1})

    def give_back(self, job: ModelJob) -> None:
        """A reconciliation has found that nobody holds it."""
        job.state, job.worker = State.READY, None
        if job.reason is not None:
            self.end(job, State.CANCELLED)

    def chosen(self, places: Collection[int]) -> list[ModelJob]:
        """The jobs at these places."""
        known = list(self.jobs.values())
        return [known[at] for at in sorted({at % len(known) for at in places})]

    def in_state(self, *states: State) -> Iterator[ModelJob]:
        """The jobs in one of these states."""
        return (job for job in list(self.jobs.values()) if job.state in states)

    def in_line(self, queue: str) -> list[ModelJob]:
        """What a queue gives, in its order."""
        ready = [job for job in self.in_state(State.READY) if job.new.queue == queue]
        return [] if queue in self.paused() else sorted(ready, key=lambda job: (-job.new.priority, job.place))

    def paused(self) -> list[str]:
        """The queues that are paused now, sorted."""
        return sorted(queue for queue, end in self.pauses.items() if end is None or end > self.now)

    def waiting(self) -> list[str]:
        """The queues that have something to give, sorted."""
        return sorted({job.new.queue for job in self.in_state(State.READY)} - set(self.paused()))

    def late(self) -> list[ModelJob]:
        """The jobs that have waited for too long."""
        waiting = self.in_state(*WAITING)
        return [job for job in waiting if job.expires_at and job.expires_at <= self.now]

    def due(self) -> list[ModelJob]:
        """The scheduled jobs whose time has come, the longest due first."""
        due = [job for job in self.in_state(State.SCHEDULED) if job.due_at and job.due_at <= self.now]
        return sorted(due, key=lambda job: job.due_at or self.now)

    def held(self, worker: str) -> set[UUID]:
        """The jobs that a worker holds."""
        return {job.new.id for job in self.in_state(State.RUNNING) if job.worker == worker}

    def orphaned(self) -> set[UUID]:
        """The running jobs whose worker is gone."""
        return {job.new.id for job in self.in_state(State.RUNNING) if job.worker not in self.seats}
