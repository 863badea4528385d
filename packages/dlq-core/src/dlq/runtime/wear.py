"""When a worker has done enough and is to be replaced: after so many jobs, or above so much memory."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from dlq.conf import WorkerPool
from dlq.logs import get_logger

__all__ = ["MIB", "Wear", "resident_memory"]

logger = get_logger("dlq.worker")

MIB = 1024 * 1024


class Wear:
    """Counts what a worker has done against what its pool allows."""

    def __init__(self, pool: WorkerPool) -> None:
        """Nothing has been done yet."""
        self.left: float = pool.max_jobs or float("inf")
        """How many jobs it may still run."""
        self._max_memory = pool.max_memory * MIB
        self._is_fat = False
        if self._max_memory and (born := resident_memory(os.getpid())) > self._max_memory:
            logger.warning(
                "max_memory of %r is %d MiB, but a worker there holds %d before its first job: it is left alone.",
                pool.selector.text,
                pool.max_memory,
                born // MIB,
            )
            self._max_memory = 0

    @property
    def is_out(self) -> bool:
        """Whether it must not claim another job."""
        return self.left <= 0 or self._is_fat

    def counts(self, jobs: int) -> bool:
        """Take note of so many jobs that have run; returns ``is_out``."""
        self.left -= jobs
        if self._max_memory and jobs:
            self._is_fat = resident_memory(os.getpid()) > self._max_memory
        return self.is_out


def resident_memory(pid: int) -> int:
    """The bytes of memory that a process holds, those included that it shares; 0 when that cannot be known.

    Where there is no ``/proc``, only this process's own is known, and only the most that it ever was.
    """
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * resource.getpagesize()
    except OSError:
        if pid != os.getpid():
            return 0
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
