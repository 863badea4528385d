"""What never changes of a job. The client writes it once, and no script looks inside of it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from struct import Struct
from uuid import UUID

from dlq.job import Edit, JobRecord, NewJob
from dlq.unique import UniqueKey, unique_from_json, unique_to_json
from dlq_redis.clock import moment, ticks, ticks_in
from dlq_redis.limits import limits_of, packed_limits
from dlq_redis.texts import encoded, name_at, packed_name, text

__all__ = [
    "DATA_VERSION",
    "Data",
    "data_of",
    "due_since",
    "edited_data",
    "new_job_of",
    "packed_data",
    "packed_head",
]

DATA_VERSION = 1
"""The newest version of data that this code reads; see ``exchange.lua`` for what becomes of newer ones."""

_DATA = Struct(">BBII")
_TIME = Struct(">q")
_LENGTH = Struct(">I")
_WITH_RUN_AFTER, _WITH_OVERRIDES, _WITH_METADATA, _WITH_UNIQUE = 1, 2, 4, 8


def packed_data(job: NewJob) -> bytes:
    """What never changes of a job, and no script looks at.

    Raises struct.error for numbers of more than 32 bits.
    """
    flags, parts = 0, []
    if job.run_after is not None:
        flags |= _WITH_RUN_AFTER
        parts.append(_TIME.pack(ticks(job.run_after)))
    unique = unique_to_json(job.unique)
    texts = ((_WITH_OVERRIDES, job.overrides), (_WITH_METADATA, job.metadata), (_WITH_UNIQUE, unique))
    for flag, part in texts:
        if part is not None:
            flags |= flag
            raw = encoded(part)
            parts += [_LENGTH.pack(len(raw)), raw]
    head = _DATA.pack(DATA_VERSION, flags, job.max_attempts, job.max_interruptions)
    return b"".join([head, *parts, encoded(job.payload)])


def edited_data(record: JobRecord, edit: Edit) -> bytes:
    """The data of a stored job with other arguments.

    Raises struct.error for numbers of more than 32 bits.
    """
    return packed_data(
        NewJob(
            id=record.id,
            task=record.task,
            queue=record.queue,
            payload=edit.payload,
            overrides=edit.overrides,
            run_after=record.run_after,
            max_attempts=record.max_attempts,
            max_interruptions=record.max_interruptions,
            metadata=record.metadata,
            unique=record.unique,
        )
    )


@dataclass(slots=True)
class Data:
    """What never changes of a job; ``run_after`` in microseconds."""

    run_after: int | None
    max_attempts: int
    max_interruptions: int
    overrides: str | None
    metadata: str | None
    unique: UniqueKey | None
    payload: str


def data_of(raw: bytes) -> Data:
    """What ``packed_data`` has packed; without arguments, which no worker can read, where somebody has damaged it."""
    try:
        return _read(raw)
    except (struct.error, OverflowError, ValueError, KeyError):
        return Data(None, 1, 2, None, None, None, "")


def _read(raw: bytes) -> Data:
    _, flags, max_attempts, max_interruptions = _DATA.unpack_from(raw)
    at = _DATA.size
    run_after = overrides = metadata = unique = None
    if flags & _WITH_RUN_AFTER:
        (run_after,) = _TIME.unpack_from(raw, at)
        moment(run_after)  # Raises for what is no time.
        at += _TIME.size
    if flags & _WITH_OVERRIDES:
        overrides, at = _part(raw, at)
    if flags & _WITH_METADATA:
        metadata, at = _part(raw, at)
    if flags & _WITH_UNIQUE:
        unique, at = _part(raw, at)
    return Data(
        run_after,
        max_attempts,
        max_interruptions,
        overrides,
        metadata,
        unique_from_json(unique),
        text(raw[at:]),
    )


def _part(raw: bytes, at: int) -> tuple[str, int]:
    begin = at + _LENGTH.size
    end = begin + _LENGTH.unpack_from(raw, at)[0]
    return text(raw[begin:end]), end


_HEAD = Struct(">16sbdd")


def packed_head(job: NewJob) -> bytes:
    """What ``enqueue.lua`` reads of a job.

    Raises struct.error for a priority or a name that is out of bounds.
    """
    run_after = 0 if job.run_after is None else ticks(job.run_after)
    expires = 0 if job.expires_after is None else ticks_in(job.expires_after)
    head = _HEAD.pack(job.id.bytes, job.priority, run_after, expires)
    names = packed_name(job.queue) + packed_name(job.task) + packed_name(_packed_unique(job.unique))
    return head + names + packed_limits(job.queue, job.limits)


def _packed_unique(unique: UniqueKey | None) -> str:
    return "" if unique is None else unique.mark + unique.on_duplicate


def new_job_of(head: bytes, data: bytes) -> NewJob:
    """The job that was packed into these."""
    id, priority, _, expires = _HEAD.unpack_from(head)
    queue, end = name_at(head, _HEAD.size)
    task, end = name_at(head, end)
    _, end = name_at(head, end)
    kept = data_of(data)
    return NewJob(
        id=UUID(bytes=id),
        task=task,
        queue=queue,
        payload=kept.payload,
        priority=priority,
        run_after=None if kept.run_after is None else moment(kept.run_after),
        max_attempts=kept.max_attempts,
        max_interruptions=kept.max_interruptions,
        overrides=kept.overrides,
        expires_after=expires / 1_000_000 or None,
        metadata=kept.metadata,
        unique=kept.unique,
        limits=limits_of(head[end:]),
    )


def due_since(enqueued: float, data: bytes) -> float:
    """From when on a job could have run; the beginning of its data is enough."""
    try:
        _, flags, _, _ = _DATA.unpack_from(data)
        return max(enqueued, _TIME.unpack_from(data, _DATA.size)[0]) if flags & _WITH_RUN_AFTER else enqueued
    except struct.error:
        return enqueued
