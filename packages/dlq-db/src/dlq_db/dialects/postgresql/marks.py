"""Marks: where to begin in an index whose head is full of entries of jobs that have moved on.

While somebody holds a transaction open, nothing that was deleted since can be removed, and a search from the head of
an index walks over all of it. So each process remembers how far it has seen nothing ready: for each priority of a
queue the ``seq`` above which it goes on. Marks are used only once a search from the head has been slow, which the
statement itself tells by how many entries it has read.

A job can fall below a mark: because it keeps its place when it is handed back, rescued or unparked, or because the
transaction that enqueued it committed late. Searches from the head find it. They go on, as often as they take no more
than a twentieth of the time, or once in ``LONGEST_REST`` seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from django.tasks.base import TASK_MAX_PRIORITY, TASK_MIN_PRIORITY

__all__ = ["LAG", "LONGEST_REST", "MANY", "REST", "Marks", "Past", "Place", "Rest", "Searches"]

MANY = 2000
"""Entries that a search may read and still be a quick one: half a millisecond."""
LAG = 0.5
"""Seconds by which marks stay behind: who commits within them falls below none."""
REST = 20
"""For so many times as long as the last search from the head took, the next has to wait."""
LONGEST_REST = 15.0
"""Seconds after which a search begins at the head again, however long that takes."""


class Place(NamedTuple):
    """Where a ready job stands."""

    queue: str
    priority: int
    seq: int


class Marks:
    """How far the priorities of one queue have been seen, from the highest down."""

    def __init__(self) -> None:
        """Nothing has been seen yet."""
        self._seqs = [0] * (TASK_MAX_PRIORITY - TASK_MIN_PRIORITY + 1)

    def __str__(self) -> str:
        """As PostgreSQL writes an array."""
        return "{" + ",".join(map(str, self._seqs)) + "}"

    def pass_all(self, seen: int) -> None:
        """Nothing that is ready is left up to ``seen``."""
        self._seqs = [max(seq, seen) for seq in self._seqs]

    def pass_up_to(self, priority: int, seq: int, seen: int, *, from_head: bool) -> None:
        """Nothing that is ready is left above this priority, nor in it up to this ``seq``.

        Of what a search from the head has found below the mark, more may be left: then the mark goes back.
        """
        at = min(max(TASK_MAX_PRIORITY - priority, 0), len(self._seqs) - 1)
        higher = [max(old, seen) for old in self._seqs[:at]]
        own = min(seq, seen) if from_head else max(self._seqs[at], min(seq, seen))
        self._seqs = [*higher, own, *self._seqs[at + 1 :]]


class Past[T]:
    """What a value was ``LAG`` seconds before a search, or a little earlier."""

    def __init__(self, first: T) -> None:
        """``first`` is what it was before anybody looked."""
        self._samples = [(float("-inf"), first)]

    def note(self, value: T, at: float) -> None:
        """It is this now."""
        if at - self._samples[-1][0] >= LAG / 5:
            self._samples.append((at, value))

    def before(self, began: float) -> T:
        """What it was then; searches begin one after the other."""
        while len(self._samples) > 1 and began - self._samples[1][0] >= LAG:
            del self._samples[0]
        return self._samples[0][1]


class Rest:
    """When a kind of search may begin at the head again."""

    def __init__(self) -> None:
        """At once."""
        self._until: float | None = None

    def is_over(self, at: float) -> bool:
        """Whether the next search may begin at the head."""
        return self._until is None or at >= self._until

    def take(self, seconds: float, at: float) -> None:
        """A search from the head was slow, and took so long."""
        self._until = at + min(REST * seconds, LONGEST_REST)

    def end(self) -> None:
        """A search from the head was quick."""
        self._until = None


@dataclass(frozen=True, slots=True)
class Searches:
    """What is the same for all searches of a process."""

    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    many: int = MANY
    """A search that reads more entries is a slow one."""
