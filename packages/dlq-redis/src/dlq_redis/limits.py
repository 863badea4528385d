"""What holds a job back beside its time, as scripts read it."""

from __future__ import annotations

from struct import Struct

from dlq.limits import LINE_LENGTH, Limits, Slot, line_of, policy_of
from dlq_redis.texts import name_at, packed_name

__all__ = ["limits_of", "packed_limits", "semaphore_of"]

_SLOTS = Struct(">H")


def packed_limits(queue: str, limits: Limits | None) -> bytes:
    """The line, the number of slots, and the key; empty without limits.

    The keys of other backends are others, and so are their slots.
    """
    if limits is None:
        return b""
    line = line_of("", queue, limits).encode()
    return line + _SLOTS.pack(limits.slot.limit) + packed_name(limits.slot.key)


def limits_of(raw: bytes) -> Limits | None:
    """What ``packed_limits`` has packed."""
    if not raw:
        return None
    key, slots = semaphore_of(raw[LINE_LENGTH:])
    return Limits(slot=Slot(key=key, limit=slots, policy=policy_of(raw[:LINE_LENGTH].decode())))


def semaphore_of(raw: bytes) -> tuple[str, int]:
    """A key and its number of slots, as scripts keep them."""
    key, _ = name_at(raw, _SLOTS.size)
    return key, _SLOTS.unpack_from(raw)[0]
