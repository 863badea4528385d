"""Charts of the last hour, from what the store has counted by the minute."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from dlq.store import Inspector, Tally
from dlq.store.tallies import minute_of

__all__ = ["Chart", "charts_of"]

MINUTES = 60
HEIGHT = 20.0


@dataclass(frozen=True)
class Bar:
    """One minute, in the coordinates of the chart."""

    x: int
    y: str
    height: str


@dataclass(frozen=True)
class Chart:
    """One figure over an hour, the oldest minute first."""

    name: str | Promise
    kind: str
    """The state that it looks like."""
    values: Sequence[int]

    @property
    def total(self) -> int:
        """How many in the hour."""
        return sum(self.values)

    @property
    def most(self) -> int:
        """How many in the busiest minute."""
        return max(self.values)

    @property
    def bars(self) -> list[Bar]:
        """The minutes in which something happened."""
        heights = [(x, HEIGHT * value / self.most) for x, value in enumerate(self.values) if value]
        return [Bar(x, f"{HEIGHT - height:.2f}", f"{height:.2f}") for x, height in heights]


FIGURES = [
    ("enqueued", _("enqueued"), "ready"),
    ("succeeded", _("succeeded"), "succeeded"),
    ("failed", _("failed"), "failed"),
]


def charts_of(inspector: Inspector, queues: Collection[str] | None = None) -> list[Chart]:
    """What came and what became of it in the last hour, in these queues or in all."""
    first = minute_of(datetime.now(UTC)) - timedelta(minutes=MINUTES - 1)
    tallies = inspector.tallies(first, queues=queues)
    return [Chart(name, kind, _by_minute(tallies, figure, first)) for figure, name, kind in FIGURES]


def _by_minute(tallies: Sequence[Tally], figure: str, first: datetime) -> list[int]:
    values = [0] * MINUTES
    for tally in tallies:
        # The store's clock may be ahead of ours.
        at = min(MINUTES - 1, int((tally.minute - first).total_seconds() // 60))
        values[at] += getattr(tally, figure)
    return values
