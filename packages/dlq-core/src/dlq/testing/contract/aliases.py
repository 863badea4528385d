"""Store objects on the same data: those of one backend share everything, those of two share nothing."""

from __future__ import annotations

import pytest

from dlq.job import Outcome, WorkerRef
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
    register,
    runner_info,
    settle,
    settle_one,
    state_of,
    totals,
)

__all__ = ["Aliases"]


class Aliases:
    """One backend, one world."""

    def test_a_store_knows_its_alias(self, store: Store, make_store: MakeStore) -> None:
        assert (make_store().alias, make_store(alias="other").alias) == (store.alias, "other")

    # --- One backend ---

    def test_store_objects_of_one_backend_share_its_jobs(self, store: Store, make_store: MakeStore) -> None:
        ids = add_many(store, 2)
        worker = register(make_store())
        found = claim_one(make_store(), worker)
        assert found.id == ids[0]
        assert store.held(worker.id, 10) == [found]
        assert settle_one(make_store(), worker, OUTCOMES["succeeded"](found)).state == State.SUCCEEDED
        assert [state_of(store, id) for id in ids] == [State.SUCCEEDED, State.READY]

    def test_store_objects_of_one_backend_share_its_order(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        ids = [add(make_store()) for _ in range(4)]
        assert claim_ids(store, worker) == ids

    def test_store_objects_of_one_backend_share_its_runners(
        self, store: Store, make_store: MakeStore
    ) -> None:
        store.register_runner(runner_info("a"), now=NOON)
        make_store().register_runner(runner_info("b"), now=NOON)
        beats = make_store().beat("a", now=NOON)
        assert set(beats) == {"a", "b"}
        assert make_store().retire("a", beats["a"])
        assert store.beat("a", now=NOON) == {}

    # --- Two backends ---

    def test_the_jobs_of_one_backend_are_not_seen_in_another(
        self, store: Store, make_store: MakeStore, inspector: Inspector
    ) -> None:
        other = make_store(alias="other")
        id = add(other)
        assert (store.get([id]), store.waiting(), inspector.counts()) == ([], [], [])
        assert (other.waiting(), state_of(other, id)) == (["default"], State.READY)

    def test_a_worker_claims_from_its_own_backend_only(self, store: Store, make_store: MakeStore) -> None:
        other = make_store(alias="other")
        mine, theirs = add(store), add(other)
        assert claim_ids(store, register(store)) == [mine]
        assert claim_ids(other, register(other)) == [theirs]

    def test_a_worker_of_one_backend_is_a_stranger_in_another(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        other = make_store(alias="other")
        add(other)
        reply = other.exchange(worker, [], ["default"], 1, now=NOON)
        assert (reply.claims, reply.registered) == ([], False)

    def test_a_claim_is_settled_in_its_own_backend_only(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        add(store)
        found = claim_one(store, worker)
        reply = settle(make_store(alias="other"), worker, OUTCOMES["succeeded"](found))
        assert (reply.stale, reply.already) == ([found.id], [])
        assert state_of(store, found.id) == State.RUNNING

    def test_claims_of_another_backend_are_neither_held_nor_orphans_here(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        other = make_store(alias="other")
        add(store)
        found = claim_one(store, worker)
        assert (other.held(worker.id, 10), other.orphans(10)) == ([], [])
        store.unregister_worker(worker.id)
        register(other, worker.id)
        assert (other.held(worker.id, 10), other.orphans(10)) == ([], [])
        assert store.orphans(10) == [found]

    def test_a_reconciliation_stays_in_its_backend(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        other = make_store(alias="other")
        add(store)
        found = claim_one(store, worker)
        other.reconcile(register(other, worker.id), [])
        assert store.held(worker.id, 10) == [found]
        assert store.exchange(worker, [], [], 0, now=NOON).registered

    @pytest.mark.parametrize("upkeep", ["promote", "unpark", "prune"])
    def test_upkeep_stays_in_its_backend(
        self, store: Store, make_store: MakeStore, worker: WorkerRef, inspector: Inspector, upkeep: str
    ) -> None:
        add_many(store, 3, task="shop.send")
        for kind in ("retry later", "parked", "failed"):
            settle_one(store, worker, OUTCOMES[kind](claim_one(store, worker)))
        before = totals(inspector)
        other = make_store(alias="other")
        assert other.parked() == []
        match upkeep:
            case "promote":
                done = other.promote(10, now=after(1e6))
            case "unpark":
                done = other.unpark(["shop.send"], now=after(1e6))
            case _:
                done = other.prune(State.FAILED, 1, 10, now=after(1e6))
        assert (done, totals(inspector)) == (0, before)

    def test_a_runner_may_serve_two_backends(
        self, store: Store, make_store: MakeStore, inspector: Inspector
    ) -> None:
        other = make_store(alias="other")
        worker, others = register(store, "w", "a"), register(other, "v", "a")
        store.register_runner(runner_info("b"), now=NOON)
        assert set(other.beat("a", now=NOON)) == {"a"}
        assert store.retire("a")
        assert set(other.beat("a", now=NOON)) == {"a"}
        add(store)
        add(other)
        assert (len(claim(store, worker)), len(claim(other, others))) == (0, 1)

    def test_a_rescue_stays_in_its_backend(self, store: Store, make_store: MakeStore) -> None:
        other = make_store(alias="other")
        add(store)
        add(other)
        claim_one(store, register(store, "w", "a"))
        lost = claim_one(other, register(other, "v", "b"))
        other.retire("b")
        assert store.orphans(10) == []
        assert other.orphans(10) == [lost]
        settle_one(other, WorkerRef("rescuer"), Outcome.interrupted(lost, FAILURE))
        assert state_of(other, lost.id) == State.READY
