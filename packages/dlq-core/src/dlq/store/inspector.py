"""``Inspector``: what commands, the dashboard and metrics may ask of any store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dlq.job import JobRecord, RunnerInfo
from dlq.states import State

__all__ = ["Inspector", "JobFilter", "QueueCounts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """How many jobs of one queue are in each state; states without jobs are left out."""

    queue: str
    states: Mapping[State, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to list; None stands for all."""

    states: Collection[State] | None = None
    queues: Collection[str] | None = None
    tasks: Collection[str] | None = None


class Inspector(ABC):
    """Reads a store and never changes it."""

    @abstractmethod
    def counts(self) -> list[QueueCounts]:
        """The jobs of each queue by state, sorted by queue."""

    @abstractmethod
    def runners(self, *, now: datetime | None = None) -> list[RunnerInfo]:
        """The registered runners with their workers, sorted by id. Lost ones are among them until rescued."""

    @abstractmethod
    def jobs(self, chosen: JobFilter, *, limit: int, before: UUID | None = None) -> Sequence[JobRecord]:
        """Jobs by descending id, which is about newest first, without their history.

        ``before`` is the last id of the page before this one.
        """
