"""``Inspector``: what commands, the dashboard and metrics may ask of any store.

Whoever looks at a store must not slow it. What a person may ask for again and again is therefore bounded: a search
looks at so many jobs and says how far it came, and a count ends somewhere and says so.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from dlq.job import JobRecord
from dlq.states import State
from dlq.store.tallies import Tally, Total
from dlq.workers import RunnerInfo

__all__ = [
    "BOUND",
    "FailureGroup",
    "Failures",
    "Inspector",
    "JobCount",
    "JobFilter",
    "JobPage",
    "QueueCounts",
    "SlotCounts",
]

BOUND = 10_000
"""How many jobs a search or a count that is bounded looks at, unless it is told otherwise."""


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
    at_least: Collection[State] = frozenset()
    """The states of which there may be more jobs than were counted, none included."""


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
    """Which jobs to list; None stands for all. A job must fit every part."""

    states: Collection[State] | None = None
    queues: Collection[str] | None = None
    tasks: Collection[str] | None = None
    workers: Collection[str] | None = None
    """Who runs them, or ran the attempt that ended them."""
    exceptions: Collection[str] | None = None
    """Dotted paths of the exception with which the last attempt in their history ended."""
    since: datetime | None = None
    """They were enqueued then or later."""
    until: datetime | None = None
    """They were enqueued before then."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Keys that their metadata has, at whatever depth, with these values: text, or a number, ``true``, ``false``
    or ``null``."""
    text: str = ""
    """Their id begins with it, or it is in the path of their task or in their arguments as JSON; the case of ASCII
    letters does not matter."""

    @property
    def id_range(self) -> tuple[UUID, UUID] | None:
        """The first and the last id that begin with the text; None when none does."""
        digits = self.text.strip().replace("-", "").lower()
        if not 0 < len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
            return None
        return UUID(hex=digits.ljust(32, "0")), UUID(hex=digits.ljust(32, "f"))

    @property
    def needles(self) -> list[str]:
        """What of the text to look for in arguments, where text stands as JSON: as words, and as JSON itself."""
        words = json.dumps(self.text)[1:-1]
        return list(dict.fromkeys([words, words.replace('\\"', '"').replace("\\\\", "\\")]))

    @property
    def metadata_needles(self) -> list[list[str]]:
        """What of the metadata to look for, where it stands as compact JSON: of each list one at least."""
        return [_entries(key, value) for key, value in self.metadata.items()]


def _entries(key: str, value: str) -> list[str]:
    name = json.dumps(key)
    written = [f"{name}:{json.dumps(value)}"]
    try:
        bare = not isinstance(json.loads(value), str | list | dict)
    except (ValueError, RecursionError):
        bare = False
    return [*written, f"{name}:{value},", f"{name}:{value}}}"] if bare else written


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """What a bounded search has found."""

    jobs: Sequence[JobRecord]
    """By descending id, without their history and log."""
    reached: UUID | None = None
    """Where to go on: every job between here and where the search began was looked at. None when that was all."""


@dataclass(frozen=True, slots=True)
class JobCount:
    """How many jobs fit a filter."""

    number: int
    exact: bool = True
    """Whether every job was looked at; else there may be more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Failed jobs of one task whose last attempts ended with the same exception."""

    task: str
    exception: str
    """Dotted path of its class; empty where no attempt is known."""
    count: int
    latest: UUID
    """The one with the highest id."""
    last_at: datetime
    """When the last of them failed."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed jobs by task and exception."""

    groups: Sequence[FailureGroup]
    """Sorted by count, the largest first; then by task and exception."""
    exact: bool = True
    """Whether every failed job was looked at; else only the newest."""


class Inspector(ABC):
    """Reads a store and never changes it."""

    @abstractmethod
    def counts(
        self, queues: Collection[str] | None = None, *, limit: int | None = None, now: datetime | None = None
    ) -> list[QueueCounts]:
        """The jobs of each queue by state, sorted by queue: of these queues, or of all.

        Queues that are paused are among them also when they hold no job. With a limit a store that would have to
        count them one by one may end at so many of each state, or more; ``at_least`` then says of which.
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
    def search(
        self,
        chosen: JobFilter,
        *,
        limit: int,
        before: UUID | None = None,
        after: UUID | None = None,
        within: int = BOUND,
    ) -> JobPage:
        """Up to ``limit`` jobs as ``jobs`` lists them, after looking at about ``within`` at most.

        The search goes down from ``before``, or up from ``after``, which is for the page that comes before one; the
        jobs come by descending id in either case. A page may be short, or empty, and yet not be the last: see
        ``JobPage.reached``, from where the next search goes on.
        """

    @abstractmethod
    def count(self, chosen: JobFilter, *, within: int = BOUND) -> JobCount:
        """How many jobs fit, among the newest of about ``within`` that are looked at."""

    @abstractmethod
    def failures(self, *, within: int = BOUND) -> Failures:
        """Failed jobs by task and exception, of the newest ``within``."""

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
