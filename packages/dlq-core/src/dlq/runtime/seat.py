"""``Seat``: a place for one child of a runner, which is filled again when the child has ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dlq.conf import WorkerPool
from dlq.runtime.messages import encode
from dlq.runtime.page import Page
from dlq.workers import Order

__all__ = ["HEALTHY_AFTER", "LONGEST_PAUSE", "Kill", "Seat", "send_signal"]

LONGEST_PAUSE = 30.0
"""The longest wait in seconds before a child that keeps dying is started again."""
HEALTHY_AFTER = 10.0
"""A child that lived for so many seconds is started again at once."""


@dataclass(frozen=True, slots=True)
class Kill:
    """Why a worker was killed by its parent."""

    why: str
    """In words, for those who ask what became of its jobs."""
    overdue: str | None = None
    """Id of the job that ignored its timeout."""
    deliberate: bool = False
    """Whether it was no job's fault: all of them go back uncounted."""


@dataclass(slots=True)
class Seat:
    """A place for a worker, or for the service."""

    start: Callable[[Seat], int]
    """Forks; returns the process id."""
    pool: WorkerPool | None = None
    """None for the service."""
    alias: str = ""
    pid: int = 0
    """0 while nobody sits here."""
    worker_id: str = ""
    page: Page = field(default_factory=Page)
    channel: socket.socket | None = None
    """Leads to the worker."""
    order: Order = Order.WORK
    """What an operator has told whoever sits here: it holds for successors too."""
    started_at: float = 0.0
    start_at: float = 0.0
    deaths: int = 0
    killed: Kill | None = None

    def fill(self, now: float) -> None:
        """Start a child here, if nobody sits here and it is time."""
        if not self.pid and self.start_at <= now:
            self.started_at, self.killed = now, None
            self.pid = self.start(self)

    def vacate(self, worn: bool) -> None:
        """The child has ended: say when the next may start. One that was worn out has not failed."""
        now = time.monotonic()
        healthy = worn or now - self.started_at > HEALTHY_AFTER
        self.pid, self.deaths = 0, 0 if healthy else self.deaths + 1
        pause = 0.0 if self.deaths <= 1 else min(LONGEST_PAUSE, 0.1 * 2 ** min(self.deaths, 16))
        self.start_at = now + pause
        self.hang_up()

    def kill(self, kill: Kill) -> None:
        """End the child at once."""
        self.killed = kill
        send_signal(self.pid, signal.SIGKILL)

    def tell(self, message: dict[str, Any]) -> None:
        """Pass a message on. What a busy worker has no room for is dropped: all of it is repeated."""
        if self.channel is not None:
            with contextlib.suppress(OSError):
                self.channel.send(encode(message))

    def open_channel(self) -> socket.socket:
        """Make a channel for the next child; returns the child's end."""
        self.hang_up()
        self.channel, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
        self.channel.setblocking(False)
        return theirs

    def hang_up(self) -> None:
        """Close this end of the channel."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None


def send_signal(pid: int, number: int) -> None:
    """Send a signal to a child that may have ended, or that is not there."""
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
