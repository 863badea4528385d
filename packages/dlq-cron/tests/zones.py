"""Every change of a clock in 2020–2030, and an oracle for what cron text means around it.

The oracle computes no offset of a wall time: it lets time pass minute by minute, looks at the clock on the wall, and
writes down what it shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
FIRST, LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
AROUND = timedelta(hours=30)
"""Before and after a change."""


class Change(NamedTuple):
    """A zone and the first instant with another offset."""

    zone: str
    at: datetime
    before: timedelta
    since: timedelta


@dataclass(frozen=True)
class Spec:
    """Cron text, as sets of numbers that were written down beside it and not read from it."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    by_hours_that_pass: bool
    isoweekdays: frozenset[int] = frozenset(range(1, 8))

    def matches(self, wall: datetime) -> bool:
        return (
            wall.minute in self.minutes and wall.hour in self.hours and wall.isoweekday() in self.isoweekdays
        )


ALL_HOURS, ALL_MINUTES = frozenset(range(24)), frozenset(range(60))


def specs_around(change: Change) -> Iterator[Spec]:
    """Specs that mean something at a change: its own hours, those before and after, and such as always pass."""
    wall = (change.at + min(change.before, change.since)).replace(tzinfo=None)
    for hour in {wall.hour, (wall.hour + 1) % 24, (wall.hour - 1) % 24}:
        for minute in {0, 30, 59, wall.minute}:
            yield Spec(f"{minute} {hour} * * *", frozenset({minute}), frozenset({hour}), False)
    hour, later = wall.hour, (wall.hour + 1) % 24
    yield Spec(f"*/20 {hour} * * *", frozenset({0, 20, 40}), frozenset({hour}), False)
    yield Spec(f"15,45 {hour},{later} * * *", frozenset({15, 45}), frozenset({hour, later}), False)
    day = wall.isoweekday()
    yield Spec(f"7 {hour} * * {day % 7}", frozenset({7}), frozenset({hour}), False, frozenset({day}))
    yield Spec("*/15 * * * *", frozenset({0, 15, 30, 45}), ALL_HOURS, True)
    yield Spec("30 * * * *", frozenset({30}), ALL_HOURS, True)
    yield Spec("10 */2 * * *", frozenset({10}), frozenset(range(0, 24, 2)), True)


def fires(spec: Spec, walls: Sequence[tuple[datetime, datetime]]) -> list[datetime]:
    """When a spec fires: ``walls`` are the minutes that pass, each with what the clock on the wall shows."""
    if spec.by_hours_that_pass:
        return [instant for instant, wall in walls if spec.matches(wall)]
    found, shown = list[datetime](), walls[0][1] - MINUTE
    for instant, wall in walls:
        # All that the clock has come past since it showed its latest time until now, skipped or not.
        while shown < wall:
            shown += MINUTE
            if spec.matches(shown) and found[-1:] != [instant]:
                found.append(instant)
    return found


def minutes_around(change: Change) -> list[tuple[datetime, datetime]]:
    """The minutes around a change, each with what clocks show; none of them before the first may repeat."""
    zone, start = ZoneInfo(change.zone), (change.at - AROUND).replace(second=0, microsecond=0)
    count = 2 * int(AROUND / MINUTE)
    instants = [start + number * MINUTE for number in range(count)]
    return [(instant, instant.astimezone(zone).replace(tzinfo=None, fold=0)) for instant in instants]


@cache
def all_changes() -> list[Change]:
    """Every change of every zone of the tz database."""
    return [change for zone in sorted(available_timezones()) for change in _changes_of(zone)]


@cache
def different_changes() -> list[Change]:
    """One of those that are alike: at the same instant, from and to the same offset."""
    return list({change[1:]: change for change in all_changes()}.values())


def _changes_of(name: str) -> Iterator[Change]:
    zone, at = ZoneInfo(name), FIRST
    while at < LAST:
        later = at + 10 * DAY  # No two changes are closer: Morocco's clocks are set back for a month.
        before, since = _offset(zone, at), _offset(zone, later)
        if before != since:
            low, high = at, later
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) / 2
                low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
            yield Change(name, high.replace(microsecond=0), before, since)
        at = later


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return offset
