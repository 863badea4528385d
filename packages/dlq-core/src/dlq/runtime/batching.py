"""How many jobs a worker claims at a time: what it can start within some milliseconds, at the pace it keeps."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["Pace"]

WINDOW = 0.02
"""Seconds of work that may wait in a worker: longer, and a job waits here while another worker idles."""
WIDEST = 0.1
"""Seconds that the window may grow to, where a round trip to the store takes long."""
MOST = 200
"""Claims in one exchange: more gain little, and make a long statement."""
WEIGHT = 0.1
"""How much the last job counts in the mean."""


class Pace:
    """A moving mean of how long jobs occupy a slot, and what follows from it."""

    def __init__(self, slots: int, *, prefetches: bool = True) -> None:
        """``slots`` is how many jobs run at a time; without ``prefetches`` no claim ever waits for one."""
        self._slots = slots
        self._prefetches = prefetches
        self._mean: float | None = None
        self._window = WINDOW

    def observe(self, seconds: Collection[float]) -> None:
        """Take note of how long some jobs took."""
        if not seconds:
            return
        mean = sum(seconds) / len(seconds)
        weight = 1 - (1 - WEIGHT) ** len(seconds)
        self._mean = mean if self._mean is None else self._mean + weight * (mean - self._mean)

    def observe_trip(self, seconds: float) -> None:
        """Take note of how long an exchange took: meanwhile the worker must not run out of jobs.

        Claims go out when half of the window is left.
        """
        window = min(WIDEST, max(WINDOW, 2 * seconds))
        self._window += WEIGHT * (window - self._window)

    @property
    def ahead(self) -> int:
        """How many claims may wait behind those that run. None until a job has been measured."""
        # Of many slots one becomes free more often than a job takes.
        if not self._prefetches or self._mean is None or self._mean >= WINDOW * self._slots:
            return 0
        return min(MOST, int(self._slots * self._window / max(self._mean, 1e-6)))

    def room(self, waiting: int, running: int) -> int:
        """How many more claims the worker should hold now."""
        return max(0, min(MOST, self._slots - running + self.ahead - waiting))
