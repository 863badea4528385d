"""``Store.promote``, ``Store.prune``, ``Store.ping`` and ``Store.close``."""

from __future__ import annotations

import pytest

from dlq.job import Outcome, WorkerRef
from dlq.states import FINISHED, LIVE, State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.testing.contract.builders import (
    FAILURE,
    OUTCOMES,
    add,
    add_many,
    after,
    claim,
    claim_ids,
    claim_one,
    new_job,
    record,
    settle_one,
    state_of,
    totals,
)

__all__ = ["Upkeep"]

FINISHING = {State.SUCCEEDED: "succeeded", State.FAILED: "failed", State.CANCELLED: "cancelled"}
by_state = pytest.mark.parametrize("state", sorted(FINISHED), ids=lambda state: state.label)


def _finish(store: Store, worker: WorkerRef, state: State, at: float) -> None:
    add(store)
    settle_one(store, worker, OUTCOMES[FINISHING[state]](claim_one(store, worker)), now=after(at))


class Upkeep:
    """What has to be done now and then."""

    # --- promote ---

    def test_a_job_is_promoted_exactly_when_it_is_due(self, store: Store) -> None:
        id = add(store, run_after=after(10))
        assert (store.promote(10, now=after(9.999999)), state_of(store, id)) == (0, State.SCHEDULED)
        assert (store.promote(10, now=after(10)), state_of(store, id)) == (1, State.READY)
        assert store.promote(10, now=after(11)) == 0

    def test_a_retry_is_promoted_exactly_when_it_is_due(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        outcome = Outcome.retry(claim_one(store, worker), FAILURE, 2.5)
        id = settle_one(store, worker, outcome, now=after(10)).id
        assert (store.promote(10, now=after(12.499999)), state_of(store, id)) == (0, State.SCHEDULED)
        assert (store.promote(10, now=after(12.5)), state_of(store, id)) == (1, State.READY)

    def test_a_promoted_job_waits_for_no_time_any_more(self, store: Store) -> None:
        job = record(store, add(store, run_after=after(10)))
        store.promote(10, now=after(10))
        promoted = record(store, job.id)
        assert (promoted.due_at, promoted.run_after, promoted.enqueued_at) == (
            None,
            job.run_after,
            job.enqueued_at,
        )

    def test_a_due_job_is_not_claimed_before_it_is_promoted(self, store: Store, worker: WorkerRef) -> None:
        id = add(store, run_after=after(10))
        assert claim(store, worker, now=after(20)) == []
        assert store.waiting() == []
        store.promote(10, now=after(20))
        assert store.waiting() == ["default"]
        assert claim_ids(store, worker, now=after(20)) == [id]

    def test_the_longest_due_are_promoted_first(self, store: Store, worker: WorkerRef) -> None:
        ids = {at: add(store, run_after=after(at), priority=at) for at in (30, 10, 40, 20)}
        assert store.promote(2, now=after(40)) == 2
        assert [state_of(store, ids[at]).label for at in (10, 20, 30, 40)] == [
            "ready",
            "ready",
            "scheduled",
            "scheduled",
        ]
        assert store.promote(10, now=after(40)) == 2

    def test_jobs_promoted_together_run_in_the_order_in_which_they_were_due(
        self, store: Store, worker: WorkerRef
    ) -> None:
        ids = {at: add(store, run_after=after(at)) for at in (30, 10, 40, 20)}
        assert store.promote(10, now=after(40)) == 4
        assert claim_ids(store, worker) == [ids[at] for at in (10, 20, 30, 40)]

    def test_a_promoted_job_goes_behind_those_that_were_ready(self, store: Store, worker: WorkerRef) -> None:
        first = add(store, run_after=after(1))
        second = add(store, now=after(2))
        store.promote(10, now=after(3))
        assert claim_ids(store, worker) == [second, first]

    def test_jobs_of_all_queues_are_promoted(self, store: Store) -> None:
        for queue in ("a", "b"):
            add(store, queue=queue, run_after=after(1))
        assert store.promote(10, now=after(1)) == 2
        assert store.waiting() == ["a", "b"]

    # --- prune ---

    @by_state
    def test_jobs_that_finished_long_enough_ago_are_deleted(
        self, store: Store, worker: WorkerRef, inspector: Inspector, state: State
    ) -> None:
        for at in (0, 10, 20):
            _finish(store, worker, state, at)
        assert store.prune(state, 60, 10, now=after(75)) == 2
        assert totals(inspector) == {state: 1}
        assert store.prune(state, 60, 10, now=after(75)) == 0
        assert store.prune(state, 0, 10, now=after(75)) == 1
        assert inspector.counts() == []

    @by_state
    def test_jobs_in_other_states_are_not_deleted(
        self, store: Store, worker: WorkerRef, inspector: Inspector, state: State
    ) -> None:
        for other in FINISHED - {state}:
            _finish(store, worker, other, 0)
        assert store.prune(state, 1, 10, now=after(1e6)) == 0
        assert totals(inspector) == dict.fromkeys(FINISHED - {state}, 1)

    @pytest.mark.parametrize("state", sorted(LIVE), ids=lambda state: state.label)
    def test_a_job_that_has_not_finished_is_never_deleted(
        self, store: Store, worker: WorkerRef, inspector: Inspector, state: State
    ) -> None:
        for kind in ("retry later", "parked"):
            add(store)
            settle_one(store, worker, OUTCOMES[kind](claim_one(store, worker)))
        add_many(store, 2)
        claim_one(store, worker)
        assert store.prune(state, 1, 10, now=after(1e8)) == 0
        assert totals(inspector) == dict.fromkeys(LIVE, 1)

    def test_no_more_than_the_limit_is_deleted(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        for _ in range(5):
            _finish(store, worker, State.SUCCEEDED, 0)
        assert store.prune(State.SUCCEEDED, 1, 0, now=after(60)) == 0
        assert store.prune(State.SUCCEEDED, 1, 2, now=after(60)) == 2
        assert totals(inspector) == {State.SUCCEEDED: 3}

    def test_fractions_of_a_second_count(self, store: Store, worker: WorkerRef) -> None:
        _finish(store, worker, State.FAILED, 0)
        assert store.prune(State.FAILED, 0.5, 10, now=after(0.25)) == 0
        assert store.prune(State.FAILED, 0.5, 10, now=after(0.75)) == 1

    def test_a_deleted_job_leaves_nothing_behind(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        job = settle_one(store, worker, OUTCOMES["failed"](claim_one(store, worker)))
        assert store.prune(State.FAILED, 1, 10, now=after(60)) == 1
        assert store.get([job.id]) == []
        store.enqueue([new_job(id=job.id)], now=after(61))
        again = record(store, job.id)
        assert (again.state, again.attempts, list(again.history)) == (State.READY, 0, [])

    # --- ping and close ---

    def test_a_store_that_is_set_up_answers(self, store: Store) -> None:
        store.ping()

    def test_a_closed_store_opens_again(self, store: Store) -> None:
        id = add(store)
        store.close()
        store.close()
        assert state_of(store, id) == State.READY
        store.ping()
