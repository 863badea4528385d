"""What a store has counted: how many jobs came, and what became of them, by queue and task.

Counts are written with what they count, in the same transaction or script, so they are exact: an outcome that is stale,
or that settles what is settled already, counts nothing, and neither does an enqueue of a job that is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from dlq.job import Counted, Outcome
from dlq.states import State

__all__ = ["ENDINGS", "FIGURES", "TALLIES_KEPT", "Tally", "Total", "figures_of", "minute_of"]

TALLIES_KEPT = timedelta(hours=24)
"""For how long counts are kept by the minute. Totals are kept for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What was counted of one task in one queue. A job counts each time that it ends, after a retry by hand again."""

    queue: str
    task: str
    enqueued: int = 0
    """Jobs that were stored."""
    duplicates: int = 0
    """Jobs that were rejected, because there was one like them."""
    succeeded: int = 0
    failed: int = 0
    """Those that expired are among them."""
    cancelled: int = 0
    retried: int = 0
    """Attempts that raised, and are followed by another."""
    interrupted: int = 0
    """Attempts whose worker was lost."""
    seconds: float = 0.0
    """How long attempts ran, added up; of those that were interrupted nobody knows."""

    @property
    def finished(self) -> int:
        """How often a job ended, in whatever way."""
        return self.succeeded + self.failed + self.cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally(Total):
    """The same, of one minute of the store's clock."""

    minute: datetime
    """When it began."""


FIGURES = (
    *("enqueued", "duplicates", "succeeded", "failed", "cancelled", "retried", "interrupted"),
    "seconds",
)
"""The fields of a total that add up."""

ENDINGS = MappingProxyType(
    {State.SUCCEEDED: "succeeded", State.FAILED: "failed", State.CANCELLED: "cancelled"}
)
"""For each finished state the figure that counts it."""


def figures_of(outcome: Outcome, state: State) -> Mapping[str, float]:
    """What an outcome adds that a store has accepted, and that has brought its job into this state."""
    figures: dict[str, float] = {}
    if state in ENDINGS:
        figures[ENDINGS[state]] = 1
    elif outcome.counted is Counted.ATTEMPT:
        figures["retried"] = 1
    if outcome.counted is Counted.INTERRUPTION:
        figures["interrupted"] = 1
    if outcome.seconds:
        figures["seconds"] = outcome.seconds
    return figures


def minute_of(moment: datetime) -> datetime:
    """When the minute of this moment began."""
    return moment.replace(second=0, microsecond=0)
