"""Times as the server keeps them: microseconds of the epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["moment", "ticks", "ticks_in"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def ticks(at: datetime) -> int:
    """A time in microseconds."""
    return (at - _EPOCH) // _TICK


def ticks_in(seconds: float) -> int:
    """A number of seconds in microseconds."""
    return round(seconds * 1_000_000)


def moment(at: float | bytes) -> datetime:
    """The time that stands for these microseconds."""
    return _EPOCH + timedelta(microseconds=int(at))
