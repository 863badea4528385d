"""Where claims begin: at the head of a queue, or, while that is slow, at the marks of its priorities."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

from dlq_db.dialects.postgresql.marks import Marks, Past, Place, Rest, Searches

__all__ = ["Claiming", "Turn"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange: where its claims begin."""

    starts: dict[str, Marks | None]
    """For each queue, in their order, its marks, or None for the head."""
    rescanned: str | None
    """The one of the slow queues whose claims begin at the head this time."""
    began: float


class Claiming:
    """What the claims of one process have seen of each queue."""

    def __init__(self, searches: Searches) -> None:
        """Nothing is slow yet."""
        self._searches = searches
        self._slow: dict[str, _Line] = {}
        self._seen = Past(0)

    def begin(self, queues: Sequence[str]) -> Turn:
        """An exchange that claims from these queues, in this order."""
        now = self._searches.clock()
        slow = {queue: line for queue in queues if (line := self._slow.get(queue))}
        # One of them at a time: so it is known which has taken the time.
        rescanned = next((queue for queue, line in slow.items() if line.rest.is_over(now)), None)
        marks = {queue: line.marks for queue, line in slow.items() if queue != rescanned}
        return Turn({queue: marks.get(queue) for queue in queues}, rescanned, now)

    def end(
        self,
        turn: Turn,
        claims: Sequence[Place],
        limit: int,
        paused: Collection[str],
        walked: int,
        position: int,
    ) -> None:
        """What came of it: up to ``limit`` claims in the order of the queues, from those that are not paused.

        ``walked`` index entries were read; ``position`` is the last ``seq`` that was given to any job.
        """
        now = self._searches.clock()
        seen = self._seen.before(turn.began)
        self._seen.note(position, now)
        taken = {queue: list(places) for queue, places in groupby(claims, lambda place: place.queue)}
        for queue, marks in turn.starts.items():
            if limit <= 0:
                break
            if queue in paused:
                if queue == turn.rescanned:
                    # It has had its turn: the others must not wait for the end of the pause.
                    self._slow[queue].rest.take(now - turn.began, now)
                continue
            own = taken.get(queue, [])
            limit -= len(own)
            if marks is None and turn.rescanned in (None, queue):
                self._judge(queue, now, now - turn.began, slow=walked > self._searches.many)
            if line := self._slow.get(queue):
                line.advance(own[-1] if limit <= 0 else None, seen, from_head=marks is None)

    def _judge(self, queue: str, now: float, seconds: float, *, slow: bool) -> None:
        """Claims from it began at the head; of several that may have taken the time each is a suspect."""
        if slow:
            self._slow.setdefault(queue, _Line()).rest.take(seconds, now)
        else:
            self._slow.pop(queue, None)


class _Line:
    """A queue whose head is slow."""

    def __init__(self) -> None:
        self.marks = Marks()
        self.rest = Rest()

    def advance(self, last: Place | None, seen: int, *, from_head: bool) -> None:
        """Claims went as far as this one, or, with None, took all that there was."""
        if last is None:
            self.marks.pass_all(seen)
        else:
            self.marks.pass_up_to(last.priority, last.seq, seen, from_head=from_head)
