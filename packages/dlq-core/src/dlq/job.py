"""The values that cross the seam between the runtime and a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from dlq.limits import Limits
from dlq.states import State, Waits
from dlq.unique import UniqueKey

__all__ = [
    "LOG_LINES",
    "Attempt",
    "Cancelled",
    "Claim",
    "Counted",
    "Edit",
    "Enqueued",
    "Exchanged",
    "Failure",
    "JobRecord",
    "NewJob",
    "Note",
    "Outcome",
]

LOG_LINES = 1000
"""How many lines of a job's log are kept."""


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
    expires_after: float | None = None
    """Seconds from now after which the job, unless it runs then, fails as ``Expired``."""
    metadata: str | None = None
    """A JSON object, for people and for the task."""
    limits: Limits | None = None
    """What holds it back beside its time."""
    durability: str | None = None
    """What its enqueue waits for, in a word of the store; None for what the store does by itself."""
    unique: UniqueKey | None = None
    """What no other job may have at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    """What became of new jobs."""

    at: datetime
    """When they were stored."""
    duplicates: Mapping[UUID, UUID] = field(default_factory=dict)
    """Those that were rejected because another job has their key, and those others."""


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
    expires_at: datetime | None = None
    metadata: str | None = None
    line: str | None = None
    """Where it waited for a slot, which it holds now; None for a job without limits."""

    @property
    def suspect(self) -> bool:
        """Whether a worker was lost while this job ran: it must then run alone, in its worker or in its runner."""
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
    reason: str | None = None
    """Why it was cancelled, in words; only with ``CANCELLED``."""
    keep_for: float | None = None
    """Seconds for which the finished job is kept; None for as long as the backend's retention says."""
    line: str | None = None
    """That of the claim: others may wait there for the slot."""
    version: int | None = None
    """The version of its task that it waits for; only with ``BLOCKED``, and then it is parked."""

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
            line=claim.line,
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
            line=claim.line,
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
            line=claim.line,
            state=State.SCHEDULED if delay > 0 else State.READY,
            counted=Counted.ATTEMPT,
            failure=failure,
            delay=delay,
            seconds=seconds,
        )

    @classmethod
    def cancelled(cls, claim: Claim, reason: str, seconds: float = 0.0) -> Outcome:
        """The job ended because somebody asked for it."""
        return cls(
            id=claim.id,
            token=claim.token,
            line=claim.line,
            state=State.CANCELLED,
            counted=Counted.NOTHING,
            reason=reason,
            seconds=seconds,
        )

    @classmethod
    def discarded(
        cls, claim: Claim, reason: str, seconds: float = 0.0, failure: Failure | None = None
    ) -> Outcome:
        """The task has no use for the job any more: because it says so, or because of what it raised."""
        return cls(
            id=claim.id,
            token=claim.token,
            state=State.CANCELLED,
            counted=Counted.NOTHING if failure is None else Counted.ATTEMPT,
            failure=failure,
            reason=reason,
            seconds=seconds,
        )

    @classmethod
    def handed_back(cls, claim: Claim) -> Outcome:
        """The claim goes back to its place in the queue, as if it had never been taken."""
        return cls(
            id=claim.id,
            token=claim.token,
            line=claim.line,
            state=State.READY,
            counted=Counted.NOTHING,
        )

    @classmethod
    def put_off(cls, claim: Claim, delay: float) -> Outcome:
        """The claim goes back for so many seconds, as if it had never been taken."""
        return cls(
            id=claim.id,
            token=claim.token,
            line=claim.line,
            state=State.SCHEDULED,
            counted=Counted.NOTHING,
            delay=delay,
        )

    @classmethod
    def interrupted(cls, claim: Claim, failure: Failure) -> Outcome:
        """The worker was lost while the job ran: back to its place, no attempt used up."""
        return cls(
            id=claim.id,
            token=claim.token,
            line=claim.line,
            state=State.READY,
            counted=Counted.INTERRUPTION,
            failure=failure,
        )

    @classmethod
    def parked(cls, claim: Claim, version: int = 1) -> Outcome:
        """No worker here knows this version of the task: wait, visible, for one that does."""
        return cls(
            id=claim.id,
            token=claim.token,
            line=claim.line,
            state=State.BLOCKED,
            counted=Counted.NOTHING,
            version=version,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One entry of a job's history: an attempt that raised, or one that was interrupted."""

    worker: str
    started_at: datetime
    finished_at: datetime
    counted: Counted
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a running job says about itself. Fenced by the token of its claim, as its outcome is."""

    id: UUID
    token: int
    progress: float | None = None
    """How far it has come, from 0 to 1; None says nothing new."""
    message: str | None = None
    """What it does at the moment; None says nothing new."""
    metadata: str | None = None
    """A JSON object that replaces the one before; None leaves that."""
    lines: Sequence[str] = ()
    """Lines, without line breaks, for the job's log, which is capped: the oldest go first."""


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
    reason: str | None = None
    """Why it was cancelled, or, while it runs, why it is to be."""
    expires_at: datetime | None = None
    """When it fails as ``Expired`` unless it has started."""
    keep_until: datetime | None = None
    """Until when the finished job is kept; None for as long as the backend's retention says."""
    metadata: str | None = None
    """A JSON object."""
    progress: float | None = None
    """From 0 to 1, as its task has said."""
    message: str | None = None
    """What its task does, or did last, as it has said."""
    log: Sequence[str] = ()
    """Lines that its task has left, oldest first; only the last ``LOG_LINES`` are kept."""
    limits: Limits | None = None
    """What holds it back beside its time."""
    waits: Waits | None = None
    """What it waits for while it is blocked."""
    unique: UniqueKey | None = None
    """What no other job may have at the same time."""
    duplicate_of: UUID | None = None
    """The job that had its key, and for which it was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What a retry by hand changes of a job."""

    payload: str
    """Arguments as JSON text."""
    overrides: str | None = None
    """As in ``NewJob``: with the version of the arguments."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What became of the jobs that were to be cancelled; those in neither list were in no state for it."""

    done: list[UUID] = field(default_factory=list)
    """They are cancelled."""
    asked: list[UUID] = field(default_factory=list)
    """They run, and their task will be asked to stop."""
