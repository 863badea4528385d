"""The store beside a model of it: after any series of calls both say the same."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    initialize,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dlq.errors import RunnerUnknown
from dlq.job import Claim, Outcome
from dlq.states import FINISHED, WAITING, State
from dlq.store.base import CANCELLABLE, Store
from dlq.store.inspector import Inspector
from dlq.store.tallies import figures_of
from dlq.testing.audit import Auditor
from dlq.testing.contract.builders import FAILURE, OUTCOMES, new_job, promote, runner_info, worker_info
from dlq.testing.contract.foretelling import ModelJob
from dlq.testing.contract.watching import BIG, RUNNER_OF, Watched
from dlq.workers import WorkerRef

__all__ = ["Modelled"]

QUEUES = ("a", "b")
TASKS = ("shop.one", "shop.two")
KINDS = sorted(OUTCOMES)
LEAVING = sorted(set(OUTCOMES) - {"retry now", "handed back", "interrupted"})
"""Outcomes after which no job is ready: one that is may be claimed in the same exchange or in the next."""
REVIVABLE = frozenset({State.FAILED, State.CANCELLED})
CHOICES = [CANCELLABLE, CANCELLABLE, WAITING, frozenset({State.RUNNING}), REVIVABLE - {State.CANCELLED}]

workers = st.sampled_from(sorted(RUNNER_OF))
limits = st.sampled_from([1, 2, 3, 0])
queue_lists = st.sampled_from([("a", "b"), ("b", "a"), ("a",), ()])
batches = st.lists(
    st.tuples(
        st.sampled_from(QUEUES),
        st.sampled_from(TASKS),
        st.integers(-1, 1),
        st.booleans(),
        st.sampled_from([None, None, 7.5, 20.5]),
    ),
    min_size=1,
    max_size=4,
)
"""Jobs to enqueue: queue, task, priority, whether they have to wait, and after how long they expire."""
places = st.sets(st.integers(0, 7), min_size=1, max_size=3)

type _Batch = Sequence[tuple[str, str, int, bool, float | None]]


class _Machine(Watched):
    """Calls the store, foretells what it will answer, and compares."""

    claims: Bundle[Claim] = Bundle("claims")

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
            new_job(
                queue=queue,
                task=task,
                priority=priority,
                max_attempts=BIG,  # Who retries is not asked how often.
                run_after=self.world.soon() if waits else None,
                expires_after=expires_after,
            )
            for queue, task, priority, waits, expires_after in batch
        ]
        self.store.enqueue(jobs, now=self.world.now)
        for new in jobs:
            self.world.enqueue(new)

    @precondition(lambda self: self.world.jobs)
    @rule(at=st.integers(0, 7))
    def enqueue_again(self, at: int) -> None:
        known = list(self.world.jobs.values())[at % len(self.world.jobs)].new
        self.store.enqueue([known, known], now=self.world.now)

    @rule(seconds=st.integers(1, 15))
    def wait(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds)

    # --- Workers ---

    @rule(target=claims, worker=workers, queues=queue_lists, limit=limits, late=st.sampled_from([0, 0, 0, 1]))
    def claim(self, worker: str, queues: Sequence[str], limit: int, late: int) -> MultipleResults[Claim]:
        return self.exchange(worker, [], queues, limit, late)

    @rule(
        held=claims,
        kind=st.sampled_from(KINDS),
        by_its_worker=st.sampled_from([True, True, False]),
        unwanted=st.booleans(),
    )
    def settle(self, held: Claim, kind: str, by_its_worker: bool, unwanted: bool) -> None:
        if unwanted and held.id in self.world.jobs:
            self.cancel_those_of([self.world.jobs[held.id]], {State.RUNNING})
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
            return Outcome.retry(held, FAILURE, (self.world.soon() - self.world.now).total_seconds())
        # Every second claim of a job is one whose outcome is kept for a time of its own.
        return replace(OUTCOMES[kind](held), keep_for=None if held.token % 2 else 3.5)

    def exchange(
        self, worker: str, outcomes: Sequence[Outcome], queues: Sequence[str], limit: int, late: int = 0
    ) -> MultipleResults[Claim]:
        ref = WorkerRef(worker, self.world.seats.get(worker, 1) - late)
        reply = self.store.exchange(ref, outcomes, queues, limit, now=self.world.now)
        for outcome in outcomes:
            self.settled(worker, outcome, outcome.id in reply.stale, outcome.id in reply.already)
        assert reply.registered == (self.world.seats.get(worker) == ref.incarnation)
        ready = [job for queue in queues for job in self.world.in_line(queue)] if reply.registered else []
        assert [found.id for found in reply.claims] == [job.new.id for job in ready[:limit]]
        for found in reply.claims:
            job = self.world.jobs[found.id]
            assert found.token > job.token
            assert (found.attempts, found.interruptions) == (job.attempts, job.interruptions)
            assert found.expires_at == job.expires_at
            job.take(found.token, worker)
        self.every_job_is_as_foretold()
        return multiple(*reply.claims)

    def settled(self, by: str, outcome: Outcome, stale: bool, already: bool) -> None:
        job = self.world.jobs.get(outcome.id)
        if job is None:
            assert (stale, already) == (True, False)
        elif job.state is State.RUNNING and job.token == outcome.token:
            assert (stale, already) == (False, False)
            job.settle(by, outcome, self.world.now, self.world.next)
            self.world.count(job.new, figures_of(outcome, job.state))
        else:
            repeated = job.settled == (outcome.token, by)
            assert (stale, already) == (not repeated, repeated)

    @precondition(lambda self: any(self.world.in_state(State.RUNNING)))
    @rule(worker=workers, kept=st.sets(st.integers(0, 3)), unwanted=st.booleans())
    def reconcile(self, worker: str, kept: set[int], unwanted: bool) -> None:
        running = [job for job in self.world.in_state(State.RUNNING) if job.worker == worker]
        if unwanted:
            self.cancel_those_of(running[:2], {State.RUNNING})
        held = {(job.new.id, job.token) for at, job in enumerate(running) if at in kept}
        ref = WorkerRef(worker, self.world.seats.get(worker, 1))
        if worker not in self.world.seats:
            with pytest.raises(RunnerUnknown):
                self.store.reconcile(ref, held, now=self.world.now)
            return
        fresh = self.store.reconcile(ref, held, now=self.world.now)
        assert fresh.incarnation > self.world.seats[worker]
        self.world.seats[worker] = fresh.incarnation
        for job in running:
            if (job.new.id, job.token) not in held:
                self.world.give_back(job)

    @precondition(lambda self: any(self.world.in_state(State.BLOCKED)))
    @rule(tasks=st.sets(st.sampled_from(TASKS)))
    def unpark(self, tasks: set[str]) -> None:
        parked = [job for job in self.world.in_state(State.BLOCKED) if job.new.task in tasks]
        assert self.store.unpark([(task, 1) for task in tasks], now=self.world.now) == len(parked)
        for job in parked:
            job.state = State.READY

    # --- Liveness ---

    @precondition(lambda self: len(self.world.seats) < len(RUNNER_OF))
    @rule()
    def register(self) -> None:
        for worker, runner in RUNNER_OF.items():
            if worker not in self.world.seats:
                self.store.register_runner(runner_info(runner), now=self.world.now)
                ref = self.store.register_worker(worker_info(worker, runner), now=self.world.now)
                self.world.seats[worker] = ref.incarnation
        self.world.beats = {runner.id: runner.beat for runner in self.inspector.runners(now=self.world.now)}

    @precondition(lambda self: any(self.world.in_state(State.RUNNING)))
    @rule(worker=workers)
    def unregister(self, worker: str) -> None:
        self.store.unregister_worker(worker)
        self.world.seats.pop(worker, None)

    @precondition(lambda self: any(self.world.in_state(State.RUNNING)))
    @rule(worker=workers, beats_first=st.booleans())
    def retire(self, worker: str, beats_first: bool) -> None:
        runner = RUNNER_OF[worker]
        read = self.world.beats.get(runner)
        if beats_first:
            self.beat(runner)
        lost = read is not None and self.world.beats[runner] == read
        assert self.store.retire(runner, read or 1) == lost
        if lost:
            del self.world.beats[runner]
            self.world.seats = {
                name: seat for name, seat in self.world.seats.items() if RUNNER_OF[name] != runner
            }

    def beat(self, runner: str) -> None:
        if runner in self.world.beats:
            self.world.beats[runner] += 1
        assert self.store.beat(runner, now=self.world.now) == (
            self.world.beats if runner in self.world.beats else {}
        )

    @precondition(lambda self: self.world.orphaned())
    @rule(limit=limits)
    def rescue(self, limit: int) -> None:
        orphans = self.store.orphans(limit)
        assert len(orphans) == min(limit, len(self.world.orphaned()))
        self.exchange("rescuer", [Outcome.interrupted(orphan, FAILURE) for orphan in orphans], [], 0)

    # --- Controls ---

    @rule(queue=st.sampled_from(QUEUES), seconds=st.sampled_from([None, 5, 30, 0]))
    def pause(self, queue: str, seconds: int | None) -> None:
        end = None if seconds is None else self.world.now + timedelta(seconds=seconds)
        self.store.pause(queue, end, now=self.world.now)
        self.world.pauses[queue] = end

    @precondition(lambda self: self.world.pauses)
    @rule(queue=st.sampled_from(QUEUES))
    def resume(self, queue: str) -> None:
        was_paused = queue in self.world.paused()
        told = self.store.resume(queue)
        assert told == was_paused or queue in self.world.pauses
        self.world.pauses.pop(queue, None)

    @precondition(lambda self: self.world.jobs)
    @rule(places=places, states=st.sampled_from(CHOICES))
    def cancel(self, places: set[int], states: frozenset[State]) -> None:
        self.cancel_those_of(self.world.chosen(places), states)

    def cancel_those_of(self, jobs: Sequence[ModelJob], states: Collection[State]) -> None:
        reason = f"reason {self.world.next()}"
        ids = [job.new.id for job in jobs]
        cancelled = self.store.cancel(ids, reason, states=states, now=self.world.now)
        chosen = [job for job in jobs if job.state in states]
        running = {job.new.id for job in chosen if job.state is State.RUNNING}
        assert set(cancelled.asked) == running
        assert set(cancelled.done) == {job.new.id for job in chosen} - running
        for job in chosen:
            job.reason = reason
            if job.state is not State.RUNNING:
                self.world.end(job, State.CANCELLED)

    @precondition(lambda self: any(self.world.in_state(*REVIVABLE)))
    @rule(at=st.integers(0, 7))
    def retry(self, at: int) -> None:
        some = list(self.world.in_state(*REVIVABLE))
        job = some[at % len(some)]
        others = [other.new.id for other in self.world.in_state(*set(State) - REVIVABLE)]
        assert self.store.retry([*others, job.new.id], now=self.world.now) == [job.new.id]
        job.revive(self.world.next())

    # --- Upkeep ---

    @precondition(lambda self: self.world.jobs)
    @rule(limit=limits, runner=st.sampled_from(sorted({*RUNNER_OF.values(), "nobody"})))
    def look(self, limit: int, runner: str) -> None:
        late = self.world.late()
        limit = _uncut(limit, len(late))
        sight = self.store.look(runner, limit, now=self.world.now)
        assert sight.expired == min(limit, len(late))
        for job in late[:limit]:
            job.failures += 1
            self.world.end(job, State.FAILED)
        due = self.world.due()[:limit]
        for job in due:
            job.promote(self.world.next())
        assert sight.promoted == len(due)
        assert (sight.ready, sight.paused) == (self.world.waiting(), self.world.paused())
        own = {worker for worker in self.world.seats if RUNNER_OF[worker] == runner}
        asked = [job for job in self.world.in_state(State.RUNNING) if job.reason and job.worker in own]
        assert {(told.worker, told.id, told.token, told.reason) for told in sight.cancellations} == {
            (job.worker, job.new.id, job.token, job.reason) for job in asked
        }

    @precondition(lambda self: any(self.world.in_state(*FINISHED)))
    @rule(state=st.sampled_from(State), older_than=st.sampled_from([None, 0.5, 5.5]), limit=limits)
    def prune(self, state: State, older_than: float | None, limit: int) -> None:
        jobs = self.world.in_state(state)
        over = [job.new.id for job in jobs if job.is_over(older_than, self.world.now)]
        limit = _uncut(limit, len(over))
        assert self.store.prune(state, older_than, limit, now=self.world.now) == min(limit, len(over))
        for id in over[:limit]:
            del self.world.jobs[id]

    def teardown(self) -> None:
        """Whatever has happened, every job can be brought to its end."""
        end = self.world.now + timedelta(days=1)
        for queue in QUEUES:
            self.store.resume(queue)
        self.store.register_runner(runner_info("runner-1"), now=end)
        for worker in RUNNER_OF:
            self.store.unregister_worker(worker)
        last = self.store.register_worker(worker_info("last"), now=end)
        promote(self.store, BIG, now=end)
        self.store.unpark([(task, 1) for task in TASKS], now=end)
        running = self.store.orphans(BIG) + self.store.exchange(last, [], QUEUES, BIG, now=end).claims
        outcomes = [OUTCOMES["succeeded"](held) for held in running]
        reply = self.store.exchange(last, outcomes, QUEUES, BIG, now=end)
        assert (reply.stale, reply.already, reply.claims) == ([], [], [])
        assert Auditor(self.store, self.inspector).findings() == []
        for state in FINISHED:
            self.store.prune(state, 1.0, BIG, now=end + timedelta(days=1))
        for runner in self.inspector.runners(now=end):
            self.store.retire(runner.id)
        assert self.inspector.counts() == []


def _uncut(limit: int, count: int) -> int:
    """A limit that leaves no choice to the store, so that a series of calls can be repeated."""
    return limit if limit == 0 or limit >= count else BIG


class Modelled:
    """The store and its model agree."""

    model_examples: ClassVar[int] = 10
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
