"""When something is due: expressions that are combined with ``&``, ``|`` and ``~``, and know nothing but time.

There are two kinds. A *moment* is due at instants: ``cron("0 3 * * *")``, ``every(minutes=10)``,
``weekdays(at="09:30")``, ``once("2027-01-01T00:00+00:00")``. A *span* lasts: ``weekends()``,
``daily(after="08:00", before="17:00")``, and the opposite ``~`` of anything. By itself a span is due when it begins.
``a & b`` is due when one is due while the other holds, ``a | b`` when either is.

Nothing here reads a clock: instants are passed in, aware, and come back in UTC.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
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

__all__ = ["EVERY_DAY", "And", "At", "Cron", "Daily", "Every", "Expression", "Not", "Once", "Or"]

EVERY_DAY = frozenset(range(1, 8))
"""Of the week; 1 is Monday."""
STEPS = 5_000
"""How many instants are tried until an expression is taken to never come true."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Expression(ABC):
    """When something is due, and when it holds."""

    is_span: bool
    """Whether it lasts; else it is due at instants, and holds at these alone."""

    @abstractmethod
    def next(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        """The first instant after this one at which it is due; None if there is none that can be found."""

    @abstractmethod
    def holds(self, at: datetime, zone: ZoneInfo) -> bool:
        """Whether it holds at this instant."""

    @abstractmethod
    def resume(self, at: datetime, zone: ZoneInfo) -> datetime | None:
        """An instant, from this one on, before which it holds at none; None if it holds at none that can be found."""

    @abstractmethod
    def change(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        """An instant after this one until which it holds as right after this one; None if that is for ever."""

    def __and__(self, other: object) -> Expression:
        right = _operand(other)
        return NotImplemented if right is None else And(self, right)

    def __rand__(self, other: object) -> Expression:
        left = _operand(other)
        return NotImplemented if left is None else And(left, self)

    def __or__(self, other: object) -> Expression:
        right = _operand(other)
        return NotImplemented if right is None else Or(self, right)

    def __ror__(self, other: object) -> Expression:
        left = _operand(other)
        return NotImplemented if left is None else Or(left, self)

    def __invert__(self) -> Expression:
        return Not(self)


def _operand(value: object) -> Expression | None:
    """An operand of an operator; text is cron text."""
    if isinstance(value, str):
        return Cron(value)
    return value if isinstance(value, Expression) else None


class _Moment(Expression):
    is_span = False

    def holds(self, at: datetime, zone: ZoneInfo) -> bool:
        return self.next(at - LEAST, zone) == at

    def resume(self, at: datetime, zone: ZoneInfo) -> datetime | None:
        return self.next(at - LEAST, zone)

    def change(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        return self.next(after, zone)


@dataclass(frozen=True)
class Cron(_Moment):
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
class Every(_Moment):
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
class Once(_Moment):
    """At one instant, and never again."""

    at: datetime

    def next(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        return self.at.astimezone(UTC) if self.at > after else None

    def __str__(self) -> str:
        return f'once("{self.at.isoformat()}")'


@dataclass(frozen=True)
class At(_Moment):
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


@dataclass(frozen=True)
class Not(Expression):
    """Whenever another does not hold; it begins when that ends."""

    inner: Expression

    is_span = True

    def next(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        if not self.inner.is_span:
            return None  # It never ends for long enough to begin again.
        for at in _steps(after, lambda at: self.inner.change(at, zone)):
            if self.holds(at, zone) and self.inner.holds(at - LEAST, zone):
                return at
        return None

    def holds(self, at: datetime, zone: ZoneInfo) -> bool:
        return not self.inner.holds(at, zone)

    def resume(self, at: datetime, zone: ZoneInfo) -> datetime | None:
        if self.holds(at, zone):
            return at
        return self.inner.change(at, zone) if self.inner.is_span else at + LEAST

    def change(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        return self.inner.change(after, zone)

    def __str__(self) -> str:
        return f"~{_in_brackets(self.inner)}"


@dataclass(frozen=True)
class And(Expression):
    """When one is due while the other holds."""

    left: Expression
    right: Expression

    @property
    def is_span(self) -> bool:  # type: ignore[override]
        """Whether both last."""
        return self.left.is_span and self.right.is_span

    def next(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        if self.is_span:
            return self._both_begin(after, zone)
        due, other = (self.right, self.left) if self.left.is_span else (self.left, self.right)
        for _ in range(STEPS):
            at = due.next(after, zone)
            if at is None or other.holds(at, zone):
                return at
            resumed = other.resume(at, zone)
            if resumed is None:
                return None
            after = max(at, resumed - LEAST)
        return None

    def _both_begin(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        left, right = _Following(self.left, after, zone), _Following(self.right, after, zone)
        begins = _steps(after, lambda at: _earliest(left.past(at), right.past(at)))
        return next((at for at in begins if self.holds(at, zone)), None)

    def holds(self, at: datetime, zone: ZoneInfo) -> bool:
        return self.left.holds(at, zone) and self.right.holds(at, zone)

    def resume(self, at: datetime, zone: ZoneInfo) -> datetime | None:
        left, right = self.left.resume(at, zone), self.right.resume(at, zone)
        return None if left is None or right is None else max(left, right)

    def change(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        return _earliest(self.left.change(after, zone), self.right.change(after, zone))

    def __str__(self) -> str:
        return f"{_in_brackets(self.left, And)} & {_in_brackets(self.right, And)}"


@dataclass(frozen=True)
class Or(Expression):
    """When either is due. Two that last are due when the first of them begins."""

    left: Expression
    right: Expression

    @property
    def is_span(self) -> bool:  # type: ignore[override]
        """Whether both last."""
        return self.left.is_span and self.right.is_span

    def next(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        left, right = _Following(self.left, after, zone), _Following(self.right, after, zone)
        for at in _steps(after, lambda at: _earliest(left.past(at), right.past(at))):
            if not self.is_span or left.at == right.at:
                return at
            other = self.right if at == left.at else self.left
            if not other.holds(at - LEAST, zone):
                return at
        return None

    def holds(self, at: datetime, zone: ZoneInfo) -> bool:
        return self.left.holds(at, zone) or self.right.holds(at, zone)

    def resume(self, at: datetime, zone: ZoneInfo) -> datetime | None:
        return _earliest(self.left.resume(at, zone), self.right.resume(at, zone))

    def change(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        return _earliest(self.left.change(after, zone), self.right.change(after, zone))

    def __str__(self) -> str:
        return f"{_in_brackets(self.left, Or)} | {_in_brackets(self.right, Or)}"


class _Following:
    """The first instant at which an expression is due after another, asked for only when that has come."""

    def __init__(self, expression: Expression, after: datetime, zone: ZoneInfo) -> None:
        self._expression = expression
        self._zone = zone
        self.at = expression.next(after, zone)

    def past(self, after: datetime) -> datetime | None:
        if self.at is not None and self.at <= after:
            self.at = self._expression.next(after, self._zone)
        return self.at


def _steps(after: datetime, following: Callable[[datetime], datetime | None]) -> Iterator[datetime]:
    """What follows on an instant, and on that, and so on, until there is nothing or it has been enough."""
    for _ in range(STEPS):
        at = following(after)
        if at is None:
            return
        yield at
        after = at


def _earliest(left: datetime | None, right: datetime | None) -> datetime | None:
    return min((at for at in (left, right) if at is not None), default=None)


def _in_brackets(inner: Expression, same: type[Expression] | None = None) -> str:
    bare = not isinstance(inner, And | Or) or (same is not None and isinstance(inner, same))
    return str(inner) if bare else f"({inner})"
