"""Laws that only a race can break: many workers, rescuers and clients at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import ClassVar
from uuid import UUID

from dlq.errors import RunnerUnknown
from dlq.job import Claim, Enqueued, NewJob, Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.testing.contract.builders import (
    FAILURE,
    NOON,
    OUTCOMES,
    MakeStore,
    add,
    add_many,
    after,
    claim,
    claim_ids,
    claim_one,
    new_job,
    promote,
    record,
    register,
    rejected,
    runner_info,
    settle,
    settle_one,
    totals,
    worker_info,
)
from dlq.testing.contract.deduplicating import unique_job
from dlq.workers import WorkerRef

__all__ = ["Concurrency", "claiming", "reconciling", "settling", "together"]

PATIENCE = 60.0
"""Seconds until a thread that has not come back is given up."""


def together[R](make_store: MakeStore, *works: Callable[[Store], R], dedicated: bool = True) -> list[R]:
    """Do these at the same moment, each in a thread with a Store object of its own; their answers in order.

    Runners and workers have dedicated connections, clients have not.
    """
    start = threading.Barrier(len(works))
    answers: dict[int, R] = {}
    errors: list[BaseException] = []

    def run(at: int, work: Callable[[Store], R]) -> None:
        store = make_store()
        try:
            if dedicated:
                store.dedicate()
            store.ping()  # Opens the connection, so that the race is about the verb.
            start.wait(PATIENCE)
            answers[at] = work(store)
        except BaseException as error:
            errors.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=run, args=part, daemon=True) for part in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads), f"no answer after {PATIENCE:g} seconds"
    if errors:
        raise errors[0]
    return [answers[at] for at in range(len(works))]


def claiming(worker: WorkerRef) -> Callable[[Store], list[UUID]]:
    """A claim of a few; it answers with the ids."""
    return lambda store: claim_ids(store, worker, 5)


def reconciling(worker: WorkerRef) -> Callable[[Store], list[UUID]]:
    """A reconciliation of a worker that holds nothing; it answers with no ids."""

    def work(store: Store) -> list[UUID]:
        store.reconcile(worker, [])
        return []

    return work


def _retiring(runner: str, beat: int) -> Callable[[Store], bool]:
    return lambda store: store.retire(runner, beat)


def _beating(runner: str) -> Callable[[Store], bool]:
    return lambda store: runner in store.beat(runner, now=NOON)


def _registering(worker: str, runner: str) -> Callable[[Store], bool]:
    def work(store: Store) -> bool:
        try:
            store.register_worker(worker_info(worker, runner), now=NOON)
        except RunnerUnknown:
            return False
        return True

    return work


def _enqueueing(jobs: Sequence[NewJob]) -> Callable[[Store], Enqueued]:
    return lambda store: store.enqueue(jobs, now=NOON)


def settling(worker: WorkerRef, outcomes: Sequence[Outcome]) -> Callable[[Store], list[UUID]]:
    """A settlement; it answers with the outcomes that were written."""

    def work(store: Store) -> list[UUID]:
        refused = set(rejected(settle(store, worker, *outcomes)))
        return [outcome.id for outcome in outcomes if outcome.id not in refused]

    return work


class Concurrency:
    """Many at once."""

    claimers: ClassVar[int] = 8
    """How many threads race for jobs."""
    rounds: ClassVar[int] = 10
    """How often a race between few is repeated."""

    # --- Claims ---

    def test_no_two_workers_are_given_the_same_job(
        self, store: Store, make_store: MakeStore, inspector: Inspector
    ) -> None:
        ids = add_many(store, 200)

        def claim_all(worker: WorkerRef) -> Callable[[Store], list[UUID]]:
            def work(store: Store) -> list[UUID]:
                taken: list[UUID] = []
                while some := claim_ids(store, worker, 5):
                    taken += some
                return taken

            return work

        workers = [register(store, f"worker-{at}") for at in range(self.claimers)]
        found = [id for taken in together(make_store, *map(claim_all, workers)) for id in taken]
        assert Counter(found) == Counter(ids)
        assert totals(inspector) == {State.RUNNING: 200}

    def test_every_job_is_completed_once_among_workers_that_fail_and_hand_back(
        self, store: Store, make_store: MakeStore, inspector: Inspector
    ) -> None:
        ids = add_many(store, 120)
        workers = [register(store, f"worker-{at}") for at in range(self.claimers)]
        done = together(make_store, *map(_working_off, workers))
        assert Counter(id for ids in done for id in ids) == Counter(ids)
        assert totals(inspector) == {State.SUCCEEDED: 120}

    def test_one_claimer_after_another_sees_what_was_handed_back(
        self, store: Store, make_store: MakeStore
    ) -> None:
        workers = [register(store, "worker-a"), register(store, "worker-b")]
        for _ in range(self.rounds):
            id = add(store)
            held = claim_one(store, workers[0])
            works = [settling(workers[0], [Outcome.handed_back(held)]), claiming(workers[1])]
            _, taken = together(make_store, *works)
            taken = taken or claim_ids(store, workers[1])
            assert taken == [id]

    # --- Settlements ---

    def test_of_two_settlements_of_one_token_one_is_written(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        for _ in range(self.rounds):
            add(store)
            found = claim_one(store, worker)
            rivals = [(worker, OUTCOMES["succeeded"]), (WorkerRef("rescuer"), OUTCOMES["interrupted"])]
            works = [settling(ref, [outcome_of(found)]) for ref, outcome_of in rivals]
            winner = together(make_store, *works).index([found.id])
            job = record(store, found.id)
            assert job.state == (State.SUCCEEDED, State.READY)[winner]
            assert (job.attempts, job.interruptions) == ((1, 0), (0, 1))[winner]
            if winner:
                settle_one(store, worker, OUTCOMES["succeeded"](claim_one(store, worker)))

    def test_a_settlement_repeated_while_it_is_under_way_counts_once(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        for _ in range(self.rounds):
            add(store)
            outcome = Outcome.failed(claim_one(store, worker), FAILURE)
            written = together(make_store, *[settling(worker, [outcome])] * 4)
            assert sorted(written) == [[], [], [], [outcome.id]]
            job = record(store, outcome.id)
            assert (job.attempts, len(job.history)) == (1, 1)

    def test_batches_that_overlap_in_opposite_orders_are_settled_once(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        ids = add_many(store, 100)
        for kind in ("interrupted", "interrupted", "interrupted", "succeeded"):
            outcomes = [OUTCOMES[kind](found) for found in claim(store, worker)]
            orders = [outcomes, outcomes[::-1]] * (self.claimers // 2)
            works = [settling(WorkerRef(f"rescuer-{at}"), order) for at, order in enumerate(orders)]
            written = [id for done in together(make_store, *works) for id in done]
            assert Counter(written) == Counter(ids)
        assert {(job.interruptions, job.attempts) for job in store.get(ids)} == {(3, 1)}

    # --- Reconciliation ---

    def test_an_exchange_that_races_with_its_reconciliation_strands_nothing(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        ids = add_many(store, 5)
        for _ in range(self.rounds):
            older = worker
            together(make_store, claiming(older), reconciling(older))
            assert store.held(older.id, 10) == []
            worker = store.reconcile(older, [])
        assert claim_ids(store, worker) == ids

    def test_a_settlement_that_races_with_a_reconciliation_is_written_or_rejected(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        for _ in range(self.rounds):
            add_many(store, 3)
            outcomes = [OUTCOMES["succeeded"](found) for found in claim(store, worker)]
            written, _ = together(make_store, settling(worker, outcomes), reconciling(worker))
            states = {job.id: job.state for job in store.get([outcome.id for outcome in outcomes])}
            assert states == {
                outcome.id: State.SUCCEEDED if outcome.id in written else State.READY for outcome in outcomes
            }
            worker = store.reconcile(worker, [])
            settle(store, worker, *map(OUTCOMES["succeeded"], claim(store, worker)))

    # --- Liveness ---

    def test_of_many_rescuers_one_retires_a_runner(self, store: Store, make_store: MakeStore) -> None:
        for _ in range(self.rounds):
            register(store, "w", "a")
            beat = store.beat("a", now=NOON)["a"]
            retired = together(make_store, *[_retiring("a", beat)] * 4)
            assert sorted(retired) == [False, False, False, True]

    def test_a_beat_that_races_with_a_retirement_has_one_winner(
        self, store: Store, make_store: MakeStore
    ) -> None:
        for _ in range(self.rounds):
            register(store, "w", "a")
            beat = store.beat("a", now=NOON)["a"]
            retired, counted = together(make_store, _retiring("a", beat), _beating("a"))
            assert retired != counted
            assert _beating("a")(store) == counted

    def test_runners_that_beat_at_the_same_moment_all_count(
        self, store: Store, make_store: MakeStore
    ) -> None:
        names = [f"runner-{at}" for at in range(self.claimers)]
        for name in [*names, "observer"]:
            store.register_runner(runner_info(name), now=NOON)
        before = store.beat("observer", now=NOON)
        for _ in range(self.rounds):
            assert all(together(make_store, *map(_beating, names)))
        beats = store.beat("observer", now=NOON)
        assert {beats[name] - before[name] for name in names} == {self.rounds}

    def test_a_registration_that_races_with_its_runners_retirement_leaves_no_lone_worker(
        self, store: Store, make_store: MakeStore, inspector: Inspector
    ) -> None:
        add(store)
        for _ in range(self.rounds):
            store.register_runner(runner_info("a"), now=NOON)
            together(make_store, _registering("w", "a"), lambda store: store.retire("a"))
            assert inspector.runners(now=NOON) == []
            assert claim(store, WorkerRef("w")) == []

    # --- Upkeep ---

    def test_promotions_at_the_same_moment_promote_each_job_once(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        ids = add_many(store, 60, run_after=after(1))
        done = together(make_store, *[lambda store: promote(store, 25, now=after(2))] * 4)
        assert sum(done) + promote(store, 100, now=after(2)) == 60
        assert sorted(claim_ids(store, worker)) == sorted(ids)

    def test_unparking_at_the_same_moment_counts_each_job_once(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        ids = add_many(store, 30, task="new.task")
        settle(store, worker, *map(Outcome.parked, claim(store, worker)))
        assert sum(together(make_store, *[lambda store: store.unpark([("new.task", 1)])] * 4)) == 30
        assert claim_ids(store, worker) == ids

    def test_prunes_at_the_same_moment_count_each_job_once(
        self, store: Store, make_store: MakeStore, worker: WorkerRef, inspector: Inspector
    ) -> None:
        add_many(store, 60)
        settle(store, worker, *map(OUTCOMES["succeeded"], claim(store, worker)))
        done = together(make_store, *[lambda store: store.prune(State.SUCCEEDED, 1, 25, now=after(60))] * 4)
        assert sum(done) + store.prune(State.SUCCEEDED, 1, 100, now=after(60)) == 60
        assert inspector.counts() == []

    # --- Clients ---

    def test_threads_of_clients_and_of_runners_see_the_same_jobs(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        jobs = [new_job() for _ in range(3)]
        together(make_store, _enqueueing(jobs), dedicated=False)
        assert together(make_store, claiming(worker)) == [[job.id for job in jobs]]
        assert len(store.held(worker.id, 10)) == 3

    def test_an_enqueue_repeated_while_it_is_under_way_stores_each_job_once(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        for _ in range(self.rounds):
            jobs = [new_job() for _ in range(5)]
            together(make_store, *[_enqueueing(jobs)] * 4, dedicated=False)
            assert claim_ids(store, worker) == [job.id for job in jobs]

    def test_of_many_who_enqueue_a_unique_job_at_the_same_moment_one_has_it(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        for _ in range(self.rounds):
            jobs = [unique_job() for _ in range(32)]
            together(make_store, *[_enqueueing([job]) for job in jobs], dedicated=False)
            (winner,) = claim_ids(store, worker)
            others = {found.duplicate_of for found in store.get([job.id for job in jobs if job.id != winner])}
            assert others == {winner}
            settle(store, worker, *map(OUTCOMES["succeeded"], store.held(worker.id, 10)))

    def test_batches_of_the_same_unique_jobs_in_any_order_wait_for_nobody_in_a_circle(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        for _ in range(self.rounds):
            batches = [[unique_job(f"account:{number}") for number in range(10)] for _ in range(4)]
            for batch in batches[::2]:
                batch.reverse()
            together(make_store, *map(_enqueueing, batches), dedicated=False)
            assert len(claim_ids(store, worker)) == 10
            settle(store, worker, *map(OUTCOMES["succeeded"], store.held(worker.id, 100)))

    def test_a_unique_job_that_is_enqueued_while_the_first_ends_is_stored_or_a_duplicate(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        for _ in range(self.rounds):
            first, second = unique_job(), unique_job()
            store.enqueue([first], now=NOON)
            ended = OUTCOMES["succeeded"](claim_one(store, worker))
            works: list[Callable[[Store], object]] = [_enqueueing([second]), settling(worker, [ended])]
            together(make_store, *works)
            found = record(store, second.id)
            assert (found.state, found.duplicate_of) in [(State.READY, None), (State.CANCELLED, first.id)]
            store.cancel([second.id], "over", now=NOON)

    def test_batches_enqueued_at_the_same_moment_keep_their_order(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        batches = [[new_job() for _ in range(10)] for _ in range(self.claimers)]
        together(make_store, *map(_enqueueing, batches), dedicated=False)
        places = {id: place for place, id in enumerate(claim_ids(store, worker, 1000))}
        assert len(places) == 10 * self.claimers
        for jobs in batches:
            assert [places[job.id] for job in jobs] == sorted(places[job.id] for job in jobs)


def _working_off(worker: WorkerRef) -> Callable[[Store], list[UUID]]:
    """Claims, and settles with the next claim, until there is nothing left; answers with what succeeded."""

    def work(store: Store) -> list[UUID]:
        done: list[UUID] = []
        outcomes: list[Outcome] = []
        while True:
            reply = store.exchange(worker, outcomes, ["default"], 4, now=NOON)
            assert rejected(reply) == []
            if not outcomes and not reply.claims:
                return done
            done += [outcome.id for outcome in outcomes if outcome.state is State.SUCCEEDED]
            outcomes = [_at_the_third_try(found) for found in reply.claims]

    return work


def _at_the_third_try(claim: Claim) -> Outcome:
    """The job is interrupted, then raises, then succeeds."""
    if not claim.interruptions:
        return OUTCOMES["interrupted"](claim)
    return OUTCOMES["succeeded" if claim.attempts else "retry now"](claim)
