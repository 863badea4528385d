"""What a MemoryStore counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dlq.job import NewJob
from dlq.store.tallies import TALLIES_KEPT, Tally, Total, minute_of

__all__ = ["MemoryTallies"]

type _Figures = Counter[str]


class MemoryTallies:
    """Counts by the minute, and since the beginning. All calls come under the lock of the store."""

    def __init__(self) -> None:
        """Nothing was counted yet."""
        self._minutes: dict[tuple[datetime, str, str], _Figures] = defaultdict(Counter)
        self._totals: dict[tuple[str, str], _Figures] = defaultdict(Counter)

    def add(self, job: NewJob, now: datetime, figures: Mapping[str, Any]) -> None:
        """Count something that has happened to a job."""
        if figures:
            self._minutes[minute_of(now), job.queue, job.task].update(figures)
            self._totals[job.queue, job.task].update(figures)

    def forget(self, now: datetime) -> None:
        """Minutes are kept for a day."""
        for key in [key for key in self._minutes if key[0] < now - TALLIES_KEPT]:
            del self._minutes[key]

    def by_minute(self) -> list[Tally]:
        """Sorted by minute, queue and task."""
        return [
            Tally(minute=minute, queue=queue, task=task, **self._minutes[minute, queue, task])
            for minute, queue, task in sorted(self._minutes)
        ]

    def totals(self) -> list[Total]:
        """Sorted by queue and task."""
        return [
            Total(queue=queue, task=task, **self._totals[queue, task]) for queue, task in sorted(self._totals)
        ]
