"""From the time on a clock on the wall to an instant, and back, over the changes of a zone's offset.

The one rule: a time that the clocks skip stands for the first instant after the gap, and a time that they show twice
for the first of the two.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

__all__ = ["LEAST", "instant_of", "is_repeated", "is_skipped", "start_of_repetition", "wall_time"]

LEAST = timedelta(microseconds=1)
"""The least difference between two times."""


def wall_time(instant: datetime, zone: ZoneInfo) -> datetime:
    """What clocks show at an instant, without a zone; its ``fold`` is 1 when they show it for the second time."""
    return instant.astimezone(zone).replace(tzinfo=None)


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, at which clocks first show this time; where they skip it, the first after the gap.

    A ``fold`` of 1 asks for the second time that they show it.
    """
    if is_skipped(wall, zone):
        early, late = _offsets(wall, zone)
        return _first_with_new_offset(
            (wall - late).replace(tzinfo=UTC), (wall - early).replace(tzinfo=UTC), zone
        )
    offset = zone.utcoffset(wall)
    assert offset is not None
    return (wall - offset).replace(tzinfo=UTC, fold=0)


def is_skipped(wall: datetime, zone: ZoneInfo) -> bool:
    """Whether clocks never show this time."""
    before, since = _offsets(wall, zone)
    return before < since


def is_repeated(wall: datetime, zone: ZoneInfo) -> bool:
    """Whether clocks show this time twice."""
    before, since = _offsets(wall, zone)
    return before > since


def start_of_repetition(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first of the times that clocks show twice, around one that they do, with a ``fold`` of 1."""
    before, since = _offsets(wall, zone)
    change = _first_with_new_offset(
        (wall - before).replace(tzinfo=UTC), (wall - since).replace(tzinfo=UTC), zone
    )
    return wall_time(change, zone).replace(fold=1)


def _offsets(wall: datetime, zone: ZoneInfo) -> tuple[timedelta, timedelta]:
    """The offsets from UTC before and since the change at this time; the same, where there is none."""
    before, since = zone.utcoffset(wall.replace(fold=0)), zone.utcoffset(wall.replace(fold=1))
    assert before is not None
    assert since is not None
    return before, since


def _first_with_new_offset(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """The instant of the one change between two that have different offsets; it is at a whole second."""
    new = late.astimezone(zone).utcoffset()
    low, high = int(early.timestamp()), int(late.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == new:
            high = middle
        else:
            low = middle
    return datetime.fromtimestamp(high, UTC)
