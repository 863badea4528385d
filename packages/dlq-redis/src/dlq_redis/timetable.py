"""Schedules, as ``lua/parts/schedules.lua`` has them: what they are, where they stand, and what was fired."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from struct import Struct
from uuid import UUID

from dlq.limits import limits_from_json, limits_to_json
from dlq.store.schedules import Advance, Fire, Fired, FireRecord, Proposal, Schedule, ScheduleRecord
from dlq_redis.clock import moment, ticks
from dlq_redis.texts import encoded, name_at, packed_name, text

__all__ = [
    "fires_of",
    "packed_advance",
    "packed_definition",
    "packed_times",
    "schedules_of",
    "ticks_or_none",
]

_VERSION = 1
_HEAD = Struct(">BBI")
_IN_HEAD = {"key", "static", "rule"}
_IN_TEXT = [field.name for field in fields(Schedule) if field.name not in _IN_HEAD]
_NO_JOB = bytes(16)


def ticks_or_none(at: datetime | None) -> int:
    """A time in microseconds, or 0 for none."""
    return 0 if at is None else ticks(at)


def _moment_or_none(at: float) -> datetime | None:
    return moment(at) if at else None


# --- What they are: scripts compare it whole, and read no more of it than its head


def packed_definition(schedule: Schedule) -> bytes:
    """A schedule without its key. Equal ones are equal bytes."""
    rule = encoded(schedule.rule)
    said = {name: getattr(schedule, name) for name in _IN_TEXT}
    rest = json.dumps(said | {"limits": limits_to_json(schedule.limits)})
    return _HEAD.pack(_VERSION, schedule.static, len(rule)) + rule + rest.encode()


def _schedule_of(key: str, raw: bytes) -> Schedule:
    _, static, length = _HEAD.unpack_from(raw)
    end = _HEAD.size + length
    said = json.loads(raw[end:])
    said["limits"] = limits_from_json(said.get("limits"))
    return Schedule(
        key=key,
        static=bool(static),
        rule=text(raw[_HEAD.size : end]),
        # A newer version may have written more.
        **{name: said[name] for name in _IN_TEXT if name in said},
    )


# --- Where they stand

_STANDING = Struct(">BBdddddd16s")
_TIMES = Struct(">ddd")
_ENABLED, _ORPHANED = 1, 2


def packed_times(proposal: Proposal, revision: int) -> bytes:
    """What ``put.lua`` needs for a schedule that begins anew."""
    return _TIMES.pack(ticks_or_none(proposal.due_at), ticks_or_none(proposal.look_at), revision)


def schedules_of(reply: Sequence[bytes]) -> Iterator[ScheduleRecord]:
    """Schedules from a flat list as ``get.lua`` gives it."""
    values = iter(reply)
    for key, definition, standing in zip(values, values, values, strict=True):
        yield _record_of(_schedule_of(text(key), definition), standing)


def _record_of(schedule: Schedule, raw: bytes) -> ScheduleRecord:
    _, flags, revision, due, look, declared, fires, last_due, last_job = _STANDING.unpack_from(raw)
    return ScheduleRecord(
        schedule=schedule,
        revision=int(revision),
        due_at=_moment_or_none(due),
        look_at=_moment_or_none(look),
        enabled=bool(flags & _ENABLED),
        orphaned=bool(flags & _ORPHANED),
        declared_at=moment(declared),
        fires=int(fires),
        last_due_at=_moment_or_none(last_due),
        last_job=_job_of(last_job),
    )


# --- What is to be fired, and what was

_ADVANCE = Struct(">dddddI16s")
_FIRE = Struct(">d16s")
_DUE, _FIRED = Struct(">d"), Struct(">d16s")


def packed_advance(advance: Advance) -> list[bytes]:
    """An advance, and each of its fires, as ``advance.lua`` reads them. Their jobs go beside.

    Raises struct.error for a name that is out of bounds.
    """
    head = _ADVANCE.pack(
        advance.revision,
        ticks_or_none(advance.due_at),
        ticks_or_none(advance.look_at),
        advance.enqueued,
        ticks_or_none(advance.last_due_at),
        len(advance.fires),
        _packed_job(advance.last_job),
    )
    return [head + encoded(advance.key), *map(_packed_fire, advance.fires)]


def _packed_fire(fire: Fire) -> bytes:
    head = _FIRE.pack(ticks(fire.due_at), _packed_job(fire.job_id))
    return head + packed_name(fire.outcome) + encoded(fire.reason)


def _packed_job(id: UUID | None) -> bytes:
    return _NO_JOB if id is None else id.bytes


def _job_of(raw: bytes) -> UUID | None:
    return None if raw == _NO_JOB else UUID(bytes=raw)


def fires_of(reply: Sequence[bytes]) -> Iterator[FireRecord]:
    """Fires from a flat list as ``history.lua`` gives it."""
    values = iter(reply)
    for name, raw in zip(values, values, strict=True):
        at, job = _FIRED.unpack_from(raw)
        outcome, end = name_at(raw, _FIRED.size)
        (due_at,) = _DUE.unpack_from(name)
        yield FireRecord(
            key=text(name[_DUE.size :]),
            due_at=moment(due_at),
            at=moment(at),
            outcome=Fired(outcome),
            job=_job_of(job),
            reason=text(raw[end:]),
        )
