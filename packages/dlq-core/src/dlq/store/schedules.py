"""``Schedules``: which jobs a store is to be given again and again, and what was fired.

A store carries schedules and guards them; it never computes a due time. Whoever schedules reads what is due, works
out what is to happen, and asks for it in an ``Advance``: the schedule moves on and the jobs are stored together or not
at all, and only if nobody has moved it since it was read. So any number of schedulers may try, and none must lead.

Batches, atomicity, ``now`` and errors are as in ``dlq.store.base``. ``dlq.testing.contract`` says in tests what the
docstrings here say in words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from dlq.job import NewJob
from dlq.limits import Limits

__all__ = [
    "Advance",
    "Advanced",
    "Due",
    "Fire",
    "FireRecord",
    "Fired",
    "Proposal",
    "Schedule",
    "ScheduleRecord",
    "Schedules",
]


class Fired(StrEnum):
    """What became of a due time. The values are stored."""

    ENQUEUED = "enqueued"
    """A job was enqueued when it was due."""
    MISSED = "missed"
    """Nobody was there when it was due, and it was not made up for. One record may stand for several due times."""
    OVERLAPPED = "overlapped"
    """The job of an earlier due time had not ended."""
    BY_HAND = "by hand"
    """No due time: somebody asked for a job now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What is to be enqueued, and a rule that says when, which is text to every store."""

    key: str
    """Its name within its backend."""
    rule: str
    """Text of whoever computes due times. A schedule that gets another rule begins anew."""
    task: str
    queue: str
    payload: str
    priority: int = 0
    max_attempts: int = 1
    max_interruptions: int = 2
    overrides: str | None = None
    expires_after: float | None = None
    metadata: str | None = None
    limits: Limits | None = None
    words: str = ""
    """The rule as people read it."""
    description: str = ""
    static: bool = False
    """Whether it stands in the code or the settings of a deployment, which alone may change or remove it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A schedule on its way into the store."""

    schedule: Schedule
    due_at: datetime | None
    """When it is due first, if it is new, changed or was orphaned; None is never."""
    look_at: datetime | None
    """When a scheduler is to look at it: then, or somewhat later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRecord:
    """A schedule as the store has it."""

    schedule: Schedule
    revision: int
    """Changes with everything that happens to the schedule, but for a declaration."""
    due_at: datetime | None
    """The next due time; None when there is none, or while it is disabled."""
    look_at: datetime | None
    enabled: bool
    orphaned: bool
    """Whether nobody declares it any more, though it is static. It stays, and does not fire."""
    declared_at: datetime
    """When somebody last said that it is to exist."""
    fires: int = 0
    """How many due times have enqueued a job since the rule was changed."""
    last_due_at: datetime | None = None
    """The last due time that has enqueued a job."""
    last_job: UUID | None = None
    """The last job, of whatever due time or by hand."""

    @property
    def key(self) -> str:
        """Its name within its backend."""
        return self.schedule.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """What is to become of a due time."""

    due_at: datetime
    outcome: Fired
    job: NewJob | None = None
    """For those that enqueue one."""
    reason: str = ""
    """For people, where no job is enqueued."""

    @property
    def job_id(self) -> UUID | None:
        """The id of its job."""
        return None if self.job is None else self.job.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """What is to happen to a schedule, if it is still as it was read."""

    key: str
    revision: int
    """As it was read."""
    due_at: datetime | None
    """The due time that comes next."""
    look_at: datetime | None
    fires: Sequence[Fire] = ()

    @property
    def enqueued(self) -> int:
        """How many due times enqueue a job."""
        return len(self._due_times())

    @property
    def last_due_at(self) -> datetime | None:
        """The last due time that enqueues a job."""
        return next(reversed(self._due_times()), None)

    @property
    def last_job(self) -> UUID | None:
        """The last job, of whatever due time or by hand."""
        return next((fire.job_id for fire in reversed(self.fires) if fire.job is not None), None)

    def _due_times(self) -> list[datetime]:
        return [fire.due_at for fire in self.fires if fire.outcome is Fired.ENQUEUED]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """What has come of the advances of one call."""

    at: datetime
    """When, by the store's clock."""
    keys: list[str] = field(default_factory=list)
    """The schedules that have moved on; the others had been changed by somebody else."""
    jobs: list[UUID] = field(default_factory=list)
    """The jobs that are enqueued: those of advances that have happened and of due times never fired before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What a look at the schedules shows."""

    now: datetime
    """The time of the look, by the store's clock."""
    schedules: list[ScheduleRecord] = field(default_factory=list)
    """Those that are to be looked at, the longest overdue first."""
    next_at: datetime | None = None
    """When the first of the others is to be looked at; only told when nothing was due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FireRecord:
    """What became of a due time."""

    key: str
    due_at: datetime
    at: datetime
    """When that was decided."""
    outcome: Fired
    job: UUID | None = None
    reason: str = ""


class Schedules(ABC):
    """The schedules of one backend. Like its store: cheap to make, with a connection for each process or thread."""

    alias: str
    """The backend's alias in ``TASKS``."""

    @abstractmethod
    def clock(self) -> datetime:
        """The time, by the store's clock."""

    @abstractmethod
    def put(self, proposals: Sequence[Proposal], *, now: datetime | None = None) -> list[str]:
        """Store schedules, or change those that have the same keys, and declare them; returns the keys refused.

        A dynamic schedule never takes the place of a static one that is not orphaned, nor a static one that of a
        dynamic one. One that has another rule than before begins anew, with the times proposed and no fires, and
        so does one that was orphaned. Another keeps its times, its count and its last job, and one that was disabled
        stays so. Putting what is there changes nothing but ``declared_at``.

        Raises StoreRefused for data that the store cannot hold; nothing is stored then.
        """

    @abstractmethod
    def declare(self, keys: Collection[str], *, now: datetime | None = None) -> list[str]:
        """Say of static schedules that they are still to exist; returns the keys that exist and are not orphaned."""

    @abstractmethod
    def orphan(self, seen: Collection[tuple[str, datetime]]) -> list[str]:
        """Stop static schedules, given with the ``declared_at`` that was last seen of them; returns those stopped.

        One that has been declared since goes on.
        """

    @abstractmethod
    def get(self, keys: Collection[str]) -> list[ScheduleRecord]:
        """Those of the schedules that exist, in any order."""

    @abstractmethod
    def listed(self, limit: int, *, after: str = "", static: bool | None = None) -> list[ScheduleRecord]:
        """Schedules by key: those that are static, those that are not, or all.

        ``after`` is the last key of the page before this one.
        """

    @abstractmethod
    def due(
        self, limit: int, *, after: tuple[datetime, str] | None = None, now: datetime | None = None
    ) -> Due:
        """Up to ``limit`` schedules whose ``look_at`` has come, by that and key.

        ``after`` is where the page before this one ended. The cost does not grow with the number of the others.
        """

    @abstractmethod
    def advance(self, advances: Sequence[Advance], *, now: datetime | None = None) -> Advanced:
        """Move schedules on and enqueue the jobs of their fires: of each schedule all or nothing.

        A schedule whose revision is another than the one given is left as it is, with all of its fires. A due time
        that the schedule, or another of its key, has fired before enqueues nothing and keeps its record. Jobs are
        stored as ``Store.enqueue`` stores them. A key may come once.

        Raises StoreRefused for data that the store cannot hold; nothing has happened then.
        """

    @abstractmethod
    def enable(self, key: str, due_at: datetime | None, look_at: datetime | None) -> bool:
        """Have a disabled schedule fire again, from this due time on; returns whether it was disabled."""

    @abstractmethod
    def disable(self, keys: Collection[str]) -> list[str]:
        """Have schedules fire no more until they are enabled; returns those that were not disabled already."""

    @abstractmethod
    def remove(self, keys: Collection[str]) -> list[str]:
        """Forget schedules that are dynamic or orphaned; returns which. Their fires stay until they are pruned."""

    @abstractmethod
    def history(
        self, limit: int, *, key: str | None = None, before: datetime | None = None
    ) -> list[FireRecord]:
        """Fires of one schedule or of all, the latest due time first; ``before`` is where the last page ended."""

    @abstractmethod
    def prune(
        self, older_than: float, limit: int, *, key: str | None = None, now: datetime | None = None
    ) -> int:
        """Delete up to ``limit`` records of fires decided ``older_than`` seconds ago or earlier; returns how many."""
