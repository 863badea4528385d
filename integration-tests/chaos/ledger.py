"""``Ledger``: what the tasks of ``project.chaotic`` wrote, outside of every store."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

__all__ = ["Entry", "Ledger"]


class Entry(NamedTuple):
    """A line of a task."""

    event: str
    id: UUID
    token: int
    attempt: int
    pid: int
    at: float


class Ledger:
    """Reads the file as it grows. For any thread."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is that of the traces."""
        self._file = folder / "ledger"
        self._read = 0
        self._lock = threading.Lock()
        self._entries: list[Entry] = []

    def entries(self) -> list[Entry]:
        """All lines until now, in the order in which they were written."""
        with self._lock:
            self._entries += self._new()
            return list(self._entries)

    def first_end(self, ids: Collection[UUID]) -> float | None:
        """When the first of these jobs had ended; None while none has."""
        return min((e.at for e in self.entries() if e.event == "end" and e.id in ids), default=None)

    def _new(self) -> Iterator[Entry]:
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(end)
        for line in whole.decode().splitlines():
            event, id, token, attempt, pid, at = line.split()
            yield Entry(event, UUID(id), int(token), int(attempt), int(pid), float(at))
