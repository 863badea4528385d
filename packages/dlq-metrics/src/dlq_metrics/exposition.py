"""Figures in the words of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from dlq_metrics.definitions import BY_NAME, MOST_SERIES, OTHER, Metric
from dlq_metrics.figures import Entry
from dlq_metrics.fleet import Seen
from dlq_metrics.gauges import Sample, samples_of

__all__ = ["exposed"]


def exposed(accept: str, fleet: Sequence[Seen], figures: Iterable[Entry] = ()) -> tuple[bytes, str]:
    """All of it as text, in the format that the ``Accept`` of a client asks for; and that format's name."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once([*_families_of_runner(figures), *_families_of_fleet(fleet)]))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Once(Collector):
    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


# --- The runner ---


def _families_of_runner(figures: Iterable[Entry]) -> Iterator[Family]:
    families: dict[str, Family] = {}
    for name, labels, value in figures:
        metric = BY_NAME[name]
        family = families.setdefault(name, _family(metric))
        if isinstance(family, HistogramMetricFamily):
            counts, total, traces = value
            family.add_metric(labels, _buckets(metric, counts, traces), total)
        elif isinstance(family, CounterMetricFamily):
            family.add_metric(labels, value)
    yield from families.values()


def _buckets(
    metric: Metric, counts: Sequence[int], traces: Iterable[tuple[int, str, float]]
) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    examples = {at: Exemplar({"trace_id": trace}, value) for at, trace, value in traces}
    bounds = [*map(str, metric.buckets), "+Inf"]
    return [
        (bound, count, examples[at]) if at in examples else (bound, count)
        for at, (bound, count) in enumerate(zip(bounds, accumulate(counts), strict=True))
    ]


# --- The fleet ---


def _families_of_fleet(fleet: Sequence[Seen]) -> Iterator[Family]:
    families: dict[str, dict[tuple[str, ...], float]] = {}
    for name, labels, value in _samples(fleet):
        series = families.setdefault(name, {})
        labels = _bounded(BY_NAME[name], labels, series)
        series[labels] = _together(name, series[labels], value) if labels in series else value
    for name, series in families.items():
        family = _family(BY_NAME[name])
        for labels, value in series.items():
            family.add_metric(labels, value)  # type: ignore[attr-defined]
        yield family


def _samples(fleet: Sequence[Seen]) -> Iterator[Sample]:
    for seen in fleet:
        yield "dlq_store_up", (seen.alias,), seen.up
        if seen.snapshot is not None:
            yield from samples_of(seen.snapshot)


def _bounded(
    metric: Metric, labels: tuple[str, ...], series: dict[tuple[str, ...], float]
) -> tuple[str, ...]:
    if labels in series or len(series) < MOST_SERIES:
        return labels
    shared = ("queue", "task", "queues", "schedule")
    return tuple(
        OTHER if name in shared else value for name, value in zip(metric.labels, labels, strict=True)
    )


def _together(name: str, before: float, value: float) -> float:
    """What several series come to that are told as one: those of times and of whether are not added up."""
    is_sum = BY_NAME[name].kind == "counter" or not name.endswith(("_seconds", "_paused"))
    return before + value if is_sum else max(before, value)


def _family(metric: Metric) -> Family:
    kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    family: Family = kinds[metric.kind](metric.name, metric.help, labels=metric.labels)
    return family
