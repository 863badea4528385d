"""How long to pause between two looks at a job that is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

__all__ = ["pauses"]

SHORTEST = 0.05
LONGEST = 1.0
GROWTH = 1.5


def pauses(timeout: float | None, clock: Callable[[], float] = time.monotonic) -> Iterator[float]:
    """Seconds to pause, longer each time, until ``timeout`` seconds are over by the clock; None never ends.

    The last pause ends with the timeout.
    """
    ends_at = None if timeout is None else clock() + timeout
    pause = SHORTEST
    while ends_at is None or (left := ends_at - clock()) > 0:
        yield pause if ends_at is None else min(pause, left)
        pause = min(pause * GROWTH, LONGEST)
