"""Signals as the parent of a runner waits for them: together with everything else that it waits for."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

__all__ = ["HEEDED", "dead_children", "signal_pipe"]

HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""Those that ask for something."""


@contextlib.contextmanager
def signal_pipe(received: list[int]) -> Iterator[int]:
    """A file descriptor that becomes readable when a signal arrives; those that are ``HEEDED`` are listed."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    before = {number: signal.signal(number, lambda n, _: received.append(n)) for number in HEEDED}
    before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    try:
        yield readable
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(readable)
        os.close(writable)


def dead_children() -> Iterator[tuple[int, int]]:
    """The children that have ended since the last call, each with its wait status."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            yield pid, status
