"""From the replies of scripts to the values of core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from struct import Struct
from typing import Any
from uuid import UUID

from dlq.job import Attempt, Claim, Counted, Enqueued, Failure, JobRecord
from dlq.limits import LINE_LENGTH
from dlq.states import State
from dlq.unique import duplicate_reason
from dlq_redis.clock import moment
from dlq_redis.data import data_of
from dlq_redis.limits import limits_of
from dlq_redis.rows import HAS_RESULT, Row, row_of
from dlq_redis.texts import encoded, name_at, pairs, text

__all__ = ["claims_of", "enqueued_of", "records_of"]

type Reply = Sequence[bytes | None]

# --- What became of new jobs


def enqueued_of(reply: Sequence[Any]) -> Enqueued:
    """What ``enqueue.lua`` says."""
    at, duplicates = reply
    ids = iter([UUID(bytes=id) for id in duplicates])
    return Enqueued(at=moment(at), duplicates=dict(zip(ids, ids, strict=True)))


# --- Claims


def claims_of(reply: Reply) -> list[Claim]:
    """Claims from a flat list of id, row, data and metadata that has replaced the job's own."""
    values = iter(reply)
    return [
        _claim_of(id, row, data, metadata)  # type: ignore[arg-type]
        for id, row, data, metadata in zip(values, values, values, values, strict=True)
    ]


def _claim_of(id: bytes, raw: bytes, raw_data: bytes, metadata: bytes | None) -> Claim:
    row, data = row_of(raw), data_of(raw_data)
    return Claim(
        id=UUID(bytes=id),
        token=row.token,
        task=row.task,
        queue=row.queue,
        payload=data.payload,
        priority=row.priority,
        run_after=None if data.run_after is None else moment(data.run_after),
        enqueued_at=moment(row.enqueued),
        claimed_at=moment(row.at),
        worker=row.worker,
        attempts=row.attempts,
        interruptions=row.interruptions,
        max_attempts=data.max_attempts,
        max_interruptions=data.max_interruptions,
        overrides=data.overrides,
        expires_at=moment(row.expires) if row.expires else None,
        metadata=data.metadata if metadata is None else text(metadata),
        line=row.limits[:LINE_LENGTH].decode() or None,
    )


# --- History: each entry as exchange.lua and look.lua put it together

_ENTRY = Struct(">Bdd")
_EXPIRED = b"\1"
_EXPIRY = Struct(">d")


def _attempt_of(raw: bytes) -> Attempt:
    counted, started, finished = _ENTRY.unpack_from(raw)
    worker, end = name_at(raw, _ENTRY.size)
    return Attempt(
        worker=worker,
        started_at=moment(started),
        finished_at=moment(finished),
        counted=Counted(counted),
        failure=_failure_of(raw[end:]),
    )


def _failure_of(raw: bytes) -> Failure:
    if raw[:1] == _EXPIRED:
        at = moment(_EXPIRY.unpack_from(raw, 1)[0])
        return Failure(exception="dlq.errors.Expired", traceback=f"The job had not started at {at}.\n")
    exception, end = name_at(raw, 1)
    return Failure(exception=exception, traceback=text(raw[end:]))


# --- Records


def records_of(reply: Sequence[object]) -> Iterator[JobRecord]:
    """Jobs from a flat list as ``get.lua`` gives it."""
    values = iter(reply)
    for parts in zip(*[values] * 8, strict=True):
        yield _record_of(*parts)


def _record_of(
    id: bytes,
    raw: bytes,
    raw_data: bytes,
    reason: bytes | None,
    note: list[bytes] | None,
    history: list[bytes] | None,
    log: list[bytes] | None,
    raw_other: bytes | None,
) -> JobRecord:
    row, data = row_of(raw), data_of(raw_data)
    said = pairs(note or [])
    other = None if raw_other is None else UUID(bytes=raw_other)
    if reason is None and other is not None:
        reason = encoded(duplicate_reason(other))
    state = State(row.state)
    return JobRecord(
        id=UUID(bytes=id),
        state=state,
        task=row.task,
        queue=row.queue,
        payload=data.payload,
        priority=row.priority,
        run_after=None if data.run_after is None else moment(data.run_after),
        enqueued_at=moment(row.enqueued),
        due_at=moment(row.at) if state is State.SCHEDULED else None,
        started_at=_started(state, row),
        finished_at=moment(row.at) if state >= State.SUCCEEDED else None,
        worker=row.worker or None,
        token=row.token,
        attempts=row.attempts,
        interruptions=row.interruptions,
        max_attempts=data.max_attempts,
        max_interruptions=data.max_interruptions,
        overrides=data.overrides,
        result=text(row.result) if row.flags & HAS_RESULT else None,
        history=tuple(map(_attempt_of, history or ())),
        reason=None if reason is None else text(reason),
        expires_at=moment(row.expires) if row.expires else None,
        keep_until=moment(row.keep) if row.keep else None,
        metadata=text(said["metadata"]) if "metadata" in said else data.metadata,
        progress=float(said["progress"]) if "progress" in said else None,
        message=text(said["message"]) if "message" in said else None,
        log=tuple(map(text, log or ())),
        unique=data.unique,
        duplicate_of=other,
        limits=limits_of(row.limits),
        waits=row.waits,
    )


def _started(state: State, row: Row) -> datetime | None:
    at = row.at if state is State.RUNNING else row.started
    return moment(at) if at else None
