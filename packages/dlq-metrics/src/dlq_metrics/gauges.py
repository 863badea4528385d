"""What a store knows at a moment, read through the interfaces of core: the same from any process of any machine."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dlq.backend import queue_backend
from dlq.errors import ConfigError
from dlq.states import State
from dlq.store import QueueCounts, Total
from dlq.store.schedules import ScheduleRecord
from dlq.store.tallies import ENDINGS
from dlq.workers import RunnerInfo
from dlq_metrics.fires import MOST_FIRES, Fires, Successes

__all__ = ["Sample", "Snapshot", "read", "samples_of"]

MOST_SCHEDULES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One backend at a moment."""

    alias: str
    alive_threshold: float
    queues: Sequence[QueueCounts]
    totals: Sequence[Total]
    runners: Sequence[RunnerInfo]
    schedules: Sequence[ScheduleRecord] = ()
    fires: Fires = field(default_factory=Fires)
    skew: float | None = None
    """Seconds by which the store's clock is ahead of ours; None where that cannot be asked for."""
    seconds: float = 0.0
    """How long it took to read this."""

    def is_live(self, runner: RunnerInfo) -> bool:
        """Whether it has beaten lately."""
        return runner.beat_age <= self.alive_threshold


def read(alias: str) -> Snapshot:
    """Ask the store of this backend.

    Raises StoreError.
    """
    began = time.monotonic()
    backend = queue_backend(alias)
    schedules, skew = _schedules(alias)
    return Snapshot(
        alias=alias,
        alive_threshold=backend.config.alive_threshold,
        queues=backend.inspector.counts(),
        totals=backend.inspector.totals(),
        runners=backend.inspector.runners(),
        schedules=schedules,
        fires=_fires(alias, schedules),
        skew=skew,
        seconds=time.monotonic() - began,
    )


def _schedules(alias: str) -> tuple[list[ScheduleRecord], float | None]:
    try:
        schedules = queue_backend(alias).schedules
    except ConfigError:
        return [], None  # Its package keeps none.
    before = datetime.now(UTC)
    now = schedules.clock()
    after = datetime.now(UTC)
    return schedules.listed(MOST_SCHEDULES), (now - (before + (after - before) / 2)).total_seconds()


_successes: dict[str, Successes] = {}
"""By backend."""


def _fires(alias: str, schedules: Sequence[ScheduleRecord]) -> Fires:
    if not schedules:
        return Fires()
    backend, known = queue_backend(alias), _successes.setdefault(alias, Successes())
    keys = {each.key for each in schedules}
    return known.fires(backend.schedules.history(MOST_FIRES), keys, backend.store.get)


type Sample = tuple[str, tuple[str, ...], float]
"""The name of a metric, the values of its labels, and its value."""


def samples_of(snapshot: Snapshot) -> Iterator[Sample]:
    """The snapshot as values of metrics."""
    alias = snapshot.alias
    yield "dlq_store_read_seconds", (alias,), snapshot.seconds
    if snapshot.skew is not None:
        yield "dlq_clock_skew_seconds", (alias,), snapshot.skew
    for total in snapshot.totals:
        yield from _of_total(alias, total)
    for queue in snapshot.queues:
        yield from _of_queue(alias, queue)
    yield from _of_runners(snapshot)
    yield from _of_schedules(alias, snapshot.schedules)
    for (key, outcome), number in snapshot.fires.outcomes.items():
        yield "dlq_schedule_recent_fires", (alias, key, outcome.value), number
    for key, at in snapshot.fires.succeeded.items():
        yield "dlq_schedule_last_success_timestamp_seconds", (alias, key), at.timestamp()


def _of_total(alias: str, total: Total) -> Iterator[Sample]:
    job = (alias, total.queue, total.task)
    yield "dlq_jobs_enqueued", job, total.enqueued
    yield "dlq_jobs_duplicates", job, total.duplicates
    yield "dlq_jobs_retried", job, total.retried
    yield "dlq_jobs_interrupted", job, total.interrupted
    yield "dlq_jobs_busy_seconds", job, total.seconds
    for word in ENDINGS.values():
        yield "dlq_jobs_finished", (*job, word), getattr(total, word)


def _of_queue(alias: str, queue: QueueCounts) -> Iterator[Sample]:
    for state in State:
        yield "dlq_jobs", (alias, queue.queue, state.label), queue.states.get(state, 0)
    yield "dlq_queue_latency_seconds", (alias, queue.queue), queue.latency or 0.0
    yield "dlq_queue_paused", (alias, queue.queue), queue.paused


def _of_runners(snapshot: Snapshot) -> Iterator[Sample]:
    alias, live = snapshot.alias, [runner for runner in snapshot.runners if snapshot.is_live(runner)]
    yield "dlq_runners", (alias, "live"), len(live)
    yield "dlq_runners", (alias, "stale"), len(snapshot.runners) - len(live)
    if snapshot.runners:
        youngest = min(runner.beat_age for runner in snapshot.runners)
        yield "dlq_runner_beat_age_seconds", (alias,), youngest
    workers, slots = Counter[tuple[str, str]](), defaultdict[tuple[str, str], int](int)
    for worker in (worker for runner in live for worker in runner.workers):
        workers[worker.queues, worker.kind] += 1
        slots[worker.queues, worker.kind] += worker.slots
    for key, number in workers.items():
        yield "dlq_workers", (alias, *key), number
        yield "dlq_worker_slots", (alias, *key), slots[key]


def _of_schedules(alias: str, schedules: Sequence[ScheduleRecord]) -> Iterator[Sample]:
    states = Counter(
        "orphaned" if each.orphaned else "enabled" if each.enabled else "disabled" for each in schedules
    )
    for state, number in states.items():
        yield "dlq_schedules", (alias, state), number
    for each in schedules:
        yield "dlq_schedule_fires", (alias, each.key), each.fires
        if each.last_due_at is not None:
            yield "dlq_schedule_last_due_timestamp_seconds", (alias, each.key), each.last_due_at.timestamp()
        if each.due_at is not None:
            yield "dlq_schedule_next_due_timestamp_seconds", (alias, each.key), each.due_at.timestamp()
