"""Moments: cron text, intervals that pass, and single instants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from dlq_cron import crontext
from dlq_cron.civil import (
    LEAST,
    instant_of,
    is_repeated,
    is_skipped,
    start_of_repetition,
    wall_time,
)
from dlq_cron.expression import Moment

__all__ = ["EPOCH", "Cron", "Every", "Once"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Cron(Moment):
    """Cron text: five fields, six with seconds in front, or a preset.

    With hours that begin with ``*`` it goes by the hours that pass: what clocks show twice is due twice, and what they
    skip is not due. Otherwise it goes by the hours of the day: what they skip is due at the first instant after
    the gap, and what they show twice is due the first time.
    """

    text: str

    def __post_init__(self) -> None:
        """Read the text.

        Raises SpecError.
        """
        _ = self.meaning

    @cached_property
    def meaning(self) -> crontext.CronText:
        """What it means on a clock on the wall."""
        return crontext.read(self.text)

    def next(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        wall = wall_time(after, zone)
        return self._through(wall, zone) if self.meaning.runs_through else self._by_day(wall, after, zone)

    def _by_day(self, wall: datetime, after: datetime, zone: ZoneInfo) -> datetime | None:
        found = self.meaning.first(wall.replace(fold=0))
        while found is not None:
            instant = instant_of(found, zone)
            if instant > after:
                return instant
            found = self.meaning.first(found + LEAST)
        return None

    def _through(self, wall: datetime, zone: ZoneInfo) -> datetime | None:
        again = is_repeated(wall, zone)
        found = self._not_skipped(wall + LEAST, zone)
        if again and wall.fold:
            # The second time that clocks show these: what is found may be among them.
            if found is not None and is_repeated(found, zone):
                found = found.replace(fold=1)
        elif again and (found is None or not is_repeated(found, zone)):
            # The last of the first time: what begins now is the second.
            start = start_of_repetition(wall, zone)
            found = self.meaning.first(start.replace(fold=0))
            if found is not None and is_repeated(found, zone):
                found = found.replace(fold=1)
        return None if found is None else instant_of(found, zone)

    def _not_skipped(self, start: datetime, zone: ZoneInfo) -> datetime | None:
        found = self.meaning.first(start)
        while found is not None and is_skipped(found, zone):
            found = self.meaning.first(found + LEAST)
        return found

    def __str__(self) -> str:
        return f'cron("{self.text}")'


@dataclass(frozen=True)
class Every(Moment):
    """As often as an interval passes, whatever clocks show; counted from ``since``."""

    interval: timedelta
    since: datetime = EPOCH

    def next(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        passed = max((after - self.since) // self.interval, -1)
        try:
            return self.since.astimezone(UTC) + (passed + 1) * self.interval
        except OverflowError:
            return None  # After the year 9999.

    def __str__(self) -> str:
        seconds = self.interval.total_seconds()
        for unit, length in (
            ("weeks", 604_800),
            ("days", 86_400),
            ("hours", 3600),
            ("minutes", 60),
            ("seconds", 1),
        ):
            if seconds % length == 0 or unit == "seconds":
                count = int(seconds / length) if seconds % length == 0 else seconds
                return f"every({unit}={count}{self._since()})"
        raise AssertionError

    def _since(self) -> str:
        return "" if self.since == EPOCH else f', since="{self.since.isoformat()}"'


@dataclass(frozen=True)
class Once(Moment):
    """At one instant, and never again."""

    at: datetime

    def next(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        return self.at.astimezone(UTC) if self.at > after else None

    def __str__(self) -> str:
        return f'once("{self.at.isoformat()}")'
