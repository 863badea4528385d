"""``Store.exchange`` as a claim, and ``Store.waiting``: who gets which job, in which order."""

from __future__ import annotations

import pytest

from dlq.job import Claim, Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.testing.contract.builders import (
    FAILURE,
    NOON,
    OUTCOMES,
    add,
    add_many,
    after,
    claim,
    claim_ids,
    claim_one,
    declare_lost,
    new_job,
    promote,
    record,
    settle_one,
    state_of,
)
from dlq.workers import WorkerRef

__all__ = ["Claiming"]


class Claiming:
    """Workers take jobs."""

    def test_a_claim_says_everything_about_the_job(self, store: Store, worker: WorkerRef) -> None:
        job = new_job(
            task="shop.tasks.charge",
            payload='[[1],{"currency":"EUR"}]',
            priority=42,
            run_after=after(-60),
            max_attempts=7,
            max_interruptions=5,
            overrides='{"timeout":30}',
            expires_after=600.5,
            metadata='{"customer":7}',
        )
        store.enqueue([job], now=NOON)
        found = claim_one(store, worker, now=after(3))
        assert found.token > 0
        assert found == Claim(
            id=job.id,
            token=found.token,
            task="shop.tasks.charge",
            queue="default",
            payload='[[1],{"currency":"EUR"}]',
            priority=42,
            run_after=after(-60),
            enqueued_at=NOON,
            claimed_at=after(3),
            worker=worker.id,
            attempts=0,
            interruptions=0,
            max_attempts=7,
            max_interruptions=5,
            overrides='{"timeout":30}',
            expires_at=after(600.5),
            metadata='{"customer":7}',
        )

    def test_a_claimed_job_is_running(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        found = claim_one(store, worker, now=after(3))
        job = record(store, found.id)
        assert (job.state, job.worker, job.token) == (State.RUNNING, worker.id, found.token)
        assert (job.started_at, job.finished_at) == (after(3), None)

    def test_a_claim_says_how_often_the_job_has_raised_and_was_interrupted(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add(store)
        for kind in ("retry now", "interrupted", "handed back", "retry now"):
            settle_one(store, worker, OUTCOMES[kind](claim_one(store, worker)))
        found = claim_one(store, worker)
        assert (found.attempts, found.interruptions, found.suspect) == (2, 1, True)

    def test_the_token_grows_with_every_claim(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        tokens = []
        for kind in ("handed back", "interrupted", "retry now", "succeeded"):
            found = claim_one(store, worker)
            tokens.append(found.token)
            settle_one(store, worker, OUTCOMES[kind](found))
        assert tokens == sorted(set(tokens))

    # --- Order ---

    def test_higher_priorities_come_first(self, store: Store, worker: WorkerRef) -> None:
        ids = {priority: add(store, priority=priority) for priority in (0, -100, 100, -1, 1)}
        assert claim_ids(store, worker) == [ids[p] for p in (100, 1, 0, -1, -100)]

    def test_equal_priorities_come_in_the_order_in_which_they_became_ready(
        self, store: Store, worker: WorkerRef
    ) -> None:
        late = add(store, run_after=after(10))
        early = add_many(store, 2, now=after(1))
        assert promote(store, 10, now=after(10)) == 1
        later = add(store, now=after(5))
        assert claim_ids(store, worker, now=after(11)) == [*early, late, later]

    def test_the_order_is_that_of_arrival_not_of_clocks_or_ids(self, store: Store, worker: WorkerRef) -> None:
        jobs = sorted((new_job() for _ in range(5)), key=lambda job: job.id, reverse=True)
        for at, job in enumerate(jobs):
            store.enqueue([job], now=after(-at))
        assert claim_ids(store, worker) == [job.id for job in jobs]

    def test_listed_queues_come_in_strict_order(self, store: Store, worker: WorkerRef) -> None:
        b = add_many(store, 2, queue="b", priority=100)
        a = add_many(store, 2, queue="a", priority=-100)
        c = add_many(store, 2, queue="c")
        assert claim_ids(store, worker, 3, queues=["c", "a", "b"]) == [*c, a[0]]
        assert claim_ids(store, worker, 3, queues=["c", "a", "b"]) == [a[1], *b]

    def test_claims_are_listed_in_the_order_in_which_they_are_to_start(
        self, store: Store, worker: WorkerRef
    ) -> None:
        places = [("a", 0), ("b", 5), ("a", 5), ("b", 0), ("a", 0)]
        ids = [add(store, queue=queue, priority=priority) for queue, priority in places]
        assert claim_ids(store, worker, queues=["b", "a"]) == [ids[at] for at in (1, 3, 2, 0, 4)]

    # --- Which jobs ---

    def test_only_the_listed_queues_are_claimed_from(self, store: Store, worker: WorkerRef) -> None:
        add(store, queue="other")
        id = add(store, queue="mine")
        assert claim_ids(store, worker, queues=["unknown", "mine"]) == [id]
        assert claim(store, worker, queues=[]) == []

    def test_a_queue_listed_twice_gives_each_job_once(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, 3)
        assert claim_ids(store, worker, queues=["default", "default"]) == ids

    def test_names_that_look_alike_are_different_queues(self, store: Store, worker: WorkerRef) -> None:
        names = ["mail", "Mail", "mail ", " mail", "maïl", "mail%", "m_il"]
        ids = {name: add(store, queue=name) for name in names}
        assert {name: claim_one(store, worker, queues=[name]).id for name in names} == ids

    @pytest.mark.parametrize("limit", [0, 1, 3, 4, 1000])
    def test_no_more_than_the_limit_is_claimed(self, store: Store, worker: WorkerRef, limit: int) -> None:
        ids = add_many(store, 3)
        assert claim_ids(store, worker, limit) == ids[:limit]

    def test_only_ready_jobs_are_claimed(self, store: Store, worker: WorkerRef) -> None:
        for kind in ("succeeded", "failed", "cancelled", "retry later", "parked"):
            add(store)
            settle_one(store, worker, OUTCOMES[kind](claim_one(store, worker)))
        add(store, run_after=after(10))
        add(store)
        claim_one(store, worker)
        assert claim(store, worker, now=after(3600)) == []

    # --- Which workers ---

    def test_a_worker_that_never_registered_is_given_nothing(self, store: Store) -> None:
        id = add(store)
        reply = store.exchange(WorkerRef("stranger"), [], ["default"], 1, now=NOON)
        assert (reply.claims, reply.registered) == ([], False)
        assert state_of(store, id) == State.READY

    def test_a_worker_that_unregistered_is_given_nothing(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        store.unregister_worker(worker.id)
        reply = store.exchange(worker, [], ["default"], 1, now=NOON)
        assert (reply.claims, reply.registered) == ([], False)

    def test_a_worker_whose_runner_was_declared_lost_is_given_nothing(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add(store)
        declare_lost(store, "runner-1")
        reply = store.exchange(worker, [], ["default"], 1, now=NOON)
        assert (reply.claims, reply.registered) == ([], False)

    def test_a_registered_worker_is_told_so(self, store: Store, worker: WorkerRef) -> None:
        assert store.exchange(worker, [], ["default"], 1, now=NOON).registered
        assert store.exchange(worker, [], [], 0, now=NOON).registered

    def test_two_workers_are_given_different_jobs(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef
    ) -> None:
        ids = add_many(store, 4)
        found = [claim_one(store, ref).id for ref in (worker, other_worker, worker, other_worker)]
        assert found == ids

    # --- waiting ---

    def test_waiting_names_the_queues_with_ready_jobs_sorted(self, store: Store) -> None:
        names = ["Zeta", "alpha", "alpha-2", "alpha.1", "alpha_b", "beta", "ähre", "日本"]
        for name in reversed(names):
            add_many(store, 2, queue=name)
        assert store.waiting() == names

    def test_nothing_waits_in_an_empty_store(self, store: Store) -> None:
        assert store.waiting() == []

    def test_a_queue_without_ready_jobs_is_not_waiting(self, store: Store, worker: WorkerRef) -> None:
        for kind in ("succeeded", "failed", "cancelled", "retry later", "parked"):
            add(store, queue=kind)
            settle_one(store, worker, OUTCOMES[kind](claim_one(store, worker, queues=[kind])))
        add(store, queue="scheduled", run_after=after(10))
        add(store, queue="running")
        found = claim_one(store, worker, queues=["running"])
        assert store.waiting() == []
        settle_one(store, worker, Outcome.interrupted(found, FAILURE))
        assert store.waiting() == ["running"]
