"""``RedisInspector``: reads the keys for commands, the dashboard and metrics."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from dlq.job import JobRecord
from dlq.states import State
from dlq.store import Inspector, JobFilter, QueueCounts
from dlq.workers import Order, RunnerInfo, WorkerInfo
from dlq_redis.clock import moment
from dlq_redis.data import due_since
from dlq_redis.replies import records_of
from dlq_redis.rows import row_of
from dlq_redis.store import LOOKED_AT, RedisStore
from dlq_redis.texts import pairs, text

__all__ = ["RedisInspector"]


class RedisInspector(Inspector):
    """Reads what a RedisStore writes."""

    def __init__(self, store: RedisStore) -> None:
        """Read the keys of ``store``."""
        self._store = store

    def counts(
        self, queues: Collection[str] | None = None, *, now: datetime | None = None
    ) -> list[QueueCounts]:
        raw_now, states, raw_paused, firsts = self._store.call("counts", now)
        at = moment(raw_now)
        counted = _by_queue(states)
        paused = {queue: _until(end) for queue, end in pairs(raw_paused).items() if _lasts(end, int(raw_now))}
        waited = _longest_waits(firsts, at)
        return [
            QueueCounts(
                queue=queue,
                states=counted.get(queue, {}),
                latency=waited.get(queue),
                paused=queue in paused,
                paused_until=paused.get(queue),
            )
            for queue in sorted(counted.keys() | paused.keys())
            if queues is None or queue in queues
        ]

    def runners(self, *, now: datetime | None = None) -> list[RunnerInfo]:
        raw_now, found = self._store.call("runners", now)
        runners = [
            _runner_of(text(name), int(beat), pairs(said), workers, raw_now)
            for name, beat, said, workers in found
        ]
        return sorted(runners, key=lambda runner: runner.id)

    def jobs(self, chosen: JobFilter, *, limit: int, before: UUID | None = None) -> Sequence[JobRecord]:
        found: list[JobRecord] = []
        below: bytes | None = b"" if before is None else before.bytes
        states = None if chosen.states is None else [int(state) for state in chosen.states]
        wanted = [*_wanted(states), *_wanted(chosen.queues), *_wanted(chosen.tasks), *_wanted(chosen.workers)]
        # Where few jobs fit, it takes several scripts to find them.
        while below is not None and len(found) < limit:
            below, records = self._store.call("jobs", None, below, limit - len(found), LOOKED_AT, *wanted)
            found += records_of(records)
        return found


def _wanted(values: Collection[object] | None) -> list[object]:
    return [-1] if values is None else [len(values), *values]


def _by_queue(states: Iterable[Sequence[bytes]]) -> dict[str, dict[State, int]]:
    counted: dict[str, dict[State, int]] = {}
    for state, flat in zip(State, states, strict=True):
        for queue, count in pairs(flat).items():
            counted.setdefault(queue, {})[state] = int(count)
    return counted


def _until(end: bytes) -> datetime | None:
    return moment(end) if end else None


def _lasts(end: bytes, now: int) -> bool:
    return not end or int(end) > now


def _longest_waits(firsts: Sequence[bytes], now: datetime) -> dict[str, float]:
    """For how long the first job of each priority has been due, of all priorities the longest.

    To look at all ready jobs would cost more the longer the queues are.
    """
    waits: dict[str, float] = {}
    values = iter(firsts)
    for queue, raw, data in zip(values, values, values, strict=True):
        waited = max(0.0, (now - moment(due_since(row_of(raw).enqueued, data))).total_seconds())
        waits[text(queue)] = max(waited, waits.get(text(queue), 0.0))
    return waits


def _runner_of(
    name: str, beat: int, said: Mapping[str, bytes], workers: Sequence[Any], now: bytes
) -> RunnerInfo:
    values = iter(workers)
    crew = [_worker_of(text(id), name, pairs(flat)) for id, flat in zip(values, values, strict=True)]
    age: timedelta = moment(now) - moment(said["beat_at"])
    return RunnerInfo(
        id=name,
        host=text(said["host"]),
        pid=int(said["pid"]),
        beat=beat,
        beat_age=max(0.0, age.total_seconds()),
        workers=sorted(crew, key=lambda worker: worker.id),
    )


def _worker_of(id: str, runner: str, said: Mapping[str, bytes]) -> WorkerInfo:
    return WorkerInfo(
        id=id,
        runner=runner,
        pid=int(said["pid"]),
        queues=text(said["queues"]),
        slots=int(said["slots"]),
        kind=text(said["kind"]),
        incarnation=int(said["incarnation"]),
        order=Order(text(said["order"])),
        instructed=int(said["instructed"]),
        heeded=int(said["heeded"]),
    )
