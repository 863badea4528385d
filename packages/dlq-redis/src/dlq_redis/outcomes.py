"""What workers say, as scripts read it."""

from __future__ import annotations

from struct import Struct
from uuid import UUID

from dlq.job import Failure, Outcome
from dlq_redis.clock import ticks_in
from dlq_redis.texts import encoded, packed_name

__all__ = ["RAISED", "held_as", "packed_outcome"]

RAISED = b"\0"
"""The first byte of a failure that a worker has packed."""

_LENGTH = Struct(">I")

_HELD = Struct(">16sI")


def held_as(id: UUID, token: int) -> bytes:
    """A claim as ``reconcile.lua`` compares it."""
    return _HELD.pack(id.bytes, token)


_OUTCOME = Struct(">16sIBBBHddd")
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
        outcome.version or 0,
        ticks_in(outcome.delay),
        ticks_in(outcome.seconds),
        ticks_in(outcome.keep_for or 0.0),
    )
    return b"".join([head, *parts])


def _packed_failure(failure: Failure) -> bytes:
    return RAISED + packed_name(failure.exception) + encoded(failure.traceback)
