"""How the processes of a runner bring together what they count: without a file, and without waiting for each other.

The parent makes a ``Channel`` before it has any children. Workers send what they have counted about once a second; the
service, which alone serves it, adds it up. What it has, it also leaves in memory that all share, so that the next
service goes on from there when one has died. A worker that is killed takes the last second along.
"""

from __future__ import annotations

import json
import mmap
import socket
import zlib
from collections.abc import Iterator
from itertools import batched
from struct import Struct

from dlq_metrics.figures import Entry

__all__ = ["Channel"]

KEPT = 8 * 1024 * 1024
"""Bytes that are shared; only those that are written take memory."""
AT_ONCE = 100
"""Entries in one datagram: even with long names they fit."""
LONGEST = 1 << 18

_HEADER = Struct(">QII")


class Channel:
    """Leads from the workers of a runner to its service."""

    def __init__(self) -> None:
        """Made in the parent: whatever is forked has both ends."""
        self._reader, self._writer = socket.socketpair(type=socket.SOCK_DGRAM)
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._kept = mmap.mmap(-1, KEPT)
        self._number = 0

    def send(self, entries: list[Entry]) -> list[Entry]:
        """Send as much as there is room for; returns the rest."""
        for batch in batched(entries, AT_ONCE):
            try:
                self._writer.send(json.dumps(batch).encode())
            except OSError:
                return entries[entries.index(batch[0]) :]
        return []

    def receive(self) -> Iterator[Entry]:
        """What was sent since the last time."""
        while True:
            try:
                yield from json.loads(self._reader.recv(LONGEST))
            except OSError:
                return

    def keep(self, entries: list[Entry]) -> None:
        """Leave this for the next service. Written in turn to one of two places: a kill in between spoils one."""
        raw = json.dumps(entries).encode()
        if len(raw) + _HEADER.size > KEPT // 2:
            return
        self._number += 1
        at = (self._number % 2) * (KEPT // 2)
        self._kept[at + _HEADER.size : at + _HEADER.size + len(raw)] = raw
        self._kept[at : at + _HEADER.size] = _HEADER.pack(self._number, len(raw), zlib.crc32(raw))

    def kept(self) -> list[Entry]:
        """What the last service has left, if anything."""
        for number, raw in sorted((self._place(at) for at in (0, KEPT // 2)), reverse=True):
            if raw:
                self._number = number
                entries: list[Entry] = json.loads(raw)
                return entries
        return []

    def close(self) -> None:
        """Give up this process's ends."""
        self._reader.close()
        self._writer.close()
        self._kept.close()

    def _place(self, at: int) -> tuple[int, bytes]:
        number, length, check = _HEADER.unpack(self._kept[at : at + _HEADER.size])
        raw = self._kept[at + _HEADER.size : at + _HEADER.size + length]
        return (number, raw) if zlib.crc32(raw) == check else (0, b"")
