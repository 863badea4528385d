"""Who gets the slots of a MemoryStore. Everything here is called under its lock."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from uuid import UUID

from dlq.limits import Contender, Slot, decide, policy_of, slot_mark, slot_of
from dlq.states import State, Waits
from dlq.store.memory.jobs import StoredJob
from dlq.store.memory.tallies import MemoryTallies

__all__ = ["Admission"]


class Admission:
    """The keys of a store, and the jobs that hold slots of them or wait for one."""

    def __init__(
        self, jobs: Mapping[UUID, StoredJob], sequence: Iterator[int], tallies: MemoryTallies
    ) -> None:
        """Of these jobs; who gets a slot gets the next number of the sequence, and who gives way is counted."""
        self._jobs = jobs
        self._tallies = tallies
        self._sequence = sequence
        self.slots: dict[str, Slot] = {}
        """By the mark of their key, as they were declared last."""

    def declare(self, job: StoredJob) -> None:
        """What the job says of its key holds for all of it from now on."""
        if job.new.limits is not None:
            slot = job.new.limits.slot
            self.slots[slot_mark(slot.key)] = slot

    def admit(
        self, limit: int, paused: Collection[str], now: datetime, marks: Collection[str] | None = None
    ) -> list[StoredJob]:
        """Make up to ``limit`` jobs ready, of the keys with these marks or of any; returns which."""
        if marks is None:
            self._put_back(paused)
        admitted: list[StoredJob] = []
        for mark in sorted(self._wanted() if marks is None else marks):
            admitted += self._admit(mark, limit - len(admitted), paused, now)
        return admitted

    def held(self, mark: str) -> list[StoredJob]:
        """The jobs that hold a slot of a key."""
        return [job for job in self._of(mark) if job.state in (State.READY, State.RUNNING)]

    def waiting(self, mark: str) -> list[StoredJob]:
        """The jobs that wait for a slot of a key."""
        return [job for job in self._of(mark) if job.waits is Waits.LIMIT]

    def _of(self, mark: str) -> Iterator[StoredJob]:
        return (job for job in self._jobs.values() if job.line is not None and slot_of(job.line) == mark)

    def _wanted(self) -> set[str]:
        return {slot_of(job.line) for job in self._jobs.values() if job.line and job.waits is Waits.LIMIT}

    def _put_back(self, paused: Collection[str]) -> None:
        """Jobs of paused queues that were ready wait again, before the others of their key."""
        for job in self._jobs.values():
            if job.line is not None and job.state is State.READY and job.new.queue in paused:
                others = [other.sequence for other in self.waiting(slot_of(job.line))]
                job.block(min(others, default=job.sequence + 1) - 1)

    def _admit(self, mark: str, limit: int, paused: Collection[str], now: datetime) -> list[StoredJob]:
        slot = self.slots[mark]
        waiting = [job for job in self.waiting(mark) if job.new.queue not in paused]
        held = self.held(mark)
        staying = [job for job in held if job.state is State.READY or job.reason is None]
        contenders = [_contender(job) for job in waiting]
        decision = decide(slot.limit, len(held), contenders, [_contender(job) for job in staying])
        admitted = [self._jobs[id] for id in decision.admitted[: max(0, limit)]]
        for job in admitted:
            job.admit(next(self._sequence))
        for id in decision.discarded:
            self._end(id, slot.full, now)
        for id in decision.superseded:
            self._end(id, slot.superseded, now)
        for id in decision.asked:
            self._jobs[id].reason = slot.superseded
        return admitted

    def _end(self, id: UUID, reason: str, now: datetime) -> None:
        job = self._jobs[id]
        job.finish(State.CANCELLED, now)
        job.reason = reason
        self._tallies.add(job.new, now, {"cancelled": 1})


def _contender(job: StoredJob) -> Contender:
    assert job.line is not None
    return Contender(
        id=job.new.id,
        state=job.state,
        policy=policy_of(job.line),
        priority=job.new.priority,
        seq=job.sequence,
        begun=job.token > 0,
    )
