"""``Rule``: all that says when a schedule fires, as it is stored; and the due times that follow from it."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from dlq_cron.errors import ScheduleError
from dlq_cron.expression import Expression
from dlq_cron.grammar import parse

__all__ = ["Missed", "Overlap", "Rule", "read_rule", "zone_of"]


class Missed(StrEnum):
    """What becomes of due times at which no scheduler was there."""

    SKIP = "skip"
    LAST = "last"
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a due time when the job of an earlier one has not ended."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"
    CANCEL = "cancel"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When a schedule fires. Its text, which stores carry, is equal for equal rules."""

    spec: str
    """Cron text, or the text of an expression."""
    timezone: str
    start: datetime | None = None
    """Nothing is due before."""
    end: datetime | None = None
    """Nothing is due after."""
    repeat: int | None = None
    """How many due times enqueue a job before the schedule ends."""
    jitter: float = 0.0
    """Seconds that a due time is put off at most; how many follows from the key and the due time."""
    missed: Missed = Missed.LAST
    missed_limit: int = 100
    """How many due times are made up for at most, the latest ones."""
    missed_window: float | None = None
    """Seconds after which a due time is not made up for any more."""
    overlap: Overlap = Overlap.ALLOW

    @cached_property
    def expression(self) -> Expression:
        """What ``spec`` says."""
        return parse(self.spec)

    @cached_property
    def zone(self) -> ZoneInfo:
        """Where clocks on the wall are looked at."""
        return zone_of(self.timezone)

    @property
    def text(self) -> str:
        """As it is stored: JSON of what is not the default."""
        given = {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        }
        return json.dumps(given, default=datetime.isoformat, sort_keys=True)

    def next(self, after: datetime) -> datetime | None:
        """The first due time after this instant."""
        if self.start is not None:
            after = max(after, self.start - timedelta(microseconds=1))
        found = self.expression.next(after, self.zone)
        return None if found is None or (self.end is not None and found > self.end) else found

    def times(self, after: datetime) -> Iterator[datetime]:
        """The due times after this instant, in order."""
        at = self.next(after)
        while at is not None:
            yield at
            at = self.next(at)

    def put_off(self, key: str, due_at: datetime) -> datetime:
        """When the job of a due time is enqueued: the same for everybody who asks."""
        if not self.jitter:
            return due_at
        digest = hashlib.sha256(f"{key}\n{due_at.timestamp()!r}".encode()).digest()
        return due_at + timedelta(seconds=self.jitter * int.from_bytes(digest[:6]) / 2**48)

    def latest(self, first: datetime, until: datetime, most: int) -> tuple[list[datetime], bool]:
        """The due times from ``first``, which is one, to ``until``; only the latest ``most``, if there are more.

        Says too whether there are more. Its cost grows with ``most``, and hardly with the time between.
        """
        found = [first]
        for at in self.times(first):
            if at > until:
                return found, False
            found.append(at)
            if len(found) > most:
                break
        else:
            return found, False
        last = self._last(found[-1], until)
        back = (last - found[-1]) or timedelta(seconds=1)
        wide = timedelta(seconds=most)
        while wide < back:
            close: deque[datetime] = deque(maxlen=most)
            for at in self.times(last - wide):
                if at > last:
                    break
                close.append(at)
            if len(close) == most:
                return list(close), True
            wide *= 2
        for at in self.times(found[-1]):
            if at > until:
                break
            found.append(at)
        return found[-most:], True

    def _last(self, known: datetime, until: datetime) -> datetime:
        """The last due time until this instant, found by halves; ``known`` is an earlier one."""
        high = until
        while (following := self.next(known)) is not None and following <= until:
            middle = known + (high - known) / 2
            later = self.next(middle)
            if later is not None and later <= until:
                known = later
            else:
                high = middle
            if high - known < timedelta(seconds=1):
                known = following
        return known


@lru_cache(maxsize=32_768)
def read_rule(text: str) -> Rule:
    """A rule from its text; what only a newer version knows is left out.

    Raises SpecError, ScheduleError.
    """
    known = {field.name for field in fields(Rule)}
    given: dict[str, Any] = {name: value for name, value in json.loads(text).items() if name in known}
    for name in ("start", "end"):
        if name in given:
            given[name] = datetime.fromisoformat(given[name])
    for name, kind in (("missed", Missed), ("overlap", Overlap)):
        if name in given:
            given[name] = kind(given[name])
    rule = Rule(**given)
    _ = rule.expression, rule.zone
    return rule


def zone_of(name: str) -> ZoneInfo:
    """A zone of the tz database.

    Raises ScheduleError.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):  # Unknown, no name at all, or the name of a directory.
        raise ScheduleError(
            f"timezone={name!r} is no zone that this machine knows; give a name such as 'Europe/Berlin' or 'UTC'."
        ) from None
