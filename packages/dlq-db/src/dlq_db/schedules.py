"""``DatabaseSchedules``: the schedules of a backend, in the tables of its store."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Min, Q, QuerySet, Value

from dlq.job import NewJob
from dlq.limits import limits_from_json, limits_to_json
from dlq.store import schedules as core
from dlq.store.schedules import (
    Advance,
    Advanced,
    Due,
    Fired,
    FireRecord,
    Proposal,
    ScheduleRecord,
    Schedules,
)
from dlq_db.chunks import chunks
from dlq_db.clock import moment
from dlq_db.conflicts import overwriting
from dlq_db.contention import repeated
from dlq_db.failures import translated
from dlq_db.models import Fire, Schedule
from dlq_db.store import DatabaseStore

__all__ = ["DatabaseSchedules"]

DEFINITION = [field.name for field in fields(core.Schedule)]
STANDING = [field.name for field in fields(ScheduleRecord) if field.name != "schedule"]
CHANGED_BY_PUT = [
    *(name for name in DEFINITION if name != "key"),
    *("revision", "orphaned", "due_at", "look_at", "fires", "last_due_at"),
]


class DatabaseSchedules(Schedules):
    """Found by index, changed by revision. What fires them is the dialect's."""

    def __init__(self, store: DatabaseStore) -> None:
        """The schedules that fire into ``store``, on its connections."""
        self.alias = store.alias
        self._store = store

    @property
    def connection(self) -> BaseDatabaseWrapper:
        """This thread's connection."""
        return self._store.connection

    def clock(self) -> datetime:
        with translated(self.connection):
            return self._store.dialect.clock(self.connection)

    # --- What there is ---

    @repeated
    def put(self, proposals: Sequence[Proposal], *, now: datetime | None = None) -> list[str]:
        wanted = {p.schedule.key: p for p in sorted(proposals, key=lambda p: p.schedule.key)}
        with translated(self.connection), self._store.transaction():
            at = now or self._store.dialect.clock(self.connection)
            # Of those whose keys are known, nothing changes yet.
            self._rows().bulk_create(
                [self._new_row(proposal, at) for proposal in wanted.values()],
                batch_size=500,
                **overwriting(self.connection, ["key"], unique=["backend", "key"]),
            )
            refused, changed, declared = [], [], []
            for row in self._locked(wanted):
                proposal = wanted[row.key]
                if not row.orphaned and row.static is not proposal.schedule.static:
                    refused.append(row.key)
                    continue
                declared.append(row.pk)
                if _renew(row, proposal):
                    changed.append(row)
            self._rows().bulk_update(changed, CHANGED_BY_PUT, batch_size=100)
            for chunk in chunks(declared):
                self._rows().filter(pk__in=chunk).update(declared_at=at)
            return refused

    def _new_row(self, proposal: Proposal, at: datetime) -> Schedule:
        return Schedule(
            backend=self.alias,
            # Nobody may take a new schedule for an old one that had its key.
            revision=1 + secrets.randbits(48),
            due_at=proposal.due_at,
            look_at=proposal.look_at,
            declared_at=at,
            **_definition(proposal.schedule),
        )

    @repeated
    def declare(self, keys: Collection[str], *, now: datetime | None = None) -> list[str]:
        with translated(self.connection), self._store.transaction():
            found = [row for row in self._locked(keys) if row.static and not row.orphaned]
            for chunk in chunks([row.pk for row in found]):
                self._rows().filter(pk__in=chunk).update(declared_at=moment(now))
            return [row.key for row in found]

    @repeated
    def orphan(self, seen: Collection[tuple[str, datetime]]) -> list[str]:
        with translated(self.connection), self._store.transaction():
            found = [
                row
                for row in self._locked([key for key, _ in seen])
                if row.static and not row.orphaned and (row.key, row.declared_at) in seen
            ]
            return self._change(found, orphaned=True, due_at=None, look_at=None)

    def get(self, keys: Collection[str]) -> list[ScheduleRecord]:
        with translated(self.connection):
            return [
                _record_of(row)
                for chunk in chunks(dict.fromkeys(keys))
                for row in self._rows().filter(key__in=chunk)
            ]

    def listed(self, limit: int, *, after: str = "", static: bool | None = None) -> list[ScheduleRecord]:
        with translated(self.connection):
            rows = self._rows().filter(key__gt=after) if after else self._rows()
            if static is not None:
                rows = rows.filter(static=static)
            return [_record_of(row) for row in rows.order_by("key")[:limit]]

    # --- What is due ---

    def due(
        self, limit: int, *, after: tuple[datetime, str] | None = None, now: datetime | None = None
    ) -> Due:
        with translated(self.connection):
            at = now or self._store.dialect.clock(self.connection)
            waiting = self._rows().filter(look_at__isnull=False)
            due = waiting.filter(look_at__lte=at)
            if after is not None:
                due = due.filter(Q(look_at__gt=after[0]) | Q(look_at=after[0], key__gt=after[1]))
            found = [_record_of(row) for row in due.order_by("look_at", "key")[:limit]]
            if found:
                return Due(now=at, schedules=found)
            return Due(
                now=at, next_at=waiting.filter(look_at__gt=at).aggregate(first=Min("look_at"))["first"]
            )

    @repeated
    def advance(self, advances: Sequence[Advance], *, now: datetime | None = None) -> Advanced:
        with translated(self.connection):
            done = self._store.dialect.advance(self.connection, self.alias, advances, now)
            jobs, enqueued = (
                [fire.job for each in advances for fire in each.fires if fire.job],
                set(done.jobs),
            )
            if ready := {job.queue for job in jobs if job.id in enqueued and _is_ready(job, done.at)}:
                self._store.tell(ready)
            self._store.admit_new([job for job in jobs if job.id in enqueued], now)
            return done

    # --- What operators do ---

    @repeated
    def enable(self, key: str, due_at: datetime | None, look_at: datetime | None) -> bool:
        with translated(self.connection), self._store.transaction():
            found = [row for row in self._locked([key]) if not row.enabled]
            alive = [row for row in found if not row.orphaned]
            self._change(alive, enabled=True, due_at=due_at, look_at=look_at)
            self._change([row for row in found if row.orphaned], enabled=True)
            return bool(found)

    @repeated
    def disable(self, keys: Collection[str]) -> list[str]:
        with translated(self.connection), self._store.transaction():
            found = [row for row in self._locked(keys) if row.enabled]
            return self._change(found, enabled=False, due_at=None, look_at=None)

    @repeated
    def remove(self, keys: Collection[str]) -> list[str]:
        with translated(self.connection), self._store.transaction():
            found = [row for row in self._locked(keys) if row.orphaned or not row.static]
            for chunk in chunks([row.pk for row in found]):
                self._rows().filter(pk__in=chunk)._raw_delete(self._store.database)
            return [row.key for row in found]

    # --- What was fired ---

    def history(
        self, limit: int, *, key: str | None = None, before: datetime | None = None
    ) -> list[FireRecord]:
        with translated(self.connection):
            fires = self._fires(key)
            if before is not None:
                fires = fires.filter(due_at__lt=before)
            return [_fire_of(row) for row in fires.order_by("-due_at", "-key")[:limit]]

    @repeated
    def prune(
        self, older_than: float, limit: int, *, key: str | None = None, now: datetime | None = None
    ) -> int:
        with translated(self.connection), self._store.transaction():
            last = moment(now) - Value(timedelta(seconds=older_than))
            old = self._fires(key).filter(at__lte=last).order_by("at")
            skip = self.connection.features.has_select_for_update_skip_locked
            doomed = list(old.select_for_update(skip_locked=skip).values_list("pk", flat=True)[:limit])
            for chunk in chunks(doomed):
                Fire.objects.using(self._store.database).filter(pk__in=chunk)._raw_delete(
                    self._store.database
                )
            return len(doomed)

    # --- Rows ---

    def _rows(self) -> QuerySet[Schedule]:
        return Schedule.objects.using(self._store.database).filter(backend=self.alias)

    def _fires(self, key: str | None) -> QuerySet[Fire]:
        fires = Fire.objects.using(self._store.database).filter(backend=self.alias)
        return fires if key is None else fires.filter(key=key)

    def _locked(self, keys: Collection[str]) -> Iterator[Schedule]:
        """Those that exist, none of which can change before the transaction ends; by key, as everywhere."""
        for chunk in chunks(sorted(set(keys))):
            yield from self._rows().filter(key__in=chunk).order_by("key").select_for_update()

    def _change(self, rows: Sequence[Schedule], **changes: Any) -> list[str]:
        for chunk in chunks([row.pk for row in rows]):
            self._rows().filter(pk__in=chunk).update(revision=F("revision") + 1, **changes)
        return [row.key for row in rows]


def _is_ready(job: NewJob, at: datetime) -> bool:
    return job.limits is None and (job.run_after is None or job.run_after <= at)


def _definition(schedule: core.Schedule) -> dict[str, Any]:
    return {name: getattr(schedule, name) for name in DEFINITION} | {
        "limits": limits_to_json(schedule.limits)
    }


def _renew(row: Schedule, proposal: Proposal) -> bool:
    """Make a row what is proposed; returns whether that changes it."""
    new_rule, was_orphaned = row.rule != proposal.schedule.rule, row.orphaned
    wanted = _definition(proposal.schedule)
    if not was_orphaned and all(getattr(row, name) == value for name, value in wanted.items()):
        return False
    for name, value in wanted.items():
        setattr(row, name, value)
    row.orphaned, row.revision = False, row.revision + 1
    if new_rule:
        row.fires, row.last_due_at = 0, None
    if row.enabled and (new_rule or was_orphaned):
        row.due_at, row.look_at = proposal.due_at, proposal.look_at
    return True


def _record_of(row: Schedule) -> ScheduleRecord:
    standing = {name: getattr(row, name) for name in STANDING}
    definition = {name: getattr(row, name) for name in DEFINITION}
    definition["limits"] = limits_from_json(row.limits)
    return ScheduleRecord(schedule=core.Schedule(**definition), **standing)


def _fire_of(row: Fire) -> FireRecord:
    return FireRecord(
        key=row.key, due_at=row.due_at, at=row.at, outcome=Fired(row.outcome), job=row.job, reason=row.reason
    )
