"""``Supervisor``: what systemd wants to hear from a service of ``Type=notify`` (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket
import time

__all__ = ["Supervisor"]


class Supervisor:
    """Tells systemd that the runner is ready, alive and stopping; says nothing where there is no systemd."""

    def __init__(self) -> None:
        """Read ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC``, and take them away from children."""
        self._address = os.environ.pop("NOTIFY_SOCKET", None)
        microseconds = os.environ.pop("WATCHDOG_USEC", "")
        for_whom = os.environ.pop("WATCHDOG_PID", "")
        ours = for_whom in ("", str(os.getpid()))
        self.interval: float | None = None
        """Seconds between two signs of life; None when nobody waits for them."""
        if self._address and ours and microseconds.isdigit() and int(microseconds):
            self.interval = int(microseconds) / 1e6 / 2
        self._due = 0.0

    def ready(self) -> None:
        """The runner has started."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """The runner has been told to stop."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """The control loop goes round; called as often as it does."""
        now = time.monotonic()
        if self.interval is not None and now >= self._due:
            self._due = now + self.interval
            self._tell("WATCHDOG=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        # An address with @ in front is in Linux's abstract namespace, whose names begin with NUL.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.sendto(text.encode(), address)
