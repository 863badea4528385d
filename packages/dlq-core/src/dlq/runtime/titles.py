"""What ``ps`` shows of the processes of a runner: what they are, never the arguments of a job."""

from __future__ import annotations

import contextlib

__all__ = ["set_title"]


def set_title(text: str) -> None:
    """Name this process, where the package setproctitle is installed."""
    with contextlib.suppress(ImportError):
        from setproctitle import setproctitle

        setproctitle(f"dlq: {text}")
