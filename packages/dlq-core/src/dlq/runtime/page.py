"""``Page``: memory that a child shares with its parent, readable after the child's death."""

from __future__ import annotations

import mmap
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal
from uuid import UUID

from dlq.job import Claim

__all__ = ["NEVER", "Gate", "Page", "Started", "Why"]

_HEADER = struct.Struct("<dB??5x")
_TOUCHED = struct.Struct("<d")  # the first field of the header
_GATE, _ASKS, _QUIET = 8, 9, 10  # where these fields of the header are
_SLOT = struct.Struct("<B??5x16sqd")
_RUNS, _ENDED = 1, 2  # the first field of a slot; 0 says that the rest means nothing
_KEY = struct.Struct("<16sq")  # the fields that tell a claim, and where they are
_KEY_AT = 8
_EXPENDABLE, _CANCELLED = 1, 2  # where these fields of a slot are
_KILL_AT = struct.Struct("<d")  # the last field of a slot
NEVER = float("inf")
ENDED_KEPT = 16
"""How many jobs that have ended are kept at least. Under at-most-once a worker has hardly more than slots."""


class Gate(IntEnum):
    """What a worker may start; see ``dlq.runtime.solitude``."""

    OPEN = 0
    """Jobs as they come."""
    HELD = 1
    """Nothing: another worker of the runner is to be alone."""
    GRANTED = 2
    """The job for which it has asked to be alone, and nothing else."""
    REFUSED = 3
    """Jobs as they come, but for that one, which is to be put off: the others did not become quiet."""


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


_GATES = tuple(Gate)


class Page:
    """An entry for each slot of a worker, and some for jobs that have ended. Claims not listed have not started.

    Made before the fork, written on one side of it and read on the other.
    """

    def __init__(self, slots: int = 0) -> None:
        """Memory for ``slots`` jobs that run."""
        self._slots = 4 * slots + ENDED_KEPT
        self._memory = mmap.mmap(-1, _HEADER.size + self._slots * _SLOT.size)
        self._free = list(range(self._slots))
        self._ended: dict[tuple[bytes, int], int] = {}
        """The slots of jobs that have ended, by id and token, the oldest first."""
        self._lock = threading.Lock()

    # --- Written by a worker ---

    def start(self, claim: Claim) -> int:
        """List a job that is about to start; returns its slot."""
        with self._lock:
            slot = self._free.pop() if self._free else self._ended.pop(next(iter(self._ended)))
        at = self._at(slot)
        self._memory[at] = 0
        entry = _SLOT.pack(_RUNS, False, False, claim.id.bytes, claim.token, NEVER)
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
        """Say that a job has ended. That is kept, while there is room, until the store knows how."""
        at = self._at(slot)
        with self._lock:
            self._memory[at] = _ENDED
            self._ended[_KEY.unpack_from(self._memory, at + _KEY_AT)] = slot

    def settle(self, claims: Iterable[tuple[UUID, int]]) -> None:
        """Take those jobs off the list, by id and token, of which the store knows how they have ended."""
        with self._lock:
            for id, token in claims:
                if (slot := self._ended.pop((id.bytes, token), None)) is not None:
                    self._memory[self._at(slot)] = 0
                    self._free.append(slot)

    # --- Read by the parent ---

    def started(self) -> list[Started]:
        """The jobs that run, or ran when the child died."""
        return [
            Started(UUID(bytes=id), token, kill_at, "cancelled" if cancelled else "time", expendable)
            for _, expendable, cancelled, id, token, kill_at in self._entries(_RUNS)
        ]

    def ended(self) -> list[tuple[UUID, int]]:
        """The jobs, by id and token, that have run, and of which the store may not know it."""
        return [(UUID(bytes=id), token) for _, _, _, id, token, _ in self._entries(_ENDED)]

    def _entries(self, state: int) -> Iterator[tuple[int, bool, bool, bytes, int, float]]:
        for at in range(_HEADER.size, self._at(self._slots), _SLOT.size):
            if self._memory[at] == state:
                yield _SLOT.unpack_from(self._memory, at)

    # --- A sign of life ---

    def touch(self) -> None:
        """Say that the writer lives."""
        _TOUCHED.pack_into(self._memory, 0, time.monotonic())

    def silence(self) -> float:
        """Seconds since the last sign of life."""
        touched: float = _TOUCHED.unpack_from(self._memory, 0)[0]
        return time.monotonic() - touched

    # --- To be alone ---

    @property
    def gate(self) -> Gate:
        """What the worker may start. Written by the parent."""
        return _GATES[self._memory[_GATE]]

    @gate.setter
    def gate(self, gate: Gate) -> None:
        self._memory[_GATE] = gate

    @property
    def asks(self) -> bool:
        """Whether the worker wants to be alone, or is and wants to stay so. Written by the worker."""
        return self._memory[_ASKS] != 0

    @asks.setter
    def asks(self, asks: bool) -> None:
        self._memory[_ASKS] = asks

    @property
    def is_quiet(self) -> bool:
        """Whether the worker has seen that it is held, and runs nothing. Set by the worker, reset by the parent."""
        return self._memory[_QUIET] != 0

    @is_quiet.setter
    def is_quiet(self, is_quiet: bool) -> None:
        self._memory[_QUIET] = is_quiet

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()

    def _at(self, slot: int) -> int:
        return _HEADER.size + slot * _SLOT.size
