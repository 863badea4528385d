"""What scripts have counted, as ``lua/parts/batch.lua`` packs it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dlq_redis.clock import moment, ticks
from dlq_redis.texts import name_at

__all__ = ["figures_of", "minute_at", "minute_from"]

_MINUTE = 60_000_000

_FIGURES = {
    b"e": "enqueued",
    b"d": "duplicates",
    b"s": "succeeded",
    b"f": "failed",
    b"c": "cancelled",
    b"r": "retried",
    b"i": "interrupted",
    b"t": "seconds",
}


def figures_of(flat: Sequence[bytes]) -> list[tuple[tuple[str, str], dict[str, Any]]]:
    """Figures by queue and task, sorted; their names are a letter, the queue and the task."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    values = iter(flat)
    for name, value in zip(values, values, strict=True):
        figure = _FIGURES[name[:1]]
        queue, end = name_at(name, 1)
        task, _ = name_at(name, end)
        number = int(value)
        found.setdefault((queue, task), {})[figure] = number / 1e6 if figure == "seconds" else number
    return sorted(found.items())


def minute_from(at: datetime) -> int:
    """The number of the first minute that begins then, or later."""
    return -(-ticks(at) // _MINUTE)


def minute_at(number: bytes) -> datetime:
    """When the minute of this number began."""
    return moment(int(number) * _MINUTE)
