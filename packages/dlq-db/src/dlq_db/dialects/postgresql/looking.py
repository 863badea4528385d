"""Where looks begin: at the heads of the indexes, or, while these are slow, at marks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dlq_db.dialects.postgresql.marks import Marks, Past, Place, Rest, Searches

__all__ = ["Glance", "Looking", "Served"]

REMEMBERED = 100
"""Queues without a ready job that are looked at nevertheless."""


@dataclass(frozen=True, slots=True)
class Glance:
    """One look."""

    whole: bool
    """Whether it begins at the heads of the indexes, and so finds queues that are not known."""
    marks: dict[str, str]
    """Of the known queues, as PostgreSQL writes arrays; none when it is whole."""
    began: float

    @property
    def arguments(self) -> dict[str, Any]:
        """For the statement."""
        return {"whole": self.whole, "queues": list(self.marks), "marks": list(self.marks.values())}


class Looking:
    """What one kind of look, of one process, has seen of the queues."""

    def __init__(self, searches: Searches) -> None:
        """No queue is known, and nothing is slow yet."""
        self._searches = searches
        self._rest = Rest()
        self._known: dict[str, Marks] = {}
        self._seen = Past(0)

    def know(self, queues: Iterable[str]) -> None:
        """There are queues of these names: looks that do not begin at the head see those that are known only."""
        self._known.update({queue: Marks() for queue in queues if queue not in self._known})

    def begin(self) -> Glance:
        """A look at all queues from the head, or, while that is slow, at the known ones from their marks."""
        now = self._searches.clock()
        whole = self._rest.is_over(now)
        known = [] if whole else list(self._known.items())
        return Glance(whole, {queue: str(marks) for queue, marks in known}, now)

    def end(self, glance: Glance, first: Iterable[Place], walked: int, position: int) -> None:
        """What came of it: the first ready job of each queue that has one.

        ``walked`` index entries were read; ``position`` is the last ``seq`` that was given to any job.
        """
        now = self._searches.clock()
        seen = self._seen.before(glance.began)
        self._seen.note(position, now)
        found = {place.queue: place for place in first}
        known = self._remember(found)
        if glance.whole and walked <= self._searches.many:
            self._rest.end()
            return
        if glance.whole:
            self._rest.take(now - glance.began, now)
        for queue in known if glance.whole else glance.marks.keys() & known:
            if place := found.get(queue):
                self._known[queue].pass_up_to(place.priority, place.seq - 1, seen, from_head=glance.whole)
            else:
                self._known[queue].pass_all(seen)

    def _remember(self, found: Iterable[str]) -> list[str]:
        """All queues that are known now: those found last, which are kept longest, stand at the end."""
        known = self._known
        others = [queue for queue in known if queue not in found]
        kept = [*others[-REMEMBERED:], *found]
        self._known = {queue: known.get(queue) or Marks() for queue in kept}
        return kept


class Served:
    """Up to which times one process has promoted all jobs that were due, and failed all that had expired."""

    def __init__(self, searches: Searches) -> None:
        """None yet."""
        self._clock = searches.clock
        self._seen: Past[datetime | None] = Past(None)
        self._due_after: datetime | None = None
        self._expires_after: datetime | None = None

    def arguments(self, *, whole: bool) -> dict[str, datetime | None]:
        """Where a look begins: None is the head."""
        if whole:
            return {"due_after": None, "expires_after": None}
        return {"due_after": self._due_after, "expires_after": self._expires_after}

    def note(
        self, began: float, moment: datetime, last_due: datetime | None, last_expired: datetime | None
    ) -> None:
        """A look has served all that had come at this moment, or, with a last one, as many as it may up to that."""
        seen = self._seen.before(began)
        self._seen.note(moment, self._clock())
        self._due_after = seen and min(seen, last_due or seen)
        self._expires_after = seen and min(seen, last_expired or seen)
