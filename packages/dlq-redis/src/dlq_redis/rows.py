"""Jobs as bytes: what never changes of a job (data), and what does (a row). ``lua/parts/rows.lua`` knows rows too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from uuid import UUID

from dlq.job import Attempt, Claim, Counted, Failure, JobRecord, NewJob, Outcome
from dlq.states import State
from dlq_redis.clock import moment, ticks, ticks_in

__all__ = [
    "DATA_VERSION",
    "Row",
    "claims_of",
    "due_since",
    "encoded",
    "held_as",
    "packed_data",
    "packed_head",
    "packed_outcome",
    "pairs",
    "records_of",
    "row_of",
    "text",
]

DATA_VERSION = 1
"""The newest version of data that this code reads; see ``exchange.lua`` for what becomes of newer ones."""

type Reply = Sequence[bytes | None]


def text(raw: bytes) -> str:
    """Text as it went in: half a surrogate pair is kept as well."""
    return raw.decode("utf-8", "surrogatepass")


def encoded(text: str) -> bytes:
    """The bytes of a text; see ``text``."""
    return text.encode("utf-8", "surrogatepass")


# --- Data: what the client writes once

_DATA = Struct(">BBqqq")
_LENGTH = Struct(">I")
_WITH_RUN_AFTER, _WITH_OVERRIDES, _WITH_METADATA = 1, 2, 4


def packed_data(job: NewJob) -> bytes:
    """What never changes of a job, and no script looks at.

    Raises struct.error for numbers of more than 64 bits.
    """
    flags, parts = 0, []
    for flag, part in ((_WITH_OVERRIDES, job.overrides), (_WITH_METADATA, job.metadata)):
        if part is not None:
            flags |= flag
            raw = encoded(part)
            parts += [_LENGTH.pack(len(raw)), raw]
    run_after = 0
    if job.run_after is not None:
        flags |= _WITH_RUN_AFTER
        run_after = ticks(job.run_after)
    head = _DATA.pack(DATA_VERSION, flags, run_after, job.max_attempts, job.max_interruptions)
    return b"".join([head, *parts, encoded(job.payload)])


@dataclass(slots=True)
class _Data:
    run_after: int | None
    max_attempts: int
    max_interruptions: int
    overrides: str | None
    metadata: str | None
    payload: str


def _data_of(raw: bytes) -> _Data:
    _, flags, run_after, max_attempts, max_interruptions = _DATA.unpack_from(raw)
    at = _DATA.size
    overrides = metadata = None
    if flags & _WITH_OVERRIDES:
        overrides, at = _part(raw, at)
    if flags & _WITH_METADATA:
        metadata, at = _part(raw, at)
    return _Data(
        run_after if flags & _WITH_RUN_AFTER else None,
        max_attempts,
        max_interruptions,
        overrides,
        metadata,
        text(raw[at:]),
    )


def _part(raw: bytes, at: int) -> tuple[str, int]:
    begin = at + _LENGTH.size
    end = begin + _LENGTH.unpack_from(raw, at)[0]
    return text(raw[begin:end]), end


# --- Heads: what a script is told of a new job

_HEAD = Struct(">16sbdd")
_NAME = Struct(">H")


def packed_head(job: NewJob) -> bytes:
    """What ``enqueue.lua`` reads of a job.

    Raises struct.error for a priority or a name that is out of bounds.
    """
    run_after = 0 if job.run_after is None else ticks(job.run_after)
    expires = 0 if job.expires_after is None else ticks_in(job.expires_after)
    queue, task = encoded(job.queue), encoded(job.task)
    return b"".join(
        [
            _HEAD.pack(job.id.bytes, job.priority, run_after, expires),
            _NAME.pack(len(queue)),
            queue,
            _NAME.pack(len(task)),
            task,
        ]
    )


# --- Rows: what changes

_ROW = Struct(">BBBIIIIddddddH")
_HAS_RESULT = 16
_BAND = 2**45


@dataclass(slots=True)
class Row:
    """What changes of a job; times in microseconds, 0 for none."""

    state: int
    flags: int
    token: int
    attempts: int
    interruptions: int
    priority: int
    enqueued: float
    expires: float
    at: float
    started: float
    keep: float
    queue: str
    task: str
    worker: str
    result: bytes


def row_of(raw: bytes) -> Row:
    """A row as a script has packed it."""
    (
        _,
        state,
        flags,
        token,
        _,
        attempts,
        interruptions,
        place,
        enqueued,
        expires,
        at,
        started,
        keep,
        length,
    ) = _ROW.unpack_from(raw)
    end = _ROW.size + length
    queue = raw[_ROW.size : end]
    task, end = _name(raw, end)
    worker, end = _name(raw, end)
    _, end = _name(raw, end)
    return Row(
        state,
        flags,
        token,
        attempts,
        interruptions,
        100 - int(place // _BAND),
        enqueued,
        expires,
        at,
        started,
        keep,
        text(queue),
        text(task),
        text(worker),
        raw[end:],
    )


def _name(raw: bytes, at: int) -> tuple[bytes, int]:
    begin = at + 2
    end = begin + int.from_bytes(raw[at:begin])
    return raw[begin:end], end


def due_since(row: Row, data: bytes) -> float:
    """From when on a job could have run; the beginning of its data is enough."""
    _, flags, run_after, _, _ = _DATA.unpack_from(data)
    return max(row.enqueued, run_after) if flags & _WITH_RUN_AFTER else row.enqueued


# --- Claims

_HELD = Struct(">16sI")


def held_as(id: UUID, token: int) -> bytes:
    """A claim as ``reconcile.lua`` compares it."""
    return _HELD.pack(id.bytes, token)


def claims_of(reply: Reply) -> list[Claim]:
    """Claims from a flat list of id, row, data and metadata that has replaced the job's own."""
    values = iter(reply)
    return [
        _claim_of(id, row, data, metadata)  # type: ignore[arg-type]
        for id, row, data, metadata in zip(values, values, values, values, strict=True)
    ]


def _claim_of(id: bytes, raw: bytes, raw_data: bytes, metadata: bytes | None) -> Claim:
    row, data = row_of(raw), _data_of(raw_data)
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
    )


# --- Outcomes

_OUTCOME = Struct(">16sIBBBddd")
_WITH_RESULT, _WITH_FAILURE, _WITH_REASON, _WITH_KEEP = 1, 2, 4, 8


def packed_outcome(outcome: Outcome) -> bytes:
    """An outcome as ``exchange.lua`` reads it.

    Raises struct.error for numbers that are out of bounds.
    """
    flags, parts = 0, []
    texts = (
        (_WITH_RESULT, None if outcome.result is None else encoded(outcome.result)),
        (_WITH_FAILURE, None if outcome.failure is None else _packed_failure(outcome.failure)),
        (_WITH_REASON, None if outcome.reason is None else encoded(outcome.reason)),
    )
    for flag, part in texts:
        if part is None:
            parts.append(b"\0\0\0\0")
        else:
            flags |= flag
            parts += [_LENGTH.pack(len(part)), part]
    if outcome.keep_for is not None:
        flags |= _WITH_KEEP
    head = _OUTCOME.pack(
        outcome.id.bytes,
        outcome.token,
        outcome.state,
        outcome.counted,
        flags,
        ticks_in(outcome.delay),
        ticks_in(outcome.seconds),
        ticks_in(outcome.keep_for or 0.0),
    )
    return b"".join([head, *parts])


# --- History: each entry as exchange.lua and look.lua put it together

_ENTRY = Struct(">BddH")
_RAISED, _EXPIRED = b"\0", b"\1"
_EXPIRY = Struct(">d")


def _packed_failure(failure: Failure) -> bytes:
    exception = encoded(failure.exception)
    return b"".join([_RAISED, _NAME.pack(len(exception)), exception, encoded(failure.traceback)])


def _attempt_of(raw: bytes) -> Attempt:
    counted, started, finished, length = _ENTRY.unpack_from(raw)
    end = _ENTRY.size + length
    return Attempt(
        worker=text(raw[_ENTRY.size : end]),
        started_at=moment(started),
        finished_at=moment(finished),
        counted=Counted(counted),
        failure=_failure_of(raw[end:]),
    )


def _failure_of(raw: bytes) -> Failure:
    if raw[:1] == _EXPIRED:
        at = moment(_EXPIRY.unpack_from(raw, 1)[0])
        return Failure(exception="dlq.errors.Expired", traceback=f"The job had not started at {at}.\n")
    exception, end = _name(raw, 1)
    return Failure(exception=text(exception), traceback=text(raw[end:]))


# --- Records


def records_of(reply: Sequence[object]) -> Iterator[JobRecord]:
    """Jobs from a flat list as ``get.lua`` gives it."""
    values = iter(reply)
    for parts in zip(*[values] * 7, strict=True):
        yield _record_of(*parts)  # type: ignore[arg-type]


def _record_of(
    id: bytes,
    raw: bytes,
    raw_data: bytes,
    reason: bytes | None,
    note: list[bytes] | None,
    history: list[bytes] | None,
    log: list[bytes] | None,
) -> JobRecord:
    row, data = row_of(raw), _data_of(raw_data)
    said = pairs(note or [])
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
        result=text(row.result) if row.flags & _HAS_RESULT else None,
        history=tuple(map(_attempt_of, history or ())),
        reason=None if reason is None else text(reason),
        expires_at=moment(row.expires) if row.expires else None,
        keep_until=moment(row.keep) if row.keep else None,
        metadata=text(said["metadata"]) if "metadata" in said else data.metadata,
        progress=float(said["progress"]) if "progress" in said else None,
        message=text(said["message"]) if "message" in said else None,
        log=tuple(map(text, log or ())),
    )


def _started(state: State, row: Row) -> object:
    at = row.at if state is State.RUNNING else row.started
    return moment(at) if at else None


def pairs(flat: Sequence[bytes]) -> Mapping[str, bytes]:
    """Names and values that come in turn."""
    values = iter(flat)
    return {text(name): value for name, value in zip(values, values, strict=True)}
