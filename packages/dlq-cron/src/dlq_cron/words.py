"""Any spec in words, for people who do not read cron."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time, timedelta
from itertools import pairwise

from dlq_cron.days import EVERY_DAY, At, Daily
from dlq_cron.expression import And, Expression, Not, Or
from dlq_cron.moments import Cron, Every, Once
from dlq_cron.rule import Missed, Overlap, Rule

__all__ = ["explain_expression", "explain_rule"]

WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
ORDINALS = ("last", "first", "second", "third", "fourth", "fifth")
FEW = 6
"""Times that are named one by one."""


def explain_rule(rule: Rule) -> str:
    """All that a rule says, but for what goes without saying."""
    parts = [f"{explain_expression(rule.expression)} ({rule.timezone})"]
    if rule.start:
        parts.append(f"from {rule.start:%Y-%m-%d %H:%M:%S} UTC")
    if rule.end:
        parts.append(f"until {rule.end:%Y-%m-%d %H:%M:%S} UTC")
    if rule.repeat:
        parts.append("once" if rule.repeat == 1 else f"{rule.repeat} times")
    if rule.jitter:
        parts.append(f"put off by up to {_span(timedelta(seconds=rule.jitter))}")
    parts += _policies(rule)
    return ", ".join(parts)


def _policies(rule: Rule) -> list[str]:
    missed = {
        Missed.SKIP: ["missed ones are let go"],
        Missed.LAST: [],
        Missed.ALL: [f"missed ones are made up for, {rule.missed_limit} at most"],
    }
    overlap = {
        Overlap.ALLOW: [],
        Overlap.SKIP: ["not while the job before runs"],
        Overlap.QUEUE: ["when the job before has ended"],
        Overlap.CANCEL: ["cancelling the job before"],
    }
    return missed[rule.missed] + overlap[rule.overlap]


def explain_expression(expression: Expression) -> str:
    """When it is due, and what it means as a condition."""
    match expression:
        case Cron():
            return _cron(expression)
        case Every(interval=interval):
            return f"every {_span(interval)}"
        case Once(at=at):
            return f"once, at {at.isoformat(sep=' ')}"
        case At(at=at, days=days):
            return f"at {_clock(at)} {_which_days(days)}"
        case Daily():
            return _daily(expression)
        case Not(inner=inner):
            return f"not {_part(inner)}"
        case And(left=left, right=Not(inner=inner)):
            return f"{_part(left, And)}, but not {_part(inner)}"
        case And(left=left, right=right):
            return f"{_part(left, And)}, but only {_part(right, And)}"
        case Or(left=left, right=right):
            return f"{_part(left, Or)}, or {_part(right, Or)}"
    raise TypeError(f"{expression!r} has no words.")


def _part(inner: Expression, same: type[Expression] | None = None) -> str:
    words = explain_expression(inner)
    bare = not isinstance(inner, And | Or) or (same is not None and isinstance(inner, same))
    return words if bare else f"({words})"


def _daily(span: Daily) -> str:
    days = _which_days(span.days)
    match span.after, span.before:
        case None, None:
            return days
        case after, None if after:
            return f"from {_clock(after)} {days}"
        case None, before if before:
            return f"until {_clock(before)} {days}"
        case after, before if after and before:
            return f"between {_clock(after)} and {_clock(before)} {days}"
    return days


def _which_days(days: frozenset[int]) -> str:
    if days == EVERY_DAY:
        return "every day"
    return "from Monday to Friday" if len(days) == 5 else "on Saturday and Sunday"


def _clock(at: time) -> str:
    return at.isoformat("auto" if at.second or at.microsecond else "minutes")


def _span(interval: timedelta) -> str:
    seconds = interval.total_seconds()
    for name, length in (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= length and seconds % length == 0:
            return name if seconds == length else f"{seconds / length:g} {name}s"
    return f"{seconds:g} seconds"


# --- Cron text ---


def _cron(expression: Cron) -> str:
    cron = expression.meaning
    parts = [_times(cron.hours, cron.minutes, cron.seconds)]
    days = [*_month_days(cron.days), *_week_days(cron.weekdays, cron.nth_weekdays)]
    if days:
        parts.append(f"on {' or '.join(days)}")
    elif not parts[0].startswith("every"):
        parts.append("every day")
    if len(cron.months) < 12:
        parts.append(f"in {_list([MONTHS[month - 1] for month in sorted(cron.months)])}")
    return " ".join(parts)


def _times(hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int]) -> str:
    if len(hours) * len(minutes) * len(seconds) <= FEW:
        return f"at {_list([_clock(time(h, m, s)) for h in hours for m in minutes for s in seconds])}"
    parts = []
    if seconds != (0,):
        parts.append(_values(seconds, 60, "second"))
    if seconds == (0,) or len(minutes) < 60:
        parts.append(_values(minutes, 60, "minute"))
    within = f" in {_values(hours, 24, 'hour')}" if len(hours) < 24 else ""
    return " of ".join(parts) + within


def _values(values: Sequence[int], most: int, unit: str) -> str:
    if len(values) == most:
        return f"every {unit}"
    steps = {late - early for early, late in pairwise(values)}
    if len(values) > 2 and len(steps) == 1:
        (step,) = steps
        if values[0] < step and values[-1] + step >= most:
            start = "" if values[0] == 0 else f" from {unit} {values[0]}"
            return f"every {step} {unit}s{start}"
        if step == 1:
            return f"{unit}s {values[0]} to {values[-1]}"
    return f"{unit}{'s' if len(values) > 1 else ''} {_list(list(map(str, values)))}"


def _month_days(days: frozenset[int] | None) -> list[str]:
    if days is None:
        return []
    numbers = [str(day) for day in sorted(days) if day]
    named = [f"day{'s' if len(numbers) > 1 else ''} {_list(numbers)} of the month"] if numbers else []
    return named + (["the last day of the month"] if 0 in days else [])


def _week_days(weekdays: frozenset[int] | None, nth: frozenset[tuple[int, int]]) -> list[str]:
    if nth:
        return [f"the {ORDINALS[which]} {WEEKDAYS[day]} of the month" for day, which in sorted(nth)]
    if weekdays is None:
        return []
    if weekdays == frozenset(range(1, 6)):
        return ["Monday to Friday"]
    return [_list([WEEKDAYS[day] for day in sorted(weekdays, key=lambda d: d or 7)])]


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
