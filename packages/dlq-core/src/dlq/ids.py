"""Ids of jobs."""

from __future__ import annotations

import os
import time
from uuid import UUID

__all__ = ["new_job_id"]

_VERSION_7 = 7 << 76
_VARIANT = 2 << 62
_RAND_A = ((1 << 12) - 1) << 64
_RAND_B = (1 << 62) - 1


def new_job_id() -> UUID:
    """A UUID of version 7 (RFC 9562, 5.7): unique without asking the store, and kind to its indexes.

    Ids identify jobs and never order them: clocks of different machines differ.
    """
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    return UUID(int=milliseconds << 80 | _VERSION_7 | (random & _RAND_A) | _VARIANT | (random & _RAND_B))
