"""Store objects on the same data: those of one backend share everything, those of two share nothing."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from dlq.job import Note, Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector, JobFilter
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
    look,
    one_of_each,
    promote,
    record,
    register,
    runner_info,
    settle,
    settle_one,
    state_of,
    totals,
)
from dlq.workers import Order, Sight, WorkerRef

__all__ = ["Aliases"]


type Control = Callable[[Store, dict[State, UUID], int], object]

CONTROLS: dict[str, Control] = {
    "pause": lambda store, ids, token: store.pause("ready", now=NOON),
    "resume": lambda store, ids, token: store.resume("paused"),
    "cancel": lambda store, ids, token: store.cancel(ids.values(), "no", now=after(5)),
    "retry": lambda store, ids, token: store.retry(ids.values(), now=after(5)),
    "instruct": lambda store, ids, token: store.instruct("worker-1", Order.STOP),
    "heed": lambda store, ids, token: store.heed("worker-1", 1),
    "annotate": lambda store, ids, token: store.annotate(
        [Note(id=ids[State.RUNNING], token=token, message="here", lines=["here"])]
    ),
    "look": lambda store, ids, token: store.look("runner-1", 10, now=after(1e6)),
}
"""What somebody may do in one backend, with the ids of jobs, and the token of a claim, of another."""


def _world(store: Store, inspector: Inspector) -> object:
    """All that there is to know, without changing it."""
    jobs = inspector.jobs(JobFilter(), limit=100)
    return (
        sorted(store.get([job.id for job in jobs]), key=lambda job: job.id),
        inspector.counts(now=NOON),
        inspector.runners(now=NOON),
        (inspector.tallies(NOON), inspector.totals()),
        look(store, "runner-1", 0),
    )


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
                done = promote(other, 10, now=after(1e6))
            case "unpark":
                done = other.unpark([("shop.send", 1)], now=after(1e6))
            case _:
                done = other.prune(State.FAILED, 1, 10, now=after(1e6))
        assert (done, totals(inspector)) == (0, before)

    @pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS.keys())
    def test_controls_and_upkeep_of_one_backend_touch_no_other(
        self,
        store: Store,
        make_store: MakeStore,
        worker: WorkerRef,
        inspector: Inspector,
        control: Control,
    ) -> None:
        ids = one_of_each(store, worker)
        add(store, queue="late", expires_after=1)
        store.pause("paused", now=NOON)
        store.instruct(worker.id, Order.QUIET)
        other = make_store(alias="other")
        register(other, worker.id, "runner-1")
        before = _world(store, inspector)
        control(other, ids, record(store, ids[State.RUNNING]).token)
        assert _world(store, inspector) == before

    def test_a_pause_of_one_backend_is_none_of_another(self, store: Store, make_store: MakeStore) -> None:
        other = make_store(alias="other")
        add(store)
        add(other)
        store.pause("default", now=NOON)
        other.pause("default", after(5), now=NOON)
        assert [look(each, now=after(5)).paused for each in (store, other)] == [["default"], []]
        assert (other.resume("default"), store.resume("default")) == (True, True)

    def test_what_is_told_in_one_backend_is_seen_there_only(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        other = make_store(alias="other")
        register(other, worker.id, "runner-1")
        add(other, queue="b", run_after=after(1))
        add(other, queue="c", expires_after=1)
        add(other, queue="a")
        found = claim_one(other, worker, queues=["a"])
        other.cancel([found.id], "no")
        other.instruct(worker.id, Order.QUIET)
        other.pause("a", now=NOON)
        assert look(store, "runner-1", now=after(1)) == Sight()
        sight = look(other, "runner-1", now=after(1))
        assert (sight.promoted, sight.expired, sight.ready, sight.paused) == (1, 1, ["b"], ["a"])
        assert (len(sight.instructions), len(sight.cancellations)) == (1, 1)

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
