"""``Outage``: patience with a store that does not answer, and few words about it."""

from __future__ import annotations

import logging
import random

from dlq.errors import StoreError
from dlq.hooks import report_error
from dlq.logs import get_logger

__all__ = ["Outage"]

logger = get_logger("dlq.store")

FIRST = 0.1
"""Seconds until the first repetition."""


class Outage:
    """Counts the failures since a store last answered, and says how long to wait before the next call."""

    def __init__(self, what: str, longest: float) -> None:
        """``what`` is told in the log; ``longest`` is the longest wait in seconds."""
        self._what = what
        self._longest = longest
        self._failures = 0
        self._told: type[StoreError] | None = None
        """The kind of error that the log shows: a store that comes back may have another reason to fail."""

    def failed(self, error: StoreError) -> float:
        """Take note of a failure; returns the seconds to wait, with jitter so that a fleet comes back spread."""
        self._failures += 1
        wait: float = min(self._longest, FIRST * 2 ** min(self._failures - 1, 16)) * random.uniform(0.5, 1.0)
        is_news, self._told = type(error) is not self._told, type(error)
        level = logging.WARNING if is_news else logging.DEBUG
        logger.log(level, "%s: %s. Trying again until it is back.", self._what, str(error).rstrip("."))
        if is_news:
            report_error(error, self._what)
        return wait

    def over(self) -> bool:
        """Take note of an answer; returns whether it ended an outage."""
        ended, self._failures, self._told = self._failures > 0, 0, None
        if ended:
            logger.warning("%s: the store is back.", self._what)
        return ended
