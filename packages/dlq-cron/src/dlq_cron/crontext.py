"""Cron text: ``croniter`` reads its fields, and this is what they mean on a clock on the wall."""

from __future__ import annotations

import re
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from croniter import CroniterError, croniter  # type: ignore[import-untyped]

from dlq_cron.errors import SpecError

__all__ = ["CronText", "read"]

YEARS = 40
"""How far ahead a matching day is looked for. Any day of a month and week comes around in 28 years, or 40 over 2100."""

_NUMBER = r"\d{1,2}"
_MONTH = r"(?:\d{1,2}|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_DAY = r"(?:\d|sun|mon|tue|wed|thu|fri|sat)"


def _items(value: str, *others: str) -> re.Pattern[str]:
    item = "|".join([rf"(?:[*?]|{value}(?:-{value})?)(?:/\d{{1,2}})?", *others])
    return re.compile(rf"(?:{item})(?:,(?:{item}))*")


FIELDS = {
    "seconds": (_items(_NUMBER), "0-59"),
    "minutes": (_items(_NUMBER), "0-59"),
    "hours": (_items(_NUMBER), "0-23"),
    "days of the month": (_items(_NUMBER, "l"), "1-31 or L"),
    "months": (_items(_MONTH), "1-12 or jan-dec"),
    "days of the week": (_items(_DAY, rf"{_DAY}#[1-5]", "l[0-7]"), "0-7 or sun-sat, mon#2, L5"),
}
PRESETS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True)
class CronText:
    """When a cron text holds, on a clock on the wall."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int] | None
    """Of the month; 0 is its last. None is any."""
    months: frozenset[int]
    weekdays: frozenset[int] | None
    """0 is Sunday. None is any."""
    nth_weekdays: frozenset[tuple[int, int]]
    """Which one in its month: the second Monday is (1, 2); 0 is the last."""
    runs_through: bool
    """Whether its hours begin with ``*``: it then goes by the hours that pass, and not by those of the day."""

    def first(self, start: datetime) -> datetime | None:
        """The first matching time from ``start`` on; None if there is none for decades."""
        if start.microsecond:
            start = start.replace(microsecond=0) + timedelta(seconds=1)
        if start.day in _days_of(self, start.year, start.month):
            at = self._first_of_day(start.hour, start.minute, start.second)
            if at is not None:
                return start.replace(hour=at[0], minute=at[1], second=at[2], fold=0)
        day = self._next_day(start.date())
        if day is None:
            return None
        return datetime.combine(day, time(self.hours[0], self.minutes[0], self.seconds[0]))

    def _first_of_day(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        """The first matching time of a day from this one on."""
        if hour in self.hours:
            if minute in self.minutes and (at := _from(self.seconds, second)) is not None:
                return hour, minute, at
            if (at := _from(self.minutes, minute + 1)) is not None:
                return hour, at, self.seconds[0]
        if (at := _from(self.hours, hour + 1)) is not None:
            return at, self.minutes[0], self.seconds[0]
        return None

    def _next_day(self, day: date) -> date | None:
        for year, month in _months(day):
            first = day.day + 1 if (year, month) == (day.year, day.month) else 1
            if (found := _from(_days_of(self, year, month), first)) is not None:
                return date(year, month, found)
        return None


def _from(values: Sequence[int], least: int) -> int | None:
    at = bisect_left(values, least)
    return values[at] if at < len(values) else None


def _months(day: date) -> Iterator[tuple[int, int]]:
    first = day.year * 12 + day.month - 1
    for number in range(first, first + YEARS * 12 + 1):
        if number // 12 <= 9999:
            yield number // 12, number % 12 + 1


@lru_cache(maxsize=4096)
def _days_of(cron: CronText, year: int, month: int) -> tuple[int, ...]:
    """The matching days of a month.

    Where both a day of the month and one of the week are asked for, either will do, as in every cron.
    """
    if month not in cron.months:
        return ()
    first_weekday, length = monthrange(year, month)
    every_day = range(1, length + 1)
    by_week = {day for day in every_day if _is_weekday(cron, day, (first_weekday + day) % 7, length)}
    if cron.days is None:
        return tuple(sorted(by_week))
    by_month = {day for day in every_day if day in cron.days or (day == length and 0 in cron.days)}
    free = cron.weekdays is None and not cron.nth_weekdays
    return tuple(sorted(by_month if free else by_month | by_week))


def _is_weekday(cron: CronText, day: int, weekday: int, length: int) -> bool:
    if cron.nth_weekdays:
        which = (day - 1) // 7 + 1
        return (weekday, which) in cron.nth_weekdays or (
            day > length - 7 and (weekday, 0) in cron.nth_weekdays
        )
    return cron.weekdays is None or weekday in cron.weekdays


@lru_cache(maxsize=4096)
def read(text: str) -> CronText:
    """What a cron text of five fields, of six with seconds in front, or of a preset such as ``@daily`` means.

    Raises SpecError, which names the field and its position.
    """
    fields = _fields(text)
    expanded = [_expanded(text, name, field, position) for name, field, position in fields]
    (seconds, _), (minutes, _), (hours, _), (days, _), (months, _), (weekdays, nth) = expanded
    return CronText(
        seconds=seconds or tuple(range(60)),
        minutes=minutes or tuple(range(60)),
        hours=hours or tuple(range(24)),
        days=frozenset(days) if days else None,
        months=frozenset(months or range(1, 13)),
        weekdays=frozenset(weekdays) if weekdays else None,
        nth_weekdays=nth,
        runs_through=fields[2][1][0] in "*?",
    )


def _fields(text: str) -> list[tuple[str, str, int]]:
    """Name, text and position of the six fields; for seconds that are left out, ``0``."""
    wanted = text.strip().lower()
    if wanted.startswith("@"):
        if wanted not in PRESETS:
            raise SpecError(text, f"there is no such preset; there are {', '.join(PRESETS)}.", 1)
        wanted = PRESETS[wanted]
        words = [(word, 1) for word in wanted.split()]
    else:
        words = [(match[0].lower(), match.start() + 1) for match in re.finditer(r"\S+", text)]
    if len(words) not in (5, 6):
        raise SpecError(
            text,
            f"cron text has 5 fields (minutes, hours, days of the month, months, days of the week), or 6 with "
            f"seconds in front; this has {len(words)}.",
            words[6][1] if len(words) > 6 else len(text) + 1,
        )
    if len(words) == 5:
        words.insert(0, ("0", 1))
    return [(name, word, position) for name, (word, position) in zip(FIELDS, words, strict=True)]


def _expanded(
    text: str, name: str, field: str, position: int
) -> tuple[tuple[int, ...] | None, frozenset[tuple[int, int]]]:
    """The values of a field, None for all of them; and which weekdays of a month, where it says that."""
    pattern, allowed = FIELDS[name]
    if not pattern.fullmatch(field):
        good = pattern.match(field)
        raise SpecError(
            text, f"{field!r} cannot be read as {name} ({allowed}).", position + (good.end() if good else 0)
        )
    place = [*FIELDS].index(name)
    alone = " ".join(field if at == place else "*" for at in range(6))
    try:
        lists, nth = croniter.expand(alone, second_at_beginning=True)
    except CroniterError:
        raise SpecError(
            text, f"{field!r} is not possible as {name} ({allowed}, in steps from 1).", position
        ) from None
    values = lists[(5, 0, 1, 2, 3, 4)[place]]
    if "*" in values:
        return None, frozenset()
    numbers = sorted(0 if value == "l" else int(value) for value in values)
    which = {(day, 0 if n == "l" else int(n)) for day, ns in nth.items() for n in ns}
    return tuple(numbers), frozenset(which)
