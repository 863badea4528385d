"""Every metric that there is; ``docs/reference/metrics.md`` lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["BY_NAME", "FLEET", "MOST_SERIES", "OTHER", "RUNNER", "Metric"]

MOST_SERIES = 2_000
"""Combinations of labels that one metric has at most; those that come later count as ``OTHER``."""

OTHER = "other"
"""The queue and the task of what is one too many."""

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    """Without the ``_total`` of counters."""
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...]
    buckets: Sequence[float] = ()
    """The upper bounds of a histogram; there is one more, without a bound."""


JOB = ("backend", "queue", "task")

RUNNER = (
    Metric("dlq_runner_claims", "counter", "Jobs that workers of this runner took.", JOB),
    Metric(
        "dlq_runner_outcomes",
        "counter",
        "Attempts that were settled: succeeded, failed, cancelled, retried or interrupted.",
        (*JOB, "outcome"),
    ),
    Metric("dlq_runner_rescues", "counter", "Jobs taken back from lost workers.", ("backend", "reason")),
    Metric("dlq_runner_stale_settles", "counter", "Outcomes that came too late.", ("backend",)),
    Metric(
        "dlq_runner_wait_seconds",
        "histogram",
        "From when a job could have run to its first claim.",
        JOB,
        SECONDS,
    ),
    Metric("dlq_runner_run_seconds", "histogram", "How long attempts ran.", JOB, SECONDS),
    Metric("dlq_runner_batch_jobs", "histogram", "Jobs taken with one exchange.", ("backend",), SIZES),
    Metric(
        "dlq_runner_store_seconds",
        "histogram",
        "How long calls of the store took.",
        ("backend", "verb"),
        SECONDS,
    ),
    Metric("dlq_runner_store_errors", "counter", "Calls of the store that failed.", ("backend", "verb")),
)
"""What one runner has seen, all its processes together."""

FLEET = (
    Metric("dlq_store_up", "gauge", "Whether the store has answered lately: 1 or 0.", ("backend",)),
    Metric("dlq_store_read_seconds", "gauge", "How long the store took for these figures.", ("backend",)),
    Metric("dlq_jobs_enqueued", "counter", "Jobs that were stored.", JOB),
    Metric("dlq_jobs_duplicates", "counter", "Jobs that were rejected for one like them.", JOB),
    Metric("dlq_jobs_finished", "counter", "Jobs that ended.", (*JOB, "outcome")),
    Metric("dlq_jobs_retried", "counter", "Attempts that raised and are followed by another.", JOB),
    Metric("dlq_jobs_interrupted", "counter", "Attempts whose worker was lost.", JOB),
    Metric("dlq_jobs_busy_seconds", "counter", "How long attempts ran, added up.", JOB),
    Metric("dlq_jobs", "gauge", "Jobs in each state.", ("backend", "queue", "state")),
    Metric(
        "dlq_queue_latency_seconds", "gauge", "How long the first ready job has waited.", ("backend", "queue")
    ),
    Metric("dlq_queue_paused", "gauge", "Whether the queue is paused: 1 or 0.", ("backend", "queue")),
    Metric("dlq_runners", "gauge", "Registered runners, live or stale.", ("backend", "state")),
    Metric("dlq_runner_beat_age_seconds", "gauge", "The youngest beat of a runner.", ("backend",)),
    Metric("dlq_workers", "gauge", "Workers of live runners.", ("backend", "queues", "kind")),
    Metric("dlq_worker_slots", "gauge", "Jobs that they can run at a time.", ("backend", "queues", "kind")),
    Metric("dlq_schedules", "gauge", "Schedules: enabled, disabled or orphaned.", ("backend", "state")),
    Metric(
        "dlq_schedule_fires",
        "counter",
        "Due times that enqueued a job, since the rule was changed.",
        ("backend", "schedule"),
    ),
    Metric(
        "dlq_schedule_last_due_timestamp_seconds",
        "gauge",
        "The last due time that enqueued a job.",
        ("backend", "schedule"),
    ),
    Metric(
        "dlq_schedule_next_due_timestamp_seconds",
        "gauge",
        "The next due time.",
        ("backend", "schedule"),
    ),
    Metric(
        "dlq_schedule_recent_fires",
        "gauge",
        "Of the latest due times of the backend, those with this outcome.",
        ("backend", "schedule", "outcome"),
    ),
    Metric(
        "dlq_schedule_last_success_timestamp_seconds",
        "gauge",
        "When a job of the schedule last succeeded.",
        ("backend", "schedule"),
    ),
    Metric("dlq_clock_skew_seconds", "gauge", "The store's clock less that of this machine.", ("backend",)),
)
"""What a store knows; any process may ask for it."""

BY_NAME = MappingProxyType({metric.name: metric for metric in (*RUNNER, *FLEET)})
