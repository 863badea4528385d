"""How a process ended, in words."""

from __future__ import annotations

import os
import signal

__all__ = ["describe_exit"]


def describe_exit(status: int) -> str:
    """A wait status as people read it: ``exited with signal 9 (SIGKILL)``."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = f" ({signal.Signals(-code).name})"
    except ValueError:
        name = ""
    return f"exited with signal {-code}{name}"
