"""``ServiceLink``: the parent's side of its service process."""

from __future__ import annotations

import signal
import socket
from typing import Any

from dlq.runtime.messages import Lines, encode
from dlq.runtime.seat import Seat, send_signal

__all__ = ["ServiceLink"]

PATIENCE = 1.0
"""Seconds for which the parent waits until the service takes a message."""


class ServiceLink:
    """Tells the service who died, until it has confirmed that; hears what it sees in the stores."""

    def __init__(self, seat: Seat) -> None:
        """``seat`` is the service's."""
        self._seat = seat
        self._channel: socket.socket | None = None
        self._lines = Lines()
        self._unburied: dict[str, bytes] = {}
        """What the service must do and has not confirmed: told again to its successor."""

    def open(self) -> socket.socket:
        """Make a channel for the next service process; returns that process's end."""
        self.close()
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(PATIENCE)
        return theirs

    def repeat(self) -> None:
        """Tell a new service what its predecessor has not confirmed."""
        for message in self._unburied.values():
            self._send(message)

    def bury(self, worker: str, grave: dict[str, Any]) -> None:
        """Have the service take back what a dead worker held."""
        self._unburied[worker] = message = encode({"id": worker, **grave})
        self._send(message)

    def say_stop(self) -> None:
        """Have the service settle what is open, say goodbye to the stores, and end."""
        self._send(encode({"stop": True}))

    def fileno(self) -> int | None:
        """What to wait for; None while there is no channel."""
        return None if self._channel is None else self._channel.fileno()

    def hear(self) -> list[dict[str, Any]]:
        """What the service has said, but for its confirmations, which are taken note of here."""
        if self._channel is None:
            return []
        try:
            heard = self._channel.recv(65536)
        except OSError:
            heard = b""
        if not heard:
            self.close()
            return []
        news = []
        for message in self._lines.feed(heard):
            if "buried" in message:
                self._unburied.pop(message["buried"], None)
            else:
                news.append(message)
        return news

    def close(self) -> None:
        """Forget the channel: the service is gone, or this process is not its parent."""
        if self._channel is not None:
            self._channel.close()
        self._channel, self._lines = None, Lines()

    def _send(self, message: bytes) -> None:
        if self._channel is None:
            return
        try:
            self._channel.sendall(message)
        except OSError:
            # It is dead, or hangs. What it has not confirmed is told to its successor.
            send_signal(self._seat.pid, signal.SIGKILL)
