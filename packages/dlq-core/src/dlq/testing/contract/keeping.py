"""``Store.prune``: how long finished jobs are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlq.states import FINISHED, LIVE, State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.testing.contract.builders import (
    NOON,
    OUTCOMES,
    add,
    add_many,
    after,
    claim_one,
    new_job,
    record,
    settle_one,
    totals,
)
from dlq.workers import WorkerRef

__all__ = ["Keeping"]

FINISHING = {State.SUCCEEDED: "succeeded", State.FAILED: "failed", State.CANCELLED: "cancelled"}
by_state = pytest.mark.parametrize("state", sorted(FINISHED), ids=lambda state: state.label)


def _finish(
    store: Store,
    worker: WorkerRef,
    state: State,
    at: float = 0,
    keep_for: float | None = None,
    task: str = "shop.tasks.send",
) -> None:
    id = add(store, task=task)
    outcome = OUTCOMES[FINISHING[state]](claim_one(store, worker))
    job = settle_one(store, worker, replace(outcome, keep_for=keep_for), now=after(at))
    assert job.id == id


class Keeping:
    """Nothing is deleted before its time."""

    # --- By age ---

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

    # --- By a time of its own ---

    @by_state
    def test_an_outcome_says_how_long_its_job_is_kept(
        self, store: Store, worker: WorkerRef, state: State
    ) -> None:
        add(store)
        outcome = OUTCOMES[FINISHING[state]](claim_one(store, worker))
        job = settle_one(store, worker, replace(outcome, keep_for=7.25), now=after(10))
        assert (job.state, job.keep_until) == (state, after(17.25))
        assert record(store, job.id) == job

    @by_state
    def test_without_a_word_of_that_a_job_has_no_time_of_its_own(
        self, store: Store, worker: WorkerRef, state: State
    ) -> None:
        add(store)
        job = settle_one(store, worker, OUTCOMES[FINISHING[state]](claim_one(store, worker)))
        assert job.keep_until is None

    @pytest.mark.parametrize("kind", ["retry later", "retry now", "handed back", "parked"])
    def test_a_job_that_has_not_finished_is_kept(
        self, store: Store, worker: WorkerRef, inspector: Inspector, kind: str
    ) -> None:
        add(store)
        outcome = replace(OUTCOMES[kind](claim_one(store, worker)), keep_for=1.0)
        assert settle_one(store, worker, outcome).keep_until is None
        for state in State:
            assert store.prune(state, 1, 10, now=after(1e6)) == 0

    @by_state
    @pytest.mark.parametrize("older_than", [None, 1, 60, 1e6])
    def test_a_job_with_a_time_of_its_own_goes_exactly_then_whatever_the_age(
        self, store: Store, worker: WorkerRef, state: State, older_than: float | None
    ) -> None:
        _finish(store, worker, state, at=100, keep_for=30.0)
        assert store.prune(state, older_than, 10, now=after(129.999999)) == 0
        assert store.prune(state, older_than, 10, now=after(130)) == 1

    @by_state
    def test_a_job_that_is_not_to_be_kept_goes_at_once(
        self, store: Store, worker: WorkerRef, state: State
    ) -> None:
        _finish(store, worker, state, at=100, keep_for=0.0)
        assert store.prune(state, None, 10, now=after(100)) == 1

    @by_state
    def test_without_an_age_only_jobs_with_a_time_of_their_own_go(
        self, store: Store, worker: WorkerRef, inspector: Inspector, state: State
    ) -> None:
        for keep_for in (None, 5.0, None, 1e9):
            _finish(store, worker, state, keep_for=keep_for)
        assert store.prune(state, None, 10, now=after(1e8)) == 1
        assert totals(inspector) == {state: 3}

    def test_jobs_with_and_without_a_time_of_their_own_go_in_one_call(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        for keep_for in (None, 5.0, 200.0):
            _finish(store, worker, State.FAILED, keep_for=keep_for)
        _finish(store, worker, State.FAILED, at=90)
        assert store.prune(State.FAILED, 60, 10, now=after(100)) == 2
        assert totals(inspector) == {State.FAILED: 2}

    def test_the_limit_counts_for_both_together(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        for keep_for in (None, 5.0) * 3:
            _finish(store, worker, State.FAILED, keep_for=keep_for)
        assert [store.prune(State.FAILED, 60, 4, now=after(100)) for _ in range(3)] == [4, 2, 0]
        assert inspector.counts() == []

    def test_a_time_of_its_own_in_another_state_is_no_reason(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        _finish(store, worker, State.SUCCEEDED, keep_for=5.0)
        assert store.prune(State.FAILED, 1, 10, now=after(100)) == 0
        assert totals(inspector) == {State.SUCCEEDED: 1}

    # --- By task ---

    @by_state
    def test_only_the_jobs_of_the_named_task_go(
        self, store: Store, worker: WorkerRef, inspector: Inspector, state: State
    ) -> None:
        for task in ("shop.a", "shop.b", "shop.A", "shop_a", "shop.a"):
            _finish(store, worker, state, task=task)
        assert store.prune(state, 1, 10, task="shop", now=after(100)) == 0
        assert store.prune(state, 1, 10, task="shop.a", now=after(100)) == 2
        assert totals(inspector) == {state: 3}

    def test_a_task_is_named_together_with_age_time_and_limit(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        for task in ("shop.a", "shop.b"):
            for at, keep_for in [(0, None), (90, None), (0, 5.0), (0, 1e6)]:
                _finish(store, worker, State.FAILED, at=at, keep_for=keep_for, task=task)
        assert store.prune(State.FAILED, None, 10, task="shop.b", now=after(100)) == 1
        assert store.prune(State.FAILED, 60, 1, task="shop.a", now=after(100)) == 1
        assert store.prune(State.FAILED, 60, 10, task="shop.a", now=after(100)) == 1
        assert totals(inspector) == {State.FAILED: 5}

    # --- Jobs that ended without a worker ---

    @pytest.mark.parametrize("way", ["cancelled", "expired"])
    def test_a_job_that_never_ran_is_kept_from_its_end(self, store: Store, way: str) -> None:
        id = add(store, expires_after=10)
        if way == "expired":
            store.look("nobody", 10, now=after(10))
        else:
            store.cancel([id], "no", now=after(10))
        state = record(store, id).state
        assert store.prune(state, 5, 10, now=after(14.5)) == 0
        assert store.prune(state, 5, 10, now=after(15)) == 1

    def test_a_failed_job_that_is_cancelled_is_kept_from_then(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        id = settle_one(store, worker, OUTCOMES["failed"](claim_one(store, worker)), now=NOON).id
        store.cancel([id], "seen", now=after(100))
        assert [store.prune(state, 60, 10, now=after(159)) for state in FINISHED] == [0, 0, 0]
        assert store.prune(State.CANCELLED, 60, 10, now=after(160)) == 1
