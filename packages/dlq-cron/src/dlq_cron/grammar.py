"""From text to expressions, and the functions that make them in Python: the same words in both."""

from __future__ import annotations

import ast
from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any

from dlq_cron.days import EVERY_DAY, At, Daily
from dlq_cron.errors import SpecError
from dlq_cron.expression import And, Expression, Not, Or
from dlq_cron.moments import EPOCH, Cron, Every, Once

__all__ = ["daily", "every", "once", "parse", "weekdays", "weekends"]

LONGEST = 1_000
"""Characters of a spec."""
WEEKDAYS = frozenset(range(1, 6))
WEEKENDS = frozenset({6, 7})


def every(
    *,
    weeks: float = 0,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    since: datetime | str | None = None,
) -> Expression:
    """As often as that much time passes, in seconds that really pass, whatever clocks do.

    It is counted from ``since``, an aware datetime or ISO 8601 text with an offset; without it from the beginning
    of 1970 in UTC, so that ``every(minutes=10)`` is due at full ten minutes.

    Raises SpecError for an interval under a second.
    """
    try:
        interval = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except (TypeError, OverflowError, ValueError) as error:
        raise SpecError("every(…)", f"an interval is made of numbers: {error}.") from None
    if interval < timedelta(seconds=1):
        raise SpecError("every(…)", f"an interval must be one second or longer; this is {interval}.")
    return Every(interval, EPOCH if since is None else _instant(since, "since"))


def daily(
    *, at: time | str | None = None, after: time | str | None = None, before: time | str | None = None
) -> Expression:
    """Every day ``at`` a time; or from one time to another, by itself due when that begins.

    Times are ``datetime.time`` objects or text such as ``"09:30"``. A span that ends before it begins ends on the
    next day.

    Raises SpecError.
    """
    return _by_day(EVERY_DAY, at, after, before)


def weekdays(
    *, at: time | str | None = None, after: time | str | None = None, before: time | str | None = None
) -> Expression:
    """``daily``, from Monday to Friday."""
    return _by_day(WEEKDAYS, at, after, before)


def weekends(
    *, at: time | str | None = None, after: time | str | None = None, before: time | str | None = None
) -> Expression:
    """``daily``, on Saturday and Sunday."""
    return _by_day(WEEKENDS, at, after, before)


def once(at: datetime | str) -> Expression:
    """At one instant: an aware datetime, or ISO 8601 text with an offset.

    Raises SpecError.
    """
    return Once(_instant(at, "once"))


def _by_day(
    days: frozenset[int], at: time | str | None, after: time | str | None, before: time | str | None
) -> Expression:
    if at is None:
        return Daily(_time(after), _time(before), days)
    if after is not None or before is not None:
        raise SpecError("daily(…)", "a time (at=) and a span (after=, before=) exclude each other.")
    when = _time(at)
    assert when is not None
    return At(when, days)


def _time(value: object) -> time | None:
    if isinstance(value, str):
        try:
            return _without_zone(value)
        except ValueError:
            raise SpecError(
                value, 'this is no time of a day; write it as "09:30" or "09:30:15".', 1
            ) from None
    if value is None or (isinstance(value, time) and value.tzinfo is None):
        return value
    raise SpecError(str(value), "a time of a day must be text or a datetime.time without a zone.")


def _without_zone(text: str) -> time:
    found = time.fromisoformat(text)
    if found.tzinfo is not None:
        raise ValueError(text)
    return found


def _instant(given: object, what: str) -> datetime:
    text, value = str(given), given
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise SpecError(text, "this is no time in ISO 8601.", 1) from None
    if not isinstance(value, datetime):
        raise SpecError(text, f"{what} takes a datetime or text in ISO 8601.")
    if value.utcoffset() is None:
        raise SpecError(
            text, f"{what} takes a time with an offset or zone; this one is naive.", len(text) + 1
        )
    return value


# --- Text ---

_FUNCTIONS: dict[str, Callable[..., Expression]] = {
    "cron": Cron,
    "every": every,
    "daily": daily,
    "weekdays": weekdays,
    "weekends": weekends,
    "once": once,
}
_OPERATORS: dict[type[ast.operator], type[And | Or]] = {ast.BitAnd: And, ast.BitOr: Or}


def parse(spec: str | Expression) -> Expression:
    """Read cron text such as ``0 3 * * *``, or what Python would read: ``every(minutes=10) & weekdays()``.

    An expression is returned as it is. In text, cron text inside of an expression is ``cron("0 3 * * *")``.

    Raises SpecError, with the position in the text.
    """
    if isinstance(spec, Expression):
        return spec
    if not isinstance(spec, str):
        raise SpecError(
            str(spec), f"this is a {type(spec).__qualname__}, and neither text nor an expression."
        )
    if len(spec) > LONGEST:
        raise SpecError(
            f"{spec[:40]}…", f"a spec has {LONGEST} characters at most; this has {len(spec)}.", LONGEST + 1
        )
    if "(" not in spec:
        return Cron(spec)
    try:
        tree = ast.parse(spec.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise SpecError(
            spec, "this cannot be read as an expression.", getattr(error, "offset", 0) or len(spec) + 1
        ) from None
    return _Reader(spec).read(tree.body)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._before = len(text) - len(text.lstrip())

    def read(self, node: ast.expr) -> Expression:
        match node:
            case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() as operator, right=right):
                return _OPERATORS[type(operator)](self.read(left), self.read(right))
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                return Not(self.read(operand))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in _FUNCTIONS:
                return self._call(node, name, args, keywords)
        raise self._wrong(
            node, f"here there must be one of {', '.join(f'{name}(…)' for name in _FUNCTIONS)}."
        )

    def _call(
        self, node: ast.expr, name: str, args: list[ast.expr], keywords: list[ast.keyword]
    ) -> Expression:
        values = [self._literal(arg) for arg in args]
        named = {keyword.arg or "": self._literal(keyword.value) for keyword in keywords}
        try:
            return _FUNCTIONS[name](*values, **named)
        except TypeError as error:
            raise self._wrong(node, f"{name}(…) does not take these arguments: {error}.") from None
        except SpecError as error:
            inner = next(
                (part for part in [*args, *(k.value for k in keywords)] if _is(part, error.text)), node
            )
            # Inside of quotes, the position goes on counting there.
            within = error.position if inner is not node and error.position else 0
            raise self._wrong(inner, f"{error.problem}", within) from None

    def _literal(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
            return node.value
        raise self._wrong(node, "here there must be a number or text in quotes.")

    def _wrong(self, node: ast.expr, problem: str, within: int = 0) -> SpecError:
        return SpecError(self._text, problem, self._before + node.col_offset + 1 + within)


def _is(node: ast.expr, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text
