"""What changes of a job, as ``lua/parts/rows.lua`` packs it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from struct import Struct

from dlq.errors import StoreError
from dlq.states import State, Waits
from dlq_redis.texts import name_at, part_at

__all__ = ["HAS_RESULT", "Row", "row_of"]

_ROW = Struct(">BBBIIHHddd")
_TIMES = Struct(">ddd")
_HAS_TIMES, _HAS_LIMITS = 32, 64
HAS_RESULT = 16
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
    limits: bytes
    """What ``packed_limits`` has packed; empty without limits."""
    result: bytes

    @property
    def waits(self) -> Waits | None:
        """What it waits for while it is blocked."""
        if self.state != State.BLOCKED:
            return None
        return Waits.TASK if self.at else Waits.LIMIT  # A parked one has the version there.


def row_of(raw: bytes) -> Row:
    """A row as a script has packed it.

    Raises StoreError for one that somebody else has written.
    """
    try:
        return _read(raw)
    except struct.error as error:
        raise StoreError(
            f"a job in Redis, {raw[:40]!r} in the hash of rows, was written over by somebody else ({error})."
        ) from None


def _read(raw: bytes) -> Row:
    _, state, flags, token, _, attempts, interruptions, place, enqueued, expires = _ROW.unpack_from(raw)
    queue, end = name_at(raw, _ROW.size)
    task, end = name_at(raw, end)
    worker, end = name_at(raw, end)
    _, end = name_at(raw, end)
    at = started = keep = 0.0
    if flags & _HAS_TIMES:
        at, started, keep = _TIMES.unpack_from(raw, end)
        end += _TIMES.size
    limits = b""
    if flags & _HAS_LIMITS:
        limits, end = part_at(raw, end)
    return Row(
        state=state,
        flags=flags,
        token=token,
        attempts=attempts,
        interruptions=interruptions,
        priority=100 - int(place // _BAND),
        enqueued=enqueued,
        expires=expires,
        at=at,
        started=started,
        keep=keep,
        queue=queue,
        task=task,
        worker=worker,
        limits=limits,
        result=raw[end:],
    )
