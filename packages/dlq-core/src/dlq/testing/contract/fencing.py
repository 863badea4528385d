"""The law of fencing: a claim that was taken away settles nothing, whatever it brings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from dlq.ids import new_job_id
from dlq.job import Claim, Counted, Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.testing.contract.builders import (
    FAILURE,
    OUTCOMES,
    RESCUER,
    MakeOutcome,
    add,
    after,
    claim,
    claim_one,
    declare_lost,
    every_outcome,
    record,
    register,
    rejected,
    rescue,
    settle,
    settle_one,
    state_of,
)
from dlq.workers import WorkerRef

__all__ = ["Fencing"]


def _lost(store: Store) -> tuple[WorkerRef, Claim]:
    """A worker that claimed a job, stalled, and was declared lost with its runner."""
    add(store)
    stalled = register(store, "stalled", "lost-runner")
    taken = claim_one(store, stalled)
    declare_lost(store, "lost-runner")
    return stalled, taken


def _waits(store: Store, worker: WorkerRef) -> None:
    """Nobody has claimed the job since."""


def _runs(store: Store, worker: WorkerRef) -> None:
    claim_one(store, worker)


def _has_finished(store: Store, worker: WorkerRef) -> None:
    settle_one(store, worker, OUTCOMES["succeeded"](claim_one(store, worker)))


def _is_retried(store: Store, worker: WorkerRef) -> None:
    settle_one(store, worker, OUTCOMES["retry later"](claim_one(store, worker)))


def _is_parked(store: Store, worker: WorkerRef) -> None:
    settle_one(store, worker, OUTCOMES["parked"](claim_one(store, worker)))


AFTERWARDS = [_waits, _runs, _has_finished, _is_retried, _is_parked]


class Fencing:
    """Tokens decide."""

    @every_outcome
    @pytest.mark.parametrize("then", AFTERWARDS)
    def test_a_stale_token_settles_nothing(
        self,
        store: Store,
        worker: WorkerRef,
        outcome_of: MakeOutcome,
        then: Callable[[Store, WorkerRef], None],
    ) -> None:
        stalled, taken = _lost(store)
        assert rescue(store) == []
        then(store, worker)
        before = record(store, taken.id)
        reply = settle(store, stalled, outcome_of(taken), now=after(5))
        assert (reply.stale, reply.already) == ([taken.id], [])
        assert record(store, taken.id) == before

    def test_who_holds_the_job_settles_it_after_a_stale_try(self, store: Store, worker: WorkerRef) -> None:
        stalled, taken = _lost(store)
        rescue(store)
        found = claim_one(store, worker)
        settle(store, stalled, OUTCOMES["failed"](taken))
        job = settle_one(store, worker, OUTCOMES["succeeded"](found))
        assert (job.state, job.worker, job.attempts, job.interruptions) == (
            State.SUCCEEDED,
            worker.id,
            1,
            1,
        )

    @every_outcome
    def test_a_job_that_failed_with_its_lost_worker_stays_failed(
        self, store: Store, outcome_of: MakeOutcome
    ) -> None:
        stalled, taken = _lost(store)
        before = settle_one(store, RESCUER, OUTCOMES["worker lost"](taken))
        reply = settle(store, stalled, outcome_of(taken))
        assert (reply.stale, reply.already) == ([taken.id], [])
        assert record(store, taken.id) == before

    @every_outcome
    def test_a_claim_that_was_handed_back_by_others_settles_nothing(
        self, store: Store, outcome_of: MakeOutcome
    ) -> None:
        stalled, taken = _lost(store)
        settle_one(store, RESCUER, Outcome.handed_back(taken))
        reply = settle(store, stalled, outcome_of(taken))
        assert (reply.stale, reply.already) == ([taken.id], [])
        assert (state_of(store, taken.id), record(store, taken.id).attempts) == (State.READY, 0)

    def test_an_orphan_that_is_not_rescued_yet_is_settled_by_its_worker(self, store: Store) -> None:
        stalled, taken = _lost(store)
        assert settle_one(store, stalled, OUTCOMES["succeeded"](taken)).state == State.SUCCEEDED

    def test_a_rescue_that_lost_the_race_changes_nothing(self, store: Store) -> None:
        stalled, taken = _lost(store)
        (orphan,) = store.orphans(10)
        before = settle_one(store, stalled, OUTCOMES["succeeded"](taken))
        reply = settle(store, RESCUER, Outcome.interrupted(orphan, FAILURE))
        assert (reply.stale, reply.already) == ([taken.id], [])
        assert record(store, taken.id) == before

    def test_of_two_rescuers_one_has_rescued(self, store: Store) -> None:
        _, taken = _lost(store)
        for rescuer in ("rescuer-1", "rescuer-2"):
            reply = settle(store, WorkerRef(rescuer), Outcome.interrupted(taken, FAILURE))
            assert reply.stale == ([] if rescuer == "rescuer-1" else [taken.id])
        assert record(store, taken.id).interruptions == 1

    # --- Tokens, and nothing else ---

    @every_outcome
    def test_equal_attempts_do_not_make_an_old_claim_valid(
        self, store: Store, worker: WorkerRef, outcome_of: MakeOutcome
    ) -> None:
        stalled, taken = _lost(store)
        settle_one(store, RESCUER, Outcome.handed_back(taken))
        found = claim_one(store, worker)
        assert (found.attempts, found.interruptions) == (taken.attempts, taken.interruptions)
        assert found.token > taken.token
        before = record(store, taken.id)
        assert settle(store, stalled, outcome_of(taken)).stale == [taken.id]
        assert record(store, taken.id) == before

    def test_a_worker_is_fenced_off_from_its_own_older_claim(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        older = claim_one(store, worker)
        worker = store.reconcile(worker, [])
        newer = claim_one(store, worker)
        assert older.id == newer.id
        assert settle(store, worker, OUTCOMES["failed"](older)).stale == [older.id]
        assert state_of(store, newer.id) == State.RUNNING
        assert settle_one(store, worker, OUTCOMES["succeeded"](newer)).state == State.SUCCEEDED

    def test_a_token_of_the_future_settles_nothing(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        found = claim_one(store, worker)
        before = record(store, found.id)
        guessed = replace(OUTCOMES["succeeded"](found), token=found.token + 1)
        assert settle(store, worker, guessed).stale == [found.id]
        assert record(store, found.id) == before

    def test_the_token_of_one_job_settles_no_other(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        settle_one(store, worker, OUTCOMES["retry now"](claim_one(store, worker)))
        add(store)
        first, second = sorted(claim(store, worker), key=lambda claim: claim.token)
        assert first.token < second.token
        crossed = replace(OUTCOMES["handed back"](second), token=first.token)
        assert rejected(settle(store, worker, crossed)) == [second.id]
        assert state_of(store, second.id) == State.RUNNING

    def test_an_old_token_is_stale_after_newer_ones_have_settled(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef
    ) -> None:
        add(store)
        older = claim_one(store, worker)
        settle_one(store, worker, OUTCOMES["retry now"](older))
        before = settle_one(store, other_worker, OUTCOMES["succeeded"](claim_one(store, other_worker)))
        reply = settle(store, worker, OUTCOMES["retry now"](older))
        assert (reply.stale, reply.already) == ([older.id], [])
        assert record(store, older.id) == before

    @pytest.mark.parametrize("pruned", [True, False])
    def test_an_outcome_of_a_job_that_is_not_there_is_stale(
        self, store: Store, worker: WorkerRef, pruned: bool
    ) -> None:
        id = _pruned(store, worker) if pruned else new_job_id()
        outcome = Outcome(id=id, token=1, state=State.READY, counted=Counted.NOTHING)
        reply = settle(store, worker, outcome)
        assert (reply.stale, reply.already) == ([id], [])
        assert store.get([id]) == []


def _pruned(store: Store, worker: WorkerRef) -> UUID:
    add(store)
    id = settle_one(store, worker, OUTCOMES["succeeded"](claim_one(store, worker))).id
    assert store.prune(State.SUCCEEDED, 60, 10, now=after(120)) == 1
    return id
