"""The values that cross the seam between the runtime and a store."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from dlq.states import State

__all__ = [
    "Attempt",
    "Claim",
    "Counted",
    "Exchanged",
    "Failure",
    "JobRecord",
    "NewJob",
    "Outcome",
    "RunnerInfo",
    "WorkerInfo",
    "WorkerRef",
    "new_job_id",
]

_VERSION_7 = 7 << 76
_VARIANT = 2 << 62
_RAND_A = ((1 << 12) - 1) << 64
_RAND_B = (1 << 62) - 1


def new_job_id() -> UUID:
    """A UUID of version 7 (RFC 9562, 5.7): unique without asking the store, and kind to its indexes.

    Ids identify jobs and never order them: clocks of different machines differ.
    """
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    return UUID(int=milliseconds << 80 | _VERSION_7 | (random & _RAND_A) | _VARIANT | (random & _RAND_B))


class Counted(IntEnum):
    """What a hand-back of a claim adds to the job's counters. The numbers are stored."""

    NOTHING = 0
    """The job did not really run: it was handed back unstarted, by a deploy, or parked."""
    ATTEMPT = 1
    """The task itself returned or raised."""
    INTERRUPTION = 2
    """Infrastructure took the worker away while the job ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job on its way into the store."""

    id: UUID
    task: str
    """Dotted path of the task."""
    queue: str
    payload: str
    """Arguments as JSON text; no store ever looks inside."""
    priority: int = 0
    """-100 to 100; higher runs first."""
    run_after: datetime | None = None
    max_attempts: int = 1
    max_interruptions: int = 2
    overrides: str | None = None
    """JSON of the options given with the call that only the worker needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A job held by a worker. The token fences it: it grows with every claim of the job."""

    id: UUID
    token: int
    task: str
    queue: str
    payload: str
    priority: int
    run_after: datetime | None
    enqueued_at: datetime
    claimed_at: datetime
    worker: str
    attempts: int
    """How often the task has raised before this claim."""
    interruptions: int
    """How often a worker was lost while the job ran."""
    max_attempts: int
    max_interruptions: int
    overrides: str | None = None

    @property
    def suspect(self) -> bool:
        """Whether a worker was lost while this job ran: it must then run alone in its worker."""
        return self.interruptions > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt did not succeed, as text that outlives the code."""

    exception: str
    """Dotted path of the exception's class."""
    traceback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a claim. The runtime decides it; the store only checks the token and writes it."""

    id: UUID
    token: int
    state: State
    counted: Counted
    result: str | None = None
    """The return value as JSON text; only with ``SUCCEEDED``."""
    failure: Failure | None = None
    delay: float = 0.0
    """Seconds from now until the job is due again; only with ``SCHEDULED``."""
    seconds: float = 0.0
    """How long the attempt ran, by the worker's monotonic clock. Of an interruption nobody knows; it counts
    from the claim."""

    def __post_init__(self) -> None:
        """Refuse a state that no claim may go to."""
        if not State.RUNNING.may_become(self.state):
            raise ValueError(f"A running job cannot become {self.state.label}.")

    @classmethod
    def succeeded(cls, claim: Claim, result: str, seconds: float) -> Outcome:
        """The task returned, and this is its value as JSON text."""
        return cls(
            id=claim.id,
            token=claim.token,
            state=State.SUCCEEDED,
            counted=Counted.ATTEMPT,
            result=result,
            seconds=seconds,
        )

    @classmethod
    def failed(
        cls, claim: Claim, failure: Failure, seconds: float = 0.0, counted: Counted = Counted.ATTEMPT
    ) -> Outcome:
        """The job failed for good."""
        return cls(
            id=claim.id,
            token=claim.token,
            state=State.FAILED,
            counted=counted,
            failure=failure,
            seconds=seconds,
        )

    @classmethod
    def retry(cls, claim: Claim, failure: Failure, delay: float, seconds: float = 0.0) -> Outcome:
        """The task raised and is tried again after ``delay`` seconds."""
        return cls(
            id=claim.id,
            token=claim.token,
            state=State.SCHEDULED if delay > 0 else State.READY,
            counted=Counted.ATTEMPT,
            failure=failure,
            delay=delay,
            seconds=seconds,
        )

    @classmethod
    def handed_back(cls, claim: Claim) -> Outcome:
        """The claim goes back to its place in the queue, as if it had never been taken."""
        return cls(id=claim.id, token=claim.token, state=State.READY, counted=Counted.NOTHING)

    @classmethod
    def interrupted(cls, claim: Claim, failure: Failure) -> Outcome:
        """The worker was lost while the job ran: back to its place, no attempt used up."""
        return cls(
            id=claim.id,
            token=claim.token,
            state=State.READY,
            counted=Counted.INTERRUPTION,
            failure=failure,
        )

    @classmethod
    def parked(cls, claim: Claim) -> Outcome:
        """No worker here knows the task: wait, visible, for one that does."""
        return cls(id=claim.id, token=claim.token, state=State.BLOCKED, counted=Counted.NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One entry of a job's history: an attempt that raised, or one that was interrupted."""

    worker: str
    started_at: datetime
    finished_at: datetime
    counted: Counted
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """Everything that a store knows about one job."""

    id: UUID
    state: State
    task: str
    queue: str
    payload: str
    priority: int
    run_after: datetime | None
    enqueued_at: datetime
    due_at: datetime | None
    """When a scheduled job becomes ready."""
    started_at: datetime | None
    """When the last attempt began; None while the job waits for one."""
    finished_at: datetime | None
    worker: str | None
    """Who runs it, or ran the attempt that ended it."""
    token: int
    attempts: int
    interruptions: int
    max_attempts: int
    max_interruptions: int
    overrides: str | None
    result: str | None
    history: Sequence[Attempt] = ()
    """Oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker as it registers, and as operators see it."""

    id: str
    runner: str
    pid: int
    queues: str
    """The selectors that it serves, as written in the settings."""
    slots: int
    """How many jobs it runs at a time."""
    kind: str
    """``process``, ``threads`` or ``coroutines``."""
    incarnation: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerInfo:
    """A runner as it registers, and as operators see it."""

    id: str
    host: str
    pid: int
    beat: int = 1
    """Where it starts to count when it registers; afterwards, how far it has come."""
    beat_age: float = 0.0
    """Seconds since its last beat, by the store's clock; never negative, whatever that clock does."""
    workers: Sequence[WorkerInfo] = ()


@dataclass(frozen=True, slots=True)
class WorkerRef:
    """A registered worker's right to claim.

    ``incarnation`` grows with every reconciliation, so that an exchange whose answer was lost, and
    which the store may still be working on, claims nothing once the worker has moved on.
    """

    id: str
    incarnation: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """The answer to an exchange."""

    claims: list[Claim] = field(default_factory=list)
    """In the order in which they are to be started."""
    stale: list[UUID] = field(default_factory=list)
    """Outcomes that were rejected: the job was taken from this worker in the meantime."""
    already: list[UUID] = field(default_factory=list)
    """Outcomes that the same token had settled before: a repetition, not a loss."""
    registered: bool = True
    """False when the store does not know this worker (any more): it was given nothing."""
