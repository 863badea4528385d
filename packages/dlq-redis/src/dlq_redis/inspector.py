"""``RedisInspector``: reads the keys for commands, the dashboard and metrics."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import batched
from typing import Any
from uuid import UUID

from dlq.job import JobRecord
from dlq.states import State
from dlq.store import (
    BOUND,
    FailureGroup,
    Failures,
    Inspector,
    JobCount,
    JobFilter,
    JobPage,
    QueueCounts,
    SlotCounts,
    Tally,
    Total,
)
from dlq.workers import Order, RunnerInfo, WorkerInfo
from dlq_redis.clock import moment
from dlq_redis.data import due_since
from dlq_redis.filters import packed_filter
from dlq_redis.limits import semaphore_of
from dlq_redis.replies import records_of
from dlq_redis.rows import row_of
from dlq_redis.store import LOOKED_AT, RedisStore
from dlq_redis.tallies import figures_of, minute_at, minute_from
from dlq_redis.texts import pairs, text

__all__ = ["RedisInspector"]


MINUTES_AT_ONCE = 60
"""Minutes whose tallies one script reads: a server does nothing else meanwhile."""


class RedisInspector(Inspector):
    """Reads what a RedisStore writes."""

    def __init__(self, store: RedisStore) -> None:
        """Read the keys of ``store``."""
        self._store = store

    def counts(
        self, queues: Collection[str] | None = None, *, limit: int | None = None, now: datetime | None = None
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

    def slots(self, limit: int, *, after: str = "") -> list[SlotCounts]:
        known = iter(self._store.call("semaphores"))
        named = [(*semaphore_of(raw), mark) for mark, raw in zip(known, known, strict=True)]
        found = sorted(each for each in named if each[0] > after)
        counts: list[SlotCounts] = []
        # Some may turn out to have been given up meanwhile.
        for batch in batched(found, limit):
            used = iter(self._store.call("slots", None, *(mark for _, _, mark in batch)))
            for (key, slots, _), held, waiting in zip(batch, used, used, strict=True):
                if held or waiting:
                    counts.append(SlotCounts(key=key, limit=slots, held=held, waiting=waiting))
            if len(counts) >= limit:
                break
        return counts[:limit]

    def jobs(self, chosen: JobFilter, *, limit: int, before: UUID | None = None) -> Sequence[JobRecord]:
        found, wanted = list[JobRecord](), packed_filter(chosen)
        below: bytes | None = _bytes(before)
        # Where few jobs fit, it takes several scripts to find them.
        while below is not None and len(found) < limit:
            below, _, records = self._store.call(
                "jobs", None, below, b"", limit - len(found), LOOKED_AT, *wanted
            )
            found += records_of(records)
        return found

    def search(
        self,
        chosen: JobFilter,
        *,
        limit: int,
        before: UUID | None = None,
        after: UUID | None = None,
        within: int = BOUND,
    ) -> JobPage:
        wanted, found, left = packed_filter(chosen), list[JobRecord](), within
        below, above = _bytes(before), _bytes(after)
        reached: bytes | None = b""
        while reached is not None and left > 0 and len(found) < limit:
            reached, looked_at, records = self._store.call(
                "jobs", None, below, above, limit - len(found), min(left, SEARCHED), *wanted
            )
            found, left = [*found, *records_of(records)], left - looked_at
            below, above = (reached or b"", above) if after is None else (below, reached or b"")
        return JobPage(
            jobs=found if after is None else found[::-1], reached=UUID(bytes=reached) if reached else None
        )

    def count(self, chosen: JobFilter, *, within: int = BOUND) -> JobCount:
        wanted, number, left = packed_filter(chosen), 0, within
        below: bytes | None = b""
        while below is not None and left > 0:
            below, looked_at, fitting = self._store.call("count", None, below, min(left, SEARCHED), *wanted)
            number, left = number + fitting, left - looked_at
        return JobCount(number, exact=below is None)

    def failures(self, *, within: int = BOUND) -> Failures:
        groups: dict[tuple[str, str], FailureGroup] = {}
        below: bytes | None = b""
        left = within
        while below is not None and left > 0:
            below, looked_at, found = self._store.call("failures", None, below, min(left, SEARCHED))
            left -= looked_at
            for group in map(_group_of, found):
                key = (group.task, group.exception)
                groups[key] = _joined(groups[key], group) if key in groups else group
        listed = sorted(groups.values(), key=lambda group: (-group.count, group.task, group.exception))
        return Failures(listed, exact=below is None)

    def tallies(
        self,
        since: datetime,
        until: datetime | None = None,
        *,
        queues: Collection[str] | None = None,
        tasks: Collection[str] | None = None,
    ) -> list[Tally]:
        found: list[Tally] = []
        begin, end = minute_from(since), b"" if until is None else minute_from(until)
        while begin is not None:
            begin, minutes = self._store.call("tallies", None, begin, end, MINUTES_AT_ONCE)
            found += [
                Tally(minute=minute_at(number), queue=queue, task=task, **figures)
                for number, flat in minutes
                for (queue, task), figures in figures_of(flat)
                if (queues is None or queue in queues) and (tasks is None or task in tasks)
            ]
        return found

    def totals(self) -> list[Total]:
        return [
            Total(queue=queue, task=task, **figures)
            for (queue, task), figures in figures_of(self._store.call("totals"))
        ]


SEARCHED = 1_000
"""Jobs that one script looks at at most for somebody who looks again and again: that takes some milliseconds."""


def _bytes(id: UUID | None) -> bytes:
    return b"" if id is None else id.bytes


def _group_of(raw: Sequence[Any]) -> FailureGroup:
    task, exception, count, latest, last_at = raw
    return FailureGroup(
        task=text(task),
        exception=text(exception),
        count=count,
        latest=UUID(bytes=latest),
        last_at=moment(last_at),
    )


def _joined(one: FailureGroup, older: FailureGroup) -> FailureGroup:
    return replace(one, count=one.count + older.count, last_at=max(one.last_at, older.last_at))


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
