"""What holds at every moment: the store and its model say the same, and the laws are kept."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from hypothesis.stateful import RuleBasedStateMachine, invariant

from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.store.tallies import FIGURES
from dlq.testing.contract.foretelling import World

__all__ = ["BIG", "RUNNER_OF", "Watched"]

RUNNER_OF = {"worker-1": "runner-1", "worker-2": "runner-1", "worker-3": "runner-2"}
BIG = 1_000
"""More than there are jobs."""


class Watched(RuleBasedStateMachine):
    """A store beside its model; after every step of a series they are compared."""

    def __init__(self, store: Store, inspector: Inspector) -> None:
        """Start with an empty store, and a model that holds nothing."""
        super().__init__()
        self.store, self.inspector = store, inspector
        self.world = World()
        self.seen: dict[UUID, State] = {}
        assert inspector.counts() == [], "The example before this one left something behind."
        self.counted_before = self.counted()

    @invariant()
    def every_job_is_as_foretold(self) -> None:
        """No job is lost, and none has changed but as the calls and the table of transitions allow."""
        found = {job.id: job for job in self.store.get(self.world.jobs)}
        assert set(found) == set(self.world.jobs)
        for id, job in self.world.jobs.items():
            seen, before = found[id], self.seen.get(id)
            assert before is None or before is seen.state or before.may_become(seen.state)
            assert (seen.state, seen.token, seen.worker) == (job.state, job.token, job.worker)
            assert (seen.attempts, seen.interruptions) == (job.attempts, job.interruptions)
            assert (seen.due_at, seen.finished_at) == (job.due_at, job.finished_at)
            assert (seen.expires_at, seen.keep_until) == (job.expires_at, job.keep_until)
            assert (seen.reason, len(seen.history)) == (job.reason, job.failures)
        self.seen = {id: job.state for id, job in found.items()}

    @invariant()
    def every_job_is_in_exactly_one_state(self) -> None:
        """And each is counted there, once."""
        rows = self.inspector.counts(now=self.world.now)
        counted = {(row.queue, state): count for row in rows for state, count in row.states.items()}
        assert counted == Counter((job.new.queue, job.state) for job in self.world.jobs.values())
        assert sum(counted.values()) == len(self.world.jobs)
        assert [row.queue for row in rows if row.paused] == self.world.paused()

    @invariant()
    def everything_is_counted(self) -> None:
        """What came and what became of it, since the beginning; seconds are whole ones."""
        assert self.counted() == self.counted_before + self.world.counted

    def counted(self) -> Counter[tuple[str, str, str]]:
        """What the store has counted, by queue, task and figure."""
        return Counter(
            {
                (total.queue, total.task, name): int(figure)
                for total in self.inspector.totals()
                for name in FIGURES
                if (figure := getattr(total, name))
            }
        )

    @invariant()
    def every_list_is_as_foretold(self) -> None:
        """Of the workers, one at each step."""
        assert self.store.waiting(now=self.world.now) == self.world.waiting()
        assert self.store.parked() == sorted(
            {(job.new.task, 1) for job in self.world.in_state(State.BLOCKED)}
        )
        assert {claim.id for claim in self.store.orphans(BIG)} == self.world.orphaned()
        worker = sorted(RUNNER_OF)[self.world.next() % len(RUNNER_OF)]
        assert {claim.id for claim in self.store.held(worker, BIG)} == self.world.held(worker)
