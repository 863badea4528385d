"""``Page``: memory that a child shares with its parent, readable after the child's death."""

from __future__ import annotations

import mmap
import struct
import threading
import time
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from dlq.job import Claim

__all__ = ["NEVER", "Page", "Started", "Why"]

_HEADER = struct.Struct("<d")
_SLOT = struct.Struct("<???5x16sqd")
_EXPENDABLE, _CANCELLED = 1, 2  # where these fields of a slot are
_KILL_AT = struct.Struct("<d")  # the last field of a slot
NEVER = float("inf")

type Why = Literal["time", "cancelled"]
"""Why a process is to be killed: a job ignored its timeout, or that it is to be cancelled."""


@dataclass(frozen=True, slots=True)
class Started:
    """A job that a child has started and not finished."""

    id: UUID
    token: int
    kill_at: float
    """When its process is to be killed, by the monotonic clock that all processes of a machine share."""
    why: Why = "time"
    """What it is to be killed for then."""
    expendable: bool = False
    """Whether a runner that stops may kill it at once (``sigkill_on_stop``)."""


class Page:
    """One entry for each slot of a worker. Claims that are not listed have not started.

    Made before the fork, written on one side of it and read on the other.
    """

    def __init__(self, slots: int = 0) -> None:
        """Memory for ``slots`` jobs."""
        self._slots = slots
        self._memory = mmap.mmap(-1, _HEADER.size + slots * _SLOT.size)
        self._free = list(range(slots))
        self._lock = threading.Lock()

    # --- Written by a worker ---

    def start(self, claim: Claim) -> int:
        """List a job that is about to start; returns its slot."""
        slot = self._free.pop()
        at = self._at(slot)
        entry = _SLOT.pack(True, False, False, claim.id.bytes, claim.token, NEVER)
        # The first byte says that the rest is valid: it comes last, in case the process dies in between.
        self._memory[at + 1 : at + _SLOT.size] = entry[1:]
        self._memory[at] = entry[0]
        return slot

    def give_up_on_stop(self, slot: int) -> None:
        """Let the parent kill this process as soon as it stops, if all of its jobs allow that."""
        self._memory[self._at(slot) + _EXPENDABLE] = True

    def limit(self, slot: int, kill_at: float, why: Why = "time") -> None:
        """Ask the parent to kill this process when the job is still listed at that time; the first time holds."""
        at = self._at(slot)
        with self._lock:
            if kill_at < _KILL_AT.unpack_from(self._memory, at + _SLOT.size - _KILL_AT.size)[0]:
                self._memory[at + _CANCELLED] = why == "cancelled"
                _KILL_AT.pack_into(self._memory, at + _SLOT.size - _KILL_AT.size, kill_at)

    def finish(self, slot: int) -> None:
        """Take a job off the list."""
        self._memory[self._at(slot)] = 0
        self._free.append(slot)

    # --- Read by the parent ---

    def started(self) -> list[Started]:
        """The jobs that run, or ran when the child died."""
        entries = (_SLOT.unpack_from(self._memory, self._at(slot)) for slot in range(self._slots))
        return [
            Started(UUID(bytes=id), token, kill_at, "cancelled" if cancelled else "time", expendable)
            for valid, expendable, cancelled, id, token, kill_at in entries
            if valid
        ]

    # --- A sign of life ---

    def touch(self) -> None:
        """Say that the writer lives."""
        _HEADER.pack_into(self._memory, 0, time.monotonic())

    def silence(self) -> float:
        """Seconds since the last sign of life."""
        touched: float = _HEADER.unpack_from(self._memory, 0)[0]
        return time.monotonic() - touched

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()

    def _at(self, slot: int) -> int:
        return _HEADER.size + slot * _SLOT.size
