"""Who gets the slots of keys, on every database alike. See ``Store.admit``.

All that makes a job with limits ready happens here, under the lock of its key's semaphore. Nobody who has that lock
waits for a job: one that somebody else is at is left for the next time. So whoever settles jobs, and holds their rows,
may wait for semaphores; and these are locked in the order of their marks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q, QuerySet

from dlq.limits import (
    Contender,
    Decision,
    Policy,
    Slot,
    decide,
    limits_from_json,
    policy_of,
    queue_mark,
    queue_of,
    slot_of,
)
from dlq.states import State, Waits
from dlq_db.clock import moment
from dlq_db.dialects import Dialect
from dlq_db.endings import end
from dlq_db.lines import END, held_slots, waiting_lines
from dlq_db.models import Live, Pause, Semaphore
from dlq_db.semaphores import create_semaphores, known_semaphores

__all__ = ["MANY", "Admission", "Admitted"]

type Admitted = tuple[str, str]
"""The backend and the queue of a job that was admitted."""

MANY = 1000
"""Lines that one look goes through, and jobs of one line that are decided upon at once."""


class Admission:
    """One round of it, in as few statements as fit every database."""

    def __init__(self, connection: BaseDatabaseWrapper, dialect: Dialect, now: datetime | None) -> None:
        """At this moment, or at the database's own."""
        self._connection = connection
        self._dialect = dialect
        self._now = now
        pauses = Pause.objects.using(connection.alias).filter(Q(until=None) | Q(until__gt=moment(now)))
        self._paused = set(pauses.values_list("backend", "queue"))

    def admit_any(self, limit: int, after: str) -> tuple[list[Admitted], str]:
        """Make up to ``limit`` jobs ready, of lines after this one; returns them, and where the next round begins."""
        self._put_back()
        lines = self._open(waiting_lines(self._connection, after, END, MANY))
        following = lines[-1] if len(lines) == MANY else ""
        wanted = self._with_room(lines)
        self._make(set(map(slot_of, wanted)), wanted)
        return self.admit(wanted, limit) if wanted else [], following

    def admit_of(self, marks: Iterable[str]) -> list[Admitted]:
        """Give the free slots of these keys to those that wait for them."""
        lines = [line for mark in marks for line in waiting_lines(self._connection, mark, mark + END, MANY)]
        return self.admit(self._open(lines), MANY)

    def admit(self, lines: Sequence[str], limit: int) -> list[Admitted]:
        """Make up to ``limit`` of the jobs that wait in these lines ready, each if its key has a slot for it."""
        of_mark = {mark: list(some) for mark, some in groupby(sorted(lines), slot_of)}
        admitted: list[Admitted] = []
        with self._dialect.transaction(self._connection):
            for semaphore in self._locked(of_mark):
                admitted += self._admit(semaphore, of_mark[semaphore.mark], limit - len(admitted))
        return admitted

    # --- Under the lock of a semaphore

    def _admit(self, semaphore: Semaphore, lines: Sequence[str], limit: int) -> list[Admitted]:
        held = held_slots(self._connection, semaphore.mark)
        free = max(0, min(limit, semaphore.slots - held))
        waiting = {live.pk: live for line in lines for live in self._first_of(line, free)}
        may_give_way = self._may_give_way(semaphore.mark, lines)
        decision = decide(
            semaphore.slots,
            held,
            list(map(_contender, waiting.values())),
            list(map(_contender, may_give_way)),
        )
        self._carry_out(decision, semaphore, limit)
        return [(waiting[id].backend, waiting[id].queue) for id in decision.admitted[:limit]]

    def _first_of(self, line: str, free: int) -> QuerySet[Live]:
        first = self._unlocked(Live.objects.filter(waits=Waits.LIMIT, line=line)).order_by("-priority", "seq")
        return first[: free if policy_of(line) is Policy.BLOCK else MANY]

    def _may_give_way(self, mark: str, lines: Iterable[str]) -> Sequence[Live]:
        if all(policy_of(line) is not Policy.CANCEL_RUNNING for line in lines):
            return []
        holders = Live.objects.filter(
            line__gte=mark, line__lt=mark + END, state__gte=State.READY, cancel=None
        )
        return list(self._unlocked(holders))

    def _carry_out(self, decision: Decision, semaphore: Semaphore, limit: int) -> None:
        slot = Slot(key=semaphore.key, limit=semaphore.slots)
        self._dialect.make_ready(self._connection, decision.admitted[: max(0, limit)])
        self._end(decision.discarded, slot.full)
        self._end(decision.superseded, slot.superseded)
        if decision.asked:
            self._live(decision.asked).update(cancel=slot.superseded)

    def _end(self, ids: Sequence[UUID], reason: str) -> None:
        if not ids:
            return
        now = self._now or self._dialect.clock(self._connection)
        self._live(ids).update(cancel=reason)
        of_backend: dict[str, list[UUID]] = {}
        for id, backend in self._live(ids).values_list("pk", "backend"):
            of_backend.setdefault(backend, []).append(id)
        for backend, some in of_backend.items():
            end(self._connection, backend, some, State.CANCELLED, now)

    def _live(self, ids: Collection[UUID]) -> QuerySet[Live]:
        return Live.objects.using(self._connection.alias).filter(pk__in=ids)

    def _unlocked(self, rows: QuerySet[Live]) -> QuerySet[Live]:
        return rows.using(self._connection.alias).select_for_update(skip_locked=True)

    # --- Semaphores

    def _locked(self, marks: Collection[str]) -> list[Semaphore]:
        rows = Semaphore.objects.using(self._connection.alias).filter(mark__in=list(marks))
        return list(rows.order_by("mark").select_for_update()) if marks else []

    def _make(self, marks: Collection[str], lines: Iterable[str]) -> None:
        """Those that are missing: the clients have died before they could declare them."""
        known = known_semaphores(self._connection, marks)
        slots: dict[str, Slot] = {}
        for line in lines:
            if slot_of(line) not in known and (live := self._head(line)) is not None:
                limits = limits_from_json(live.job.limits)
                assert limits is not None
                slots[slot_of(line)] = limits.slot
        if slots:
            create_semaphores(self._connection, slots, self._now)

    def _head(self, line: str) -> Live | None:
        waiting = Live.objects.using(self._connection.alias).filter(waits=Waits.LIMIT, line=line)
        return waiting.select_related("job").order_by("-priority", "seq").first()

    # --- Lines

    def _open(self, lines: Iterable[str]) -> list[str]:
        closed = {queue_mark(*queue) for queue in self._paused}
        return [line for line in lines if queue_of(line) not in closed]

    def _with_room(self, lines: Sequence[str]) -> list[str]:
        """Those that the limit of their key does not hold back, as it looks without a lock."""
        marks = set(map(slot_of, lines))
        rows = Semaphore.objects.using(self._connection.alias).filter(mark__in=marks)
        slots = dict(rows.values_list("mark", "slots"))
        full = {mark for mark, limit in slots.items() if held_slots(self._connection, mark) >= limit}
        return [line for line in lines if slot_of(line) not in full or policy_of(line) is not Policy.BLOCK]

    def _put_back(self) -> None:
        """Jobs of paused queues that were ready wait again, before the others of their line."""
        for backend, queue in self._paused:
            ready = Live.objects.filter(backend=backend, queue=queue, state=State.READY, line__isnull=False)
            if not ready.using(self._connection.alias).exists():
                continue
            with self._dialect.transaction(self._connection):
                for live in self._unlocked(ready).order_by("-seq"):
                    first = self._head(live.line or "")
                    place = live.seq if first is None else min(live.seq, first.seq - 1)
                    self._live([live.pk]).update(state=State.BLOCKED, waits=Waits.LIMIT, seq=place)


def _contender(live: Live) -> Contender:
    assert live.line is not None
    return Contender(
        id=live.pk,
        state=State(live.state),
        policy=policy_of(live.line),
        priority=live.priority,
        seq=live.seq,
        begun=live.token > 0,
    )
