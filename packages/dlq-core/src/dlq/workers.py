"""The values that tell of runners and workers: who they are, and what they are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

__all__ = [
    "Cancellation",
    "Instruction",
    "Order",
    "RunnerInfo",
    "Sight",
    "WorkerInfo",
    "WorkerRef",
]


class Order(StrEnum):
    """What an operator tells a worker. The values are stored."""

    WORK = "work"
    """Claim jobs, as every worker does from its start."""
    QUIET = "quiet"
    """Claim nothing more; finish what runs, and stay."""
    STOP = "stop"
    """Claim nothing more, finish what runs, and end. Its seat in the runner stays empty."""
    PING = "ping"
    """Confirm once more what was told last; it changes nothing, and no worker is ever told it itself."""


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
    order: Order = Order.WORK
    """The last that it was told."""
    instructed: int = 0
    """How often it was told something."""
    heeded: int = 0
    """The number of the last instruction that it has confirmed."""


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


@dataclass(frozen=True, slots=True)
class Instruction:
    """An order for one worker that it has not confirmed yet."""

    worker: str
    order: Order
    number: int
    """Grows with every instruction of that worker."""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A running job whose task is to be asked to stop."""

    worker: str
    id: UUID
    token: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a runner sees when it looks at its store."""

    promoted: int = 0
    """How many scheduled jobs were due, and are ready now or wait for a slot."""
    admitted: int = 0
    """How many jobs have got the slot that they waited for, and are ready now."""
    expired: int = 0
    """How many jobs had waited for too long and failed."""
    ready: list[str] = field(default_factory=list)
    """The queues that have a ready job and are not paused, sorted."""
    paused: list[str] = field(default_factory=list)
    """The queues that are paused, sorted."""
    instructions: list[Instruction] = field(default_factory=list)
    """For the workers of this runner."""
    cancellations: list[Cancellation] = field(default_factory=list)
    """For the workers of this runner; repeated until the job has ended."""
