"""The store beside a model of it: after any series of calls both say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dlq.errors import RunnerUnknown
from dlq.job import Claim, Counted, NewJob, Outcome, WorkerRef
from dlq.states import FINISHED, State
from dlq.store.base import Store
from dlq.store.inspector import Inspector, JobFilter
from dlq.testing.contract.builders import FAILURE, NOON, OUTCOMES, new_job, runner_info, worker_info

__all__ = ["Modelled"]

QUEUES = ("a", "b")
TASKS = ("shop.one", "shop.two")
RUNNER_OF = {"worker-1": "runner-1", "worker-2": "runner-1", "worker-3": "runner-2"}
KINDS = sorted(OUTCOMES)
LEAVING = sorted(set(OUTCOMES) - {"retry now", "handed back", "interrupted"})
"""Outcomes after which no job is ready: one that is may be claimed in the same exchange or in the next."""
BIG = 1_000

workers = st.sampled_from(sorted(RUNNER_OF))
limits = st.sampled_from([1, 2, 3, 0])
queue_lists = st.sampled_from([("a", "b"), ("b", "a"), ("a",), ()])
batches = st.lists(
    st.tuples(st.sampled_from(QUEUES), st.sampled_from(TASKS), st.integers(-1, 1), st.booleans()),
    min_size=1,
    max_size=4,
)
"""Jobs to enqueue: queue, task, priority, and whether they have to wait."""


type _Batch = Sequence[tuple[str, str, int, bool]]


@dataclass
class _Job:
    """What the model knows about a job."""

    new: NewJob
    state: State
    place: int
    due_at: datetime | None
    token: int = 0
    worker: str | None = None
    attempts: int = 0
    interruptions: int = 0
    failures: int = 0
    finished_at: datetime | None = None
    settled: tuple[int, str] | None = None
    """The last token that settled it, and who settled with it."""


class _Machine(RuleBasedStateMachine):
    """Calls the store, foretells what it will answer, and compares."""

    claims: Bundle[Claim] = Bundle("claims")

    def __init__(self, store: Store, inspector: Inspector) -> None:
        super().__init__()
        self.store, self.inspector = store, inspector
        self.jobs: dict[UUID, _Job] = {}
        self.beats: dict[str, int] = {}
        self.seats: dict[str, int] = {}
        self.seen: dict[UUID, State] = {}
        self.now = NOON
        self.serial = 0
        assert inspector.counts() == [], "The example before this one left jobs behind."

    def next(self) -> int:
        self.serial += 1
        return self.serial

    def soon(self) -> datetime:
        """In about ten seconds, and never twice the same: no two jobs are due at one moment."""
        return self.now + timedelta(seconds=10, milliseconds=self.next())

    # --- Clients ---

    @initialize(target=claims, batches=st.tuples(batches, batches))
    def start(self, batches: tuple[_Batch, _Batch]) -> MultipleResults[Claim]:
        self.register()
        for batch in batches:
            self.enqueue(batch)
        return self.exchange("worker-1", [], QUEUES, 2)

    @rule(batch=batches)
    def enqueue(self, batch: _Batch) -> None:
        jobs = [
            new_job(queue=queue, task=task, priority=priority, run_after=self.soon() if waits else None)
            for queue, task, priority, waits in batch
        ]
        self.store.enqueue(jobs, now=self.now)
        for new in jobs:
            state = State.SCHEDULED if new.run_after else State.READY
            self.jobs[new.id] = _Job(new, state, self.next(), new.run_after)

    @precondition(lambda self: self.jobs)
    @rule(at=st.integers(0, 7))
    def enqueue_again(self, at: int) -> None:
        known = list(self.jobs.values())[at % len(self.jobs)].new
        self.store.enqueue([known, known], now=self.now)

    @rule(seconds=st.integers(1, 15))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # --- Workers ---

    @rule(target=claims, worker=workers, queues=queue_lists, limit=limits, late=st.sampled_from([0, 0, 0, 1]))
    def claim(self, worker: str, queues: Sequence[str], limit: int, late: int) -> MultipleResults[Claim]:
        return self.exchange(worker, [], queues, limit, late)

    @rule(held=claims, kind=st.sampled_from(KINDS), by_its_worker=st.sampled_from([True, True, False]))
    def settle(self, held: Claim, kind: str, by_its_worker: bool) -> None:
        self.exchange(held.worker if by_its_worker else "rescuer", [self.outcome(held, kind)], [], 0)

    @rule(
        target=claims,
        worker=workers,
        queues=queue_lists,
        kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4, unique=True),
    )
    def claim_and_settle(
        self, worker: str, queues: Sequence[str], kinds: Sequence[str]
    ) -> MultipleResults[Claim]:
        taken = self.exchange(worker, [], queues, len(kinds))
        outcomes = [self.outcome(held, kind) for held, kind in zip(taken.values, kinds, strict=False)]
        self.exchange(worker, outcomes, [], 0)
        return taken

    @rule(
        target=claims,
        worker=workers,
        batch=st.dictionaries(claims, st.sampled_from(LEAVING), min_size=1, max_size=3),
        queues=queue_lists,
        limit=limits,
    )
    def settle_and_claim(
        self, worker: str, batch: dict[Claim, str], queues: Sequence[str], limit: int
    ) -> MultipleResults[Claim]:
        outcomes = {held.id: self.outcome(held, kind) for held, kind in batch.items()}
        return self.exchange(worker, list(outcomes.values()), queues, limit)

    def outcome(self, held: Claim, kind: str) -> Outcome:
        if kind == "retry later":
            return Outcome.retry(held, FAILURE, (self.soon() - self.now).total_seconds())
        return OUTCOMES[kind](held)

    def exchange(
        self, worker: str, outcomes: Sequence[Outcome], queues: Sequence[str], limit: int, late: int = 0
    ) -> MultipleResults[Claim]:
        ref = WorkerRef(worker, self.seats.get(worker, 1) - late)
        reply = self.store.exchange(ref, outcomes, queues, limit, now=self.now)
        for outcome in outcomes:
            self.settled(worker, outcome, outcome.id in reply.stale, outcome.id in reply.already)
        assert reply.registered == (self.seats.get(worker) == ref.incarnation)
        ready = [job for queue in queues for job in self.in_line(queue)] if reply.registered else []
        assert [found.id for found in reply.claims] == [job.new.id for job in ready[:limit]]
        for found in reply.claims:
            job = self.jobs[found.id]
            assert found.token > job.token
            assert (found.attempts, found.interruptions) == (job.attempts, job.interruptions)
            job.state, job.token, job.worker = State.RUNNING, found.token, worker
        self.only_transitions_of_the_table_happen()
        return multiple(*reply.claims)

    def in_line(self, queue: str) -> list[_Job]:
        ready = [job for job in self.in_state(State.READY) if job.new.queue == queue]
        return sorted(ready, key=lambda job: (-job.new.priority, job.place))

    def settled(self, by: str, outcome: Outcome, stale: bool, already: bool) -> None:
        job = self.jobs.get(outcome.id)
        if job is None:
            assert (stale, already) == (True, False)
        elif job.state is State.RUNNING and job.token == outcome.token:
            assert (stale, already) == (False, False)
            self.write(job, by, outcome)
        else:
            repeated = job.settled == (outcome.token, by)
            assert (stale, already) == (not repeated, repeated)

    def write(self, job: _Job, by: str, outcome: Outcome) -> None:
        job.settled = (outcome.token, by)
        job.state = outcome.state
        job.attempts += outcome.counted is Counted.ATTEMPT
        job.interruptions += outcome.counted is Counted.INTERRUPTION
        job.failures += outcome.failure is not None
        if outcome.state in FINISHED:
            job.finished_at = self.now
        else:
            job.worker = None
        if outcome.state is State.SCHEDULED:
            job.due_at = self.now + timedelta(seconds=outcome.delay)
        if outcome.state is State.READY and outcome.counted is Counted.ATTEMPT:
            job.place = self.next()

    @precondition(lambda self: any(self.in_state(State.RUNNING)))
    @rule(worker=workers, kept=st.sets(st.integers(0, 3)))
    def reconcile(self, worker: str, kept: set[int]) -> None:
        running = [job for job in self.in_state(State.RUNNING) if job.worker == worker]
        held = {(job.new.id, job.token) for at, job in enumerate(running) if at in kept}
        ref = WorkerRef(worker, self.seats.get(worker, 1))
        if worker not in self.seats:
            with pytest.raises(RunnerUnknown):
                self.store.reconcile(ref, held, now=self.now)
            return
        fresh = self.store.reconcile(ref, held, now=self.now)
        assert fresh.incarnation > self.seats[worker]
        self.seats[worker] = fresh.incarnation
        for job in running:
            if (job.new.id, job.token) not in held:
                job.state, job.worker = State.READY, None

    @precondition(lambda self: any(self.in_state(State.BLOCKED)))
    @rule(tasks=st.sets(st.sampled_from(TASKS)))
    def unpark(self, tasks: set[str]) -> None:
        parked = [job for job in self.in_state(State.BLOCKED) if job.new.task in tasks]
        assert self.store.unpark(tasks, now=self.now) == len(parked)
        for job in parked:
            job.state = State.READY

    # --- Liveness ---

    @precondition(lambda self: len(self.seats) < len(RUNNER_OF))
    @rule()
    def register(self) -> None:
        for worker, runner in RUNNER_OF.items():
            if worker not in self.seats:
                self.store.register_runner(runner_info(runner), now=self.now)
                ref = self.store.register_worker(worker_info(worker, runner), now=self.now)
                self.seats[worker] = ref.incarnation
        self.beats = {runner.id: runner.beat for runner in self.inspector.runners(now=self.now)}

    @precondition(lambda self: any(self.in_state(State.RUNNING)))
    @rule(worker=workers)
    def unregister(self, worker: str) -> None:
        self.store.unregister_worker(worker)
        self.seats.pop(worker, None)

    @precondition(lambda self: any(self.in_state(State.RUNNING)))
    @rule(worker=workers, beats_first=st.booleans())
    def retire(self, worker: str, beats_first: bool) -> None:
        runner = RUNNER_OF[worker]
        read = self.beats.get(runner)
        if beats_first:
            self.beat(runner)
        lost = read is not None and self.beats[runner] == read
        assert self.store.retire(runner, read or 1) == lost
        if lost:
            del self.beats[runner]
            self.seats = {name: seat for name, seat in self.seats.items() if RUNNER_OF[name] != runner}

    def beat(self, runner: str) -> None:
        if runner in self.beats:
            self.beats[runner] += 1
        assert self.store.beat(runner, now=self.now) == (self.beats if runner in self.beats else {})

    @precondition(lambda self: self.orphaned())
    @rule(limit=limits)
    def rescue(self, limit: int) -> None:
        orphans = self.store.orphans(limit)
        assert len(orphans) == min(limit, len(self.orphaned()))
        self.exchange("rescuer", [Outcome.interrupted(orphan, FAILURE) for orphan in orphans], [], 0)

    # --- Upkeep ---

    @precondition(lambda self: any(self.in_state(State.SCHEDULED)))
    @rule(limit=limits)
    def promote(self, limit: int) -> None:
        due = [job for job in self.in_state(State.SCHEDULED) if job.due_at and job.due_at <= self.now]
        due.sort(key=lambda job: job.due_at or NOON)
        assert self.store.promote(limit, now=self.now) == len(due[:limit])
        for job in due[:limit]:
            job.state, job.due_at, job.place = State.READY, None, self.next()

    @precondition(lambda self: any(job.finished_at for job in self.jobs.values()))
    @rule(state=st.sampled_from(State), older_than=st.sampled_from([0.5, 5.5]), limit=limits)
    def prune(self, state: State, older_than: float, limit: int) -> None:
        last = self.now - timedelta(seconds=older_than)
        old = {job.new.id for job in self.in_state(state) if job.finished_at and job.finished_at < last}
        assert self.store.prune(state, older_than, limit, now=self.now) == min(limit, len(old))
        gone = set(self.jobs) - {job.id for job in self.store.get(self.jobs)}
        assert gone <= old
        for id in gone:
            del self.jobs[id]

    # --- What holds at every moment ---

    def in_state(self, state: State) -> Iterator[_Job]:
        return (job for job in list(self.jobs.values()) if job.state is state)

    def orphaned(self) -> set[UUID]:
        return {job.new.id for job in self.in_state(State.RUNNING) if job.worker not in self.seats}

    @invariant()
    def every_job_is_as_foretold(self) -> None:
        found = {job.id: job for job in self.store.get(self.jobs)}
        assert set(found) == set(self.jobs)
        for id, job in self.jobs.items():
            seen = found[id]
            assert (seen.state, seen.token, seen.worker) == (job.state, job.token, job.worker)
            assert (seen.attempts, seen.interruptions) == (job.attempts, job.interruptions)
            assert (seen.due_at, seen.finished_at) == (job.due_at, job.finished_at)
            assert len(seen.history) == job.failures

    @invariant()
    def only_transitions_of_the_table_happen(self) -> None:
        states = {job.id: job.state for job in self.inspector.jobs(JobFilter(), limit=BIG)}
        for id, state in states.items():
            before = self.seen.get(id, state)
            assert before is state or before.may_become(state)
        self.seen = states

    @invariant()
    def every_job_is_in_exactly_one_state(self) -> None:
        rows = self.inspector.counts()
        counted = {(row.queue, state): count for row in rows for state, count in row.states.items()}
        assert counted == Counter((job.new.queue, job.state) for job in self.jobs.values())
        assert sum(counted.values()) == len(self.jobs)

    @invariant()
    def every_list_is_as_foretold(self) -> None:
        assert self.store.waiting() == sorted({job.new.queue for job in self.in_state(State.READY)})
        assert self.store.parked() == sorted({job.new.task for job in self.in_state(State.BLOCKED)})
        assert {claim.id for claim in self.store.orphans(BIG)} == self.orphaned()
        for worker in RUNNER_OF:
            held = {job.new.id for job in self.in_state(State.RUNNING) if job.worker == worker}
            assert {claim.id for claim in self.store.held(worker, BIG)} == held

    def teardown(self) -> None:
        """Whatever has happened, every job can be brought to its end."""
        end = self.now + timedelta(days=1)
        self.store.register_runner(runner_info("runner-1"), now=end)
        for worker in RUNNER_OF:
            self.store.unregister_worker(worker)
        last = self.store.register_worker(worker_info("last"), now=end)
        self.store.promote(BIG, now=end)
        self.store.unpark(TASKS, now=end)
        running = self.store.orphans(BIG) + self.store.exchange(last, [], QUEUES, BIG, now=end).claims
        outcomes = [OUTCOMES["succeeded"](held) for held in running]
        reply = self.store.exchange(last, outcomes, QUEUES, BIG, now=end)
        assert (reply.stale, reply.already, reply.claims) == ([], [], [])
        for state in FINISHED:
            self.store.prune(state, 1.0, BIG, now=end + timedelta(days=1))
        for runner in self.inspector.runners(now=end):
            self.store.retire(runner.id)
        assert self.inspector.counts() == []


class Modelled:
    """The store and its model agree."""

    model_examples: ClassVar[int] = 15
    """How many series of calls are tried."""
    model_steps: ClassVar[int] = 25
    """How many calls a series has at most."""
    model_shrinks: ClassVar[bool] = False
    """Whether a series that fails is made short before it is shown, which takes minutes on a slow store."""

    def test_the_store_agrees_with_its_model(self, store: Store, inspector: Inspector) -> None:
        class Machine(_Machine):
            def __init__(self) -> None:
                super().__init__(store, inspector)

        bounds = settings(
            max_examples=self.model_examples,
            stateful_step_count=self.model_steps,
            phases=[Phase.generate, Phase.shrink] if self.model_shrinks else [Phase.generate],
            report_multiple_bugs=False,
            deadline=None,
            database=None,
        )
        run_state_machine_as_test(Machine, settings=bounds)
