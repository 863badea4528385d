"""``RedisSchedules``: the schedules of a backend, under the same hash tag as its jobs, so that a fire is one script."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from dlq.store.schedules import Advance, Advanced, Due, FireRecord, Proposal, ScheduleRecord, Schedules
from dlq_redis.clock import moment, ticks, ticks_in
from dlq_redis.data import packed_data, packed_head
from dlq_redis.failures import translated
from dlq_redis.store import LOOKED_AT, RedisStore
from dlq_redis.texts import encoded, text
from dlq_redis.timetable import (
    fires_of,
    packed_advance,
    packed_definition,
    packed_times,
    schedules_of,
    ticks_or_none,
)

__all__ = ["RedisSchedules"]


class RedisSchedules(Schedules):
    """Each verb is one script of ``lua/schedules``."""

    def __init__(self, store: RedisStore) -> None:
        """The schedules that fire into ``store``, on its connections."""
        self.alias = store.alias
        self._store = store

    def clock(self) -> datetime:
        return moment(self._call("clock"))

    def _call(self, verb: str, now: datetime | None = None, *args: Any) -> Any:
        return self._store.call(f"schedules/{verb}", now, *args)

    # --- What there is ---

    def put(self, proposals: Sequence[Proposal], *, now: datetime | None = None) -> list[str]:
        wanted = {proposal.schedule.key: proposal for proposal in proposals}
        with translated(self._store.server.name):
            packed = [part for proposal in wanted.values() for part in _packed(proposal)]
        return _keys(self._call("put", now, *packed))

    def declare(self, keys: Collection[str], *, now: datetime | None = None) -> list[str]:
        return _keys(self._call("declare", now, *keys))

    def orphan(self, seen: Collection[tuple[str, datetime]]) -> list[str]:
        return _keys(self._call("orphan", None, *(part for key, at in seen for part in (key, ticks(at)))))

    def get(self, keys: Collection[str]) -> list[ScheduleRecord]:
        return list(schedules_of(self._call("get", None, *dict.fromkeys(keys))))

    def listed(self, limit: int, *, after: str = "", static: bool | None = None) -> list[ScheduleRecord]:
        kinds = [
            name for name, is_static in (("static", True), ("dynamic", False)) if static in (None, is_static)
        ]
        found = schedules_of(self._call("listed", None, limit, after, *kinds))
        return sorted(found, key=lambda record: record.key)[:limit]

    # --- What is due ---

    def due(
        self, limit: int, *, after: tuple[datetime, str] | None = None, now: datetime | None = None
    ) -> Due:
        place = ("", "") if after is None else (ticks(after[0]), after[1])
        at, next_at, found = self._call("due", now, limit, *place)
        return Due(
            now=moment(at),
            schedules=list(schedules_of(found)),
            next_at=None if next_at is None else moment(next_at),
        )

    def advance(self, advances: Sequence[Advance], *, now: datetime | None = None) -> Advanced:
        jobs = [fire.job for each in advances for fire in each.fires if fire.job is not None]
        with translated(self._store.server.name):
            packed = [part for job in jobs for part in (packed_head(job), packed_data(job))]
            packed += [part for each in advances for part in packed_advance(each)]
        at, keys, stored = self._call("advance", now, len(jobs), *packed)
        return Advanced(at=moment(at), keys=_keys(keys), jobs=[UUID(bytes=id) for id in stored])

    # --- What operators do ---

    def enable(self, key: str, due_at: datetime | None, look_at: datetime | None) -> bool:
        return bool(self._call("enable", None, key, ticks_or_none(due_at), ticks_or_none(look_at)))

    def disable(self, keys: Collection[str]) -> list[str]:
        return _keys(self._call("disable", None, *keys))

    def remove(self, keys: Collection[str]) -> list[str]:
        return _keys(self._call("remove", None, *keys))

    # --- What was fired ---

    def history(
        self, limit: int, *, key: str | None = None, before: datetime | None = None
    ) -> list[FireRecord]:
        told = (limit, b"" if before is None else ticks(before), *([] if key is None else [key]))
        return list(fires_of(self._call("history", None, *told)))

    def prune(
        self, older_than: float, limit: int, *, key: str | None = None, now: datetime | None = None
    ) -> int:
        deleted, place = 0, 0
        # Of one schedule those that are old are found by looking at all, some at a time.
        while deleted < limit and place != -1:
            told = (ticks_in(older_than), limit - deleted, LOOKED_AT, place, *([] if key is None else [key]))
            some, place = self._call("prune", now, *told)
            deleted += some
        return deleted


def _packed(proposal: Proposal) -> list[bytes]:
    # Nobody may take a new schedule for an old one that had its key.
    times = packed_times(proposal, 1 + secrets.randbits(48))
    return [encoded(proposal.schedule.key), packed_definition(proposal.schedule), times]


def _keys(raw: Sequence[bytes]) -> list[str]:
    return [text(key) for key in raw]
