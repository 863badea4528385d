"""``Store.reconcile``: an exchange whose answer never came strands nothing."""

from __future__ import annotations

import pytest

from dlq.errors import RunnerUnknown
from dlq.ids import new_job_id
from dlq.states import State
from dlq.store.base import Store
from dlq.testing.contract.builders import (
    NOON,
    OUTCOMES,
    MakeOutcome,
    add,
    add_many,
    after,
    claim,
    claim_ids,
    claim_one,
    declare_lost,
    every_outcome,
    record,
    rejected,
    settle,
    settle_one,
    state_of,
)
from dlq.workers import WorkerRef

__all__ = ["Reconciling"]


class Reconciling:
    """A worker and the store agree again on what the worker holds."""

    def test_claims_that_the_worker_does_not_know_go_back_uncounted(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add(store)
        lost = claim_one(store, worker)
        store.reconcile(worker, [], now=after(1))
        job = record(store, lost.id)
        assert (job.state, job.worker, job.attempts, job.interruptions) == (State.READY, None, 0, 0)
        assert list(job.history) == []

    def test_they_go_back_to_their_places(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, 5)
        claim(store, worker, 3)
        worker = store.reconcile(worker, [], now=after(1))
        assert claim_ids(store, worker) == ids

    def test_claims_that_the_worker_holds_stay_its_own(self, store: Store, worker: WorkerRef) -> None:
        add_many(store, 3)
        kept, lost, also_kept = claim(store, worker)
        before = record(store, kept.id)
        worker = store.reconcile(worker, {(kept.id, kept.token), (also_kept.id, also_kept.token)})
        assert record(store, kept.id) == before
        assert [state_of(store, found.id) for found in (kept, lost, also_kept)] == [
            State.RUNNING,
            State.READY,
            State.RUNNING,
        ]
        assert settle_one(store, worker, OUTCOMES["succeeded"](kept)).state == State.SUCCEEDED

    def test_a_claim_held_under_another_token_is_not_held(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        older = claim_one(store, worker)
        settle_one(store, worker, OUTCOMES["handed back"](older))
        newer = claim_one(store, worker)
        worker = store.reconcile(worker, [(older.id, older.token)])
        assert state_of(store, newer.id) == State.READY

    def test_claims_of_other_workers_are_left_alone(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef
    ) -> None:
        add_many(store, 2)
        claim_one(store, worker)
        others = claim_one(store, other_worker)
        store.reconcile(worker, [])
        assert store.held(worker.id, 10) == []
        assert store.held(other_worker.id, 10) == [others]

    def test_what_the_store_does_not_know_is_ignored(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        found = claim_one(store, worker)
        settle_one(store, worker, OUTCOMES["succeeded"](found))
        before = record(store, found.id)
        store.reconcile(worker, [(found.id, found.token), (new_job_id(), 7)])
        assert record(store, found.id) == before

    @every_outcome
    def test_a_claim_that_went_back_settles_nothing(
        self, store: Store, worker: WorkerRef, outcome_of: MakeOutcome
    ) -> None:
        add(store)
        lost = claim_one(store, worker)
        worker = store.reconcile(worker, [])
        before = record(store, lost.id)
        reply = settle(store, worker, outcome_of(lost))
        assert (reply.stale, reply.already) == ([lost.id], [])
        assert record(store, lost.id) == before

    # --- Incarnations ---

    def test_the_new_reference_replaces_the_old_one(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        newer = store.reconcile(worker, [])
        assert (newer.id, newer.incarnation > worker.incarnation) == (worker.id, True)
        reply = store.exchange(newer, [], ["default"], 1, now=NOON)
        assert (len(reply.claims), reply.registered) == (1, True)

    def test_an_exchange_under_an_old_incarnation_claims_nothing_but_settles(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add_many(store, 2)
        found = claim_one(store, worker)
        store.reconcile(worker, [(found.id, found.token)])
        reply = store.exchange(worker, [OUTCOMES["succeeded"](found)], ["default"], 1, now=NOON)
        assert (rejected(reply), reply.claims, reply.registered) == ([], [], False)
        assert state_of(store, found.id) == State.SUCCEEDED
        assert store.waiting() == ["default"]

    def test_each_reconciliation_ends_the_incarnation_before(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        refs = [worker]
        for _ in range(3):
            refs.append(store.reconcile(refs[-1], []))
        assert [len(claim(store, ref)) for ref in refs] == [0, 0, 0, 1]

    def test_a_reconciliation_repeated_under_the_old_reference_still_gives_a_valid_one(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add(store)
        store.reconcile(worker, [])
        assert len(claim(store, store.reconcile(worker, []))) == 1

    @pytest.mark.parametrize("way", ["never", "unregistered", "runner lost"])
    def test_a_worker_that_is_not_registered_is_told_so(
        self, store: Store, worker: WorkerRef, way: str
    ) -> None:
        add(store)
        found = claim_one(store, worker)
        match way:
            case "never":
                worker = WorkerRef("stranger")
            case "unregistered":
                store.unregister_worker(worker.id)
            case "runner lost":
                declare_lost(store, "runner-1")
        with pytest.raises(RunnerUnknown):
            store.reconcile(worker, [])
        assert state_of(store, found.id) == State.RUNNING

    # --- Lost replies ---

    def test_a_lost_reply_strands_no_job(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, 6)
        first, second, running = claim(store, worker, 3)
        outcomes = [OUTCOMES["succeeded"](first), OUTCOMES["retry now"](second)]
        store.exchange(worker, outcomes, ["default"], 2, now=after(1))  # The answer gets lost.

        worker = store.reconcile(worker, [(running.id, running.token)], now=after(2))
        reply = settle(store, worker, *outcomes, now=after(3))
        assert (reply.stale, sorted(reply.already)) == ([], sorted([first.id, second.id]))
        assert (record(store, first.id).attempts, record(store, second.id).attempts) == (1, 1)

        rest = claim(store, worker, now=after(4))
        assert [found.id for found in rest] == [*ids[3:], second.id]
        reply = settle(store, worker, *[OUTCOMES["succeeded"](found) for found in [running, *rest]])
        assert rejected(reply) == []
        assert {state_of(store, id) for id in ids} == {State.SUCCEEDED}

    def test_a_lost_request_strands_no_job(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, 3)
        finished, running = claim(store, worker, 2)
        # The exchange with this outcome never arrived, so the worker holds both claims still.
        held = [(found.id, found.token) for found in (finished, running)]
        worker = store.reconcile(worker, held)
        outcomes = [OUTCOMES["succeeded"](found) for found in (finished, running)]
        reply = store.exchange(worker, outcomes, ["default"], 5, now=after(1))
        assert (rejected(reply), [found.id for found in reply.claims]) == ([], ids[2:])
