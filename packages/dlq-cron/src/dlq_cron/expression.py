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
from datetime import datetime
from zoneinfo import ZoneInfo

from dlq_cron.civil import LEAST

__all__ = ["And", "Expression", "Moment", "Not", "Or"]

STEPS = 5_000
"""How many instants are tried until an expression is taken to never come true."""


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
    from dlq_cron.moments import Cron  # Which is an expression.

    if isinstance(value, str):
        return Cron(value)
    return value if isinstance(value, Expression) else None


class Moment(Expression):
    """Due at instants, and holds at these alone."""

    is_span = False

    def holds(self, at: datetime, zone: ZoneInfo) -> bool:
        return self.next(at - LEAST, zone) == at

    def resume(self, at: datetime, zone: ZoneInfo) -> datetime | None:
        return self.next(at - LEAST, zone)

    def change(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        return self.next(after, zone)


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
