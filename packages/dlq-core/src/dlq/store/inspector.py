"""``Inspector``: what commands, the dashboard and metrics may ask of any store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dlq.job import JobRecord
from dlq.states import State
from dlq.store.tallies import Tally, Total
from dlq.workers import RunnerInfo

__all__ = ["Inspector", "JobFilter", "QueueCounts", "SlotCounts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """How many jobs of one queue are in each state; states without jobs are left out."""

    queue: str
    states: Mapping[State, int]
    latency: float | None = None
    """Seconds for which the ready job that is first in line by age has been due; None when none is ready."""
    paused: bool = False
    paused_until: datetime | None = None
    """None for a pause without an end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotCounts:
    """How the slots of one key are used."""

    key: str
    limit: int
    """How many there are."""
    held: int
    """How many jobs are ready or run with one."""
    waiting: int
    """How many jobs are blocked for want of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to list; None stands for all."""

    states: Collection[State] | None = None
    queues: Collection[str] | None = None
    tasks: Collection[str] | None = None
    workers: Collection[str] | None = None
    """Who runs them, or ran the attempt that ended them."""


class Inspector(ABC):
    """Reads a store and never changes it."""

    @abstractmethod
    def counts(
        self, queues: Collection[str] | None = None, *, now: datetime | None = None
    ) -> list[QueueCounts]:
        """The jobs of each queue by state, sorted by queue: of these queues, or of all.

        Queues that are paused are among them also when they hold no job.
        """

    @abstractmethod
    def runners(self, *, now: datetime | None = None) -> list[RunnerInfo]:
        """The registered runners with their workers, sorted by id. Lost ones are among them until rescued."""

    @abstractmethod
    def slots(self, limit: int, *, after: str = "") -> list[SlotCounts]:
        """Up to ``limit`` keys that come after this one and have jobs which hold a slot or wait for one, sorted.

        What each of the jobs waits for is in its record: ask ``jobs`` for those that are blocked.
        """

    @abstractmethod
    def jobs(self, chosen: JobFilter, *, limit: int, before: UUID | None = None) -> Sequence[JobRecord]:
        """Jobs by descending id, which is about newest first, without their history and log.

        ``before`` is the last id of the page before this one.
        """

    @abstractmethod
    def tallies(
        self,
        since: datetime,
        until: datetime | None = None,
        *,
        queues: Collection[str] | None = None,
        tasks: Collection[str] | None = None,
    ) -> list[Tally]:
        """What was counted in each minute that began at ``since`` or later, and before ``until``.

        Of these queues and tasks, or of all, sorted by minute, queue and task. Only the minutes of the last
        ``TALLIES_KEPT`` are known; nothing is said of a minute in which nothing happened.
        """

    @abstractmethod
    def totals(self) -> list[Total]:
        """What was counted since the store began, sorted by queue and task. No figure ever shrinks."""
