"""A job as ``MemoryStore`` keeps it, and the values of core that are made of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from dlq.job import LOG_LINES, Attempt, Claim, Counted, Edit, Failure, JobRecord, NewJob, Note, Outcome
from dlq.states import FINISHED, State, Waits
from dlq.unique import duplicate_reason, mark_of

__all__ = ["StoredJob", "claim_of", "oldest", "record_of"]


@dataclass(slots=True)
class StoredJob:
    """A stored job: what was enqueued, and what has become of it since."""

    new: NewJob
    enqueued_at: datetime
    state: State
    sequence: int
    metadata: str | None
    mark: str | None = None
    """Its unique mark, while it keeps others out."""
    duplicate_of: UUID | None = None
    parked_for: tuple[str, int] | None = None
    """The version of its task that it waits for."""
    due_at: datetime | None = None
    expires_at: datetime | None = None
    line: str | None = None
    """Where it waits for a slot; None for a job without limits."""
    waits: Waits | None = None
    """What it waits for while it is blocked."""
    token: int = 0
    settled: tuple[int, str] | None = None
    """The last token that settled the job, and who settled with it."""
    attempts: int = 0
    interruptions: int = 0
    worker: str | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    keep_until: datetime | None = None
    result: str | None = None
    reason: str | None = None
    """Why it was cancelled, or, while it runs, why it is to be."""
    progress: float | None = None
    message: str | None = None
    log: list[str] = field(default_factory=list)
    history: list[Attempt] = field(default_factory=list)

    @property
    def due_since(self) -> datetime:
        """From when on it could have run."""
        return max(self.enqueued_at, self.new.run_after or self.enqueued_at)

    def queue(self, sequence: int) -> None:
        """Its time has come: it is ready, or waits for a slot."""
        if self.line is None:
            self.state, self.sequence = State.READY, sequence
        else:
            self.block(sequence)

    def block(self, sequence: int) -> None:
        """Wait for a slot."""
        self.state, self.waits, self.sequence = State.BLOCKED, Waits.LIMIT, sequence

    def admit(self, sequence: int) -> None:
        """Have the slot."""
        self.state, self.waits, self.sequence = State.READY, None, sequence

    def finish(self, state: State, now: datetime) -> None:
        """Reach a finished state without having run; a failed job, which ran, keeps what is known of that."""
        self.mark = self.waits = None
        if self.state is not State.FAILED:
            self.started_at = self.worker = None
        self.state, self.finished_at, self.due_at, self.parked_for = state, now, None, None

    def expire(self, now: datetime) -> None:
        """Fail for having waited too long."""
        failure = Failure(
            exception="dlq.errors.Expired", traceback=f"The job had not started at {self.expires_at}.\n"
        )
        self.finish(State.FAILED, now)
        self.history.append(
            Attempt(worker="", started_at=now, finished_at=now, counted=Counted.NOTHING, failure=failure)
        )

    def settle(self, by: str, outcome: Outcome, now: datetime, sequence: Iterable[int]) -> None:
        """Write the outcome of the claim under which the job is running."""
        assert self.claimed_at is not None
        interrupted = outcome.counted is Counted.INTERRUPTION
        started_at = self.claimed_at if interrupted else now - timedelta(seconds=outcome.seconds)
        self.settled = (outcome.token, by)
        self.attempts += outcome.counted is Counted.ATTEMPT
        self.interruptions += outcome.counted is Counted.INTERRUPTION
        if outcome.failure is not None:
            self.history.append(
                Attempt(
                    worker=self.worker or "",
                    started_at=started_at,
                    finished_at=now,
                    counted=outcome.counted,
                    failure=outcome.failure,
                )
            )
        # Whoever asked to cancel it does not want it to wait for another attempt.
        asked = self.reason is not None and outcome.state not in FINISHED
        self.state = State.CANCELLED if asked else outcome.state
        if self.state in FINISHED:
            self.mark = None
            self._end(outcome, started_at, now)
            return
        self.worker = None
        if self.state is State.SCHEDULED:
            self.due_at = now + timedelta(seconds=outcome.delay)
        elif self.state is State.BLOCKED:
            self.waits = Waits.TASK
            self.parked_for = (self.new.task, outcome.version or 1)
        elif self.state is State.READY and outcome.counted is Counted.ATTEMPT:
            self.queue(next(iter(sequence)))

    def _end(self, outcome: Outcome, started_at: datetime, now: datetime) -> None:
        self.result, self.started_at, self.finished_at = outcome.result, started_at, now
        if outcome.keep_for is not None:
            self.keep_until = now + timedelta(seconds=outcome.keep_for)
        if self.state is not State.CANCELLED:
            self.reason = None
        elif self.reason is None:
            self.reason = outcome.reason

    def reject(self, other: UUID, now: datetime) -> None:
        """End before it has begun: the other job has its mark."""
        self.mark, self.duplicate_of, self.reason = None, other, duplicate_reason(other)
        self.state, self.due_at, self.expires_at, self.finished_at = State.CANCELLED, None, None, now

    def take_over(self, other: StoredJob) -> None:
        """Be what the other job, which is new, says, but for its id and its queue."""
        waits, moved = other.state is State.SCHEDULED, self.new.priority != other.new.priority
        self.new = replace(other.new, id=self.new.id, queue=self.new.queue, unique=self.new.unique)
        self.metadata, self.expires_at, self.due_at = other.metadata, other.expires_at, other.due_at
        if self.waits is not Waits.TASK and waits:
            self.state, self.waits = State.SCHEDULED, None
        elif self.state is State.SCHEDULED:
            self.queue(other.sequence)
        if moved or waits:
            self.sequence = other.sequence

    def revive(self, sequence: int, edit: Edit | None) -> None:
        """Become ready again after the end."""
        if edit is not None:
            self.new = replace(self.new, payload=edit.payload, overrides=edit.overrides)
        self.queue(sequence)
        self.mark, self.duplicate_of = mark_of(self.new.unique), None
        self.attempts = self.interruptions = 0
        self.started_at = self.finished_at = self.keep_until = self.expires_at = None
        self.worker = self.result = self.reason = None

    def annotate(self, note: Note) -> None:
        """Take note of what its task says."""
        self.progress = self.progress if note.progress is None else note.progress
        self.message = self.message if note.message is None else note.message
        self.metadata = self.metadata if note.metadata is None else note.metadata
        self.log = [*self.log, *note.lines][-LOG_LINES:]


def oldest(jobs: Iterable[StoredJob], limit: int) -> list[Claim]:
    """The claims of running jobs, the oldest first."""
    return sorted(map(claim_of, jobs), key=lambda claim: claim.claimed_at)[:limit]


def claim_of(job: StoredJob) -> Claim:
    """A running job as its worker gets it."""
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
        expires_at=job.expires_at,
        metadata=job.metadata,
        line=job.line,
    )


def record_of(job: StoredJob) -> JobRecord:
    """Everything that is known of a job."""
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
        reason=job.reason,
        expires_at=job.expires_at,
        keep_until=job.keep_until,
        metadata=job.metadata,
        progress=job.progress,
        message=job.message,
        log=tuple(job.log),
        limits=job.new.limits,
        waits=job.waits,
        unique=job.new.unique,
        duplicate_of=job.duplicate_of,
    )
