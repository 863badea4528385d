"""``Figures``: counters and histograms that add up, within a process and across several."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dlq_metrics.definitions import BY_NAME, MOST_SERIES, OTHER, Metric

__all__ = ["Entry", "Figures", "Histogram"]

type Key = tuple[str, ...]
"""The values of a metric's labels."""

type Entry = list[Any]
"""A name, label values, and a number or what ``Histogram.packed`` returns: fit for JSON."""


@dataclass(slots=True)
class Histogram:
    """How often values fell into each bucket, and their sum."""

    counts: list[int]
    sum: float = 0.0
    traces: dict[int, tuple[str, float]] = field(default_factory=dict)
    """For some buckets the trace of an example, and its value."""

    def packed(self) -> list[Any]:
        """As JSON has it."""
        return [self.counts, self.sum, [[at, *trace] for at, trace in self.traces.items()]]

    def add(self, packed: list[Any]) -> None:
        """Add another's."""
        counts, total, traces = packed
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, counts, strict=True)]
        self.sum += total
        self.traces |= {at: (trace, value) for at, trace, value in traces}


class Figures:
    """Counters and histograms by metric and labels. May be used from several threads."""

    def __init__(self) -> None:
        """Nothing was counted yet."""
        self._lock = threading.Lock()
        self._counters: dict[str, dict[Key, float]] = {}
        self._histograms: dict[str, dict[Key, Histogram]] = {}

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._count(name, labels, by)

    def observe(self, name: str, value: float, *labels: str, trace: str | None = None) -> None:
        """Add a value to a histogram, if its trace is known as an example."""
        with self._lock:
            histogram = self._histogram(name, labels)
            at = bisect_left(BY_NAME[name].buckets, value)
            histogram.counts[at] += 1
            histogram.sum += value
            if trace is not None:
                histogram.traces[at] = (trace, value)

    def take(self) -> list[Entry]:
        """All that was counted since the last time."""
        with self._lock:
            entries = list(self._entries())
            self._counters, self._histograms = {}, {}
            return entries

    def entries(self) -> list[Entry]:
        """All that was counted."""
        with self._lock:
            return list(self._entries())

    def merge(self, entries: Iterable[Entry]) -> None:
        """Add what was counted elsewhere."""
        with self._lock:
            for name, labels, value in entries:
                if BY_NAME[name].kind == "counter":
                    self._count(name, tuple(labels), value)
                else:
                    self._histogram(name, tuple(labels)).add(value)

    def _count(self, name: str, labels: Key, by: float) -> None:
        series = self._counters.setdefault(name, {})
        labels = _bounded(BY_NAME[name], labels, series)
        series[labels] = series.get(labels, 0) + by

    def _histogram(self, name: str, labels: Key) -> Histogram:
        metric = BY_NAME[name]
        series = self._histograms.setdefault(name, {})
        labels = _bounded(metric, labels, series)
        if labels not in series:
            series[labels] = Histogram([0] * (len(metric.buckets) + 1))
        return series[labels]

    def _entries(self) -> Iterator[Entry]:
        for name, counters in self._counters.items():
            yield from ([name, list(labels), value] for labels, value in counters.items())
        for name, histograms in self._histograms.items():
            yield from ([name, list(labels), value.packed()] for labels, value in histograms.items())


def _bounded(metric: Metric, labels: Key, series: dict[Key, Any]) -> Key:
    """The labels, or, when there are too many already, those of all others together."""
    if len(series) < MOST_SERIES or labels in series:
        return labels
    kept = ("backend", "outcome", "verb")
    return tuple(value if name in kept else OTHER for name, value in zip(metric.labels, labels, strict=True))
