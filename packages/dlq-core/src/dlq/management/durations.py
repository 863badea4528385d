"""Durations as people type them: ``90s``, ``1h30m``, ``7d``."""

from __future__ import annotations

import re
from datetime import timedelta

__all__ = ["parse_duration"]

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile("".join(rf"(?:([0-9]{{1,10}}){unit})?" for unit in _UNITS))
LONGEST = 36_525 * 86_400
"""Seconds. No store can count back from now for longer than there have been years."""


def parse_duration(text: str) -> timedelta:
    """Read whole numbers of weeks, days, hours, minutes and seconds, in this order: ``1w2d3h4m5s``.

    Raises ValueError.
    """
    found = _DURATION.fullmatch(text) if text else None
    if found is None:
        raise ValueError(f"{text!r} is no duration; write one such as 90s, 1h30m, 7d or 2w.")
    numbers = [int(number or 0) for number in found.groups()]
    seconds = sum(number * unit for number, unit in zip(numbers, _UNITS.values(), strict=True))
    if seconds > LONGEST:
        raise ValueError(f"{text!r} is longer than a hundred years.")
    return timedelta(seconds=seconds)
