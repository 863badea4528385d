"""``MemorySchedules``: the schedules of a MemoryStore, under its lock."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dlq.store.memory.store import MemoryStore, clock
from dlq.store.schedules import (
    Advance,
    Advanced,
    Due,
    Fire,
    FireRecord,
    Proposal,
    ScheduleRecord,
    Schedules,
)

__all__ = ["MemorySchedules"]


class MemorySchedules(Schedules):
    """The schedules of a MemoryStore, which live and die with it."""

    def __init__(self, store: MemoryStore) -> None:
        """The schedules that fire into ``store``, which lives in this process."""
        self.alias = store.alias
        self._store = store
        self._known = store.schedules
        self._fires = store.fires

    def clock(self) -> datetime:
        return clock()

    def put(self, proposals: Sequence[Proposal], *, now: datetime | None = None) -> list[str]:
        now = now or clock()
        with self._store.lock:
            refused = [p.schedule.key for p in proposals if self._is_taken(p)]
            for proposal in proposals:
                if proposal.schedule.key not in refused:
                    self._put(proposal, now)
            return refused

    def _is_taken(self, proposal: Proposal) -> bool:
        found = self._known.get(proposal.schedule.key)
        if found is None or found.orphaned:
            return False
        return found.schedule.static is not proposal.schedule.static

    def _put(self, proposal: Proposal, now: datetime) -> None:
        schedule = proposal.schedule
        found = self._known.get(schedule.key)
        if found is None:
            first = 1 + secrets.randbits(
                48
            )  # Nobody may take a new schedule for an old one that had its key.
            self._known[schedule.key] = ScheduleRecord(
                schedule=schedule,
                revision=first,
                due_at=proposal.due_at,
                look_at=proposal.look_at,
                enabled=True,
                orphaned=False,
                declared_at=now,
            )
            return
        changed = replace(found, schedule=schedule, orphaned=False)
        if found.schedule.rule != schedule.rule:
            changed = replace(changed, fires=0, last_due_at=None)
        if found.enabled and (found.orphaned or found.schedule.rule != schedule.rule):
            changed = replace(changed, due_at=proposal.due_at, look_at=proposal.look_at)
        if changed != found:
            changed = replace(changed, revision=found.revision + 1)
        self._known[schedule.key] = replace(changed, declared_at=now)

    def declare(self, keys: Collection[str], *, now: datetime | None = None) -> list[str]:
        now = now or clock()
        with self._store.lock:
            found = [r for r in self._records(keys) if r.schedule.static and not r.orphaned]
            self._known |= {record.key: replace(record, declared_at=now) for record in found}
            return [record.key for record in found]

    def orphan(self, seen: Collection[tuple[str, datetime]]) -> list[str]:
        with self._store.lock:
            gone = [
                record
                for record in self._records([key for key, _ in seen])
                if record.schedule.static and not record.orphaned and (record.key, record.declared_at) in seen
            ]
            for record in gone:
                self._change(record, orphaned=True, due_at=None, look_at=None)
            return [record.key for record in gone]

    def get(self, keys: Collection[str]) -> list[ScheduleRecord]:
        with self._store.lock:
            return self._records(keys)

    def listed(self, limit: int, *, after: str = "", static: bool | None = None) -> list[ScheduleRecord]:
        with self._store.lock:
            found = [self._known[key] for key in sorted(self._known) if key > after]
        return [record for record in found if static in (None, record.schedule.static)][:limit]

    def due(
        self, limit: int, *, after: tuple[datetime, str] | None = None, now: datetime | None = None
    ) -> Due:
        now = now or clock()
        with self._store.lock:
            waiting = sorted((r.look_at, key) for key, r in self._known.items() if r.look_at is not None)
        due = [place for place in waiting if place[0] <= now and (after is None or place > after)]
        if not due:
            return Due(now=now, next_at=next((at for at, _ in waiting if at > now), None))
        with self._store.lock:
            return Due(now=now, schedules=self._records([key for _, key in due[:limit]]))

    def advance(self, advances: Sequence[Advance], *, now: datetime | None = None) -> Advanced:
        now = now or clock()
        with self._store.lock:
            done = Advanced(at=now)
            for advance in advances:
                found = self._known.get(advance.key)
                if found is not None and found.revision == advance.revision:
                    self._advance(found, advance, done)
            return done

    def _advance(self, record: ScheduleRecord, advance: Advance, done: Advanced) -> None:
        self._change(
            record,
            due_at=advance.due_at,
            look_at=advance.look_at,
            fires=record.fires + advance.enqueued,
            last_due_at=advance.last_due_at or record.last_due_at,
            last_job=advance.last_job or record.last_job,
        )
        done.keys.append(advance.key)
        for fire in advance.fires:
            self._fire(advance.key, fire, done)

    def _fire(self, key: str, fire: Fire, done: Advanced) -> None:
        if (key, fire.due_at) in self._fires:
            return
        if fire.job is not None:
            self._store.enqueue([fire.job], now=done.at)
            done.jobs.append(fire.job.id)
        self._fires[key, fire.due_at] = FireRecord(
            key=key,
            due_at=fire.due_at,
            at=done.at,
            outcome=fire.outcome,
            job=fire.job_id,
            reason=fire.reason,
        )

    def enable(self, key: str, due_at: datetime | None, look_at: datetime | None) -> bool:
        with self._store.lock:
            found = self._known.get(key)
            if found is None or found.enabled:
                return False
            times = {} if found.orphaned else {"due_at": due_at, "look_at": look_at}
            self._change(found, enabled=True, **times)
            return True

    def disable(self, keys: Collection[str]) -> list[str]:
        with self._store.lock:
            found = [record for record in self._records(keys) if record.enabled]
            for record in found:
                self._change(record, enabled=False, due_at=None, look_at=None)
            return [record.key for record in found]

    def remove(self, keys: Collection[str]) -> list[str]:
        with self._store.lock:
            found = [r.key for r in self._records(keys) if r.orphaned or not r.schedule.static]
            for key in found:
                del self._known[key]
            return found

    def history(
        self, limit: int, *, key: str | None = None, before: datetime | None = None
    ) -> list[FireRecord]:
        with self._store.lock:
            found = [
                fire
                for fire in self._fires.values()
                if key in (None, fire.key) and (before is None or fire.due_at < before)
            ]
        return sorted(found, key=lambda fire: (fire.due_at, fire.key), reverse=True)[:limit]

    def prune(
        self, older_than: float, limit: int, *, key: str | None = None, now: datetime | None = None
    ) -> int:
        last = (now or clock()) - timedelta(seconds=older_than)
        with self._store.lock:
            old = [at for at, fire in self._fires.items() if fire.at <= last and key in (None, fire.key)]
            for at in old[:limit]:
                del self._fires[at]
            return len(old[:limit])

    def _records(self, keys: Collection[str]) -> list[ScheduleRecord]:
        return [self._known[key] for key in dict.fromkeys(keys) if key in self._known]

    def _change(self, record: ScheduleRecord, **changes: object) -> None:
        changed = replace(record, revision=record.revision + 1, **changes)  # type: ignore[arg-type]
        self._known[record.key] = changed
