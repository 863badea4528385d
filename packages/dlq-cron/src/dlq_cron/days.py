"""Times of days of the week: ``weekdays(at="09:30")``, or a span, ``daily(after="08:00", before="17:00")``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from dlq_cron.civil import instant_of, wall_time
from dlq_cron.expression import Expression, Moment

__all__ = ["EVERY_DAY", "At", "Daily"]

EVERY_DAY = frozenset(range(1, 8))
"""Of the week; 1 is Monday."""


@dataclass(frozen=True)
class At(Moment):
    """At a time of some days of the week; where clocks skip it, at the first instant after the gap."""

    at: time
    days: frozenset[int] = EVERY_DAY

    def next(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        return _next_at(self.at, self.days, after, zone)

    def __str__(self) -> str:
        return _call(self.days, at=self.at)


@dataclass(frozen=True)
class Daily(Expression):
    """From one time to another of some days of the week; one that ends before it begins ends on the day after."""

    after: time | None = None
    before: time | None = None
    days: frozenset[int] = EVERY_DAY

    is_span = True

    def next(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        return _next_at(self.after or time(), self.days, after, zone)

    def holds(self, at: datetime, zone: ZoneInfo) -> bool:
        today = wall_time(at, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        return any(
            self._opens(day, zone) <= at < self._closes(day, zone)
            for day in (today - timedelta(days=1), today)
            if day.isoweekday() in self.days
        )

    def resume(self, at: datetime, zone: ZoneInfo) -> datetime | None:
        return at if self.holds(at, zone) else self.next(at, zone)

    def change(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        today = wall_time(after, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        days = [today + timedelta(days=number) for number in range(-1, 9)]
        bounds = [
            bound(day, zone)
            for day in days
            if day.isoweekday() in self.days
            for bound in (self._opens, self._closes)
        ]
        return min((at for at in bounds if at > after), default=None)

    def _opens(self, day: datetime, zone: ZoneInfo) -> datetime:
        return instant_of(datetime.combine(day, self.after or time()), zone)

    def _closes(self, day: datetime, zone: ZoneInfo) -> datetime:
        before = self.before or time()
        ends = day if before > (self.after or time()) else day + timedelta(days=1)
        return instant_of(datetime.combine(ends, before), zone)

    def __str__(self) -> str:
        return _call(self.days, after=self.after, before=self.before)


def _next_at(at: time, days: frozenset[int], after: datetime, zone: ZoneInfo) -> datetime | None:
    today = wall_time(after, zone)
    for number in range(9):
        wall = datetime.combine(today.date() + timedelta(days=number), at)
        if wall.isoweekday() in days and (instant := instant_of(wall, zone)) > after:
            return instant
    return None


def _call(days: frozenset[int], **times: time | None) -> str:
    """``daily()``, ``weekdays()`` or ``weekends()``, as they are written."""
    name = {5: "weekdays", 2: "weekends"}.get(len(days), "daily")
    given = ", ".join(f'{word}="{_short(at)}"' for word, at in times.items() if at is not None)
    return f"{name}({given})"


def _short(at: time) -> str:
    return at.isoformat("auto" if at.second or at.microsecond else "minutes")
