"""Runners, their beats and their workers: who lives, who is lost, and whose claims are orphans."""

from __future__ import annotations

import pytest

from dlq.errors import RunnerUnknown
from dlq.job import Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.testing.contract.builders import (
    NOON,
    OUTCOMES,
    RESCUER,
    add,
    add_many,
    after,
    claim,
    claim_ids,
    claim_one,
    declare_lost,
    promote,
    record,
    register,
    rescue,
    runner_info,
    settle_one,
    state_of,
    worker_info,
)
from dlq.workers import WorkerRef

__all__ = ["Liveness"]


class Liveness:
    """A heartbeat decides, never the time that has gone by."""

    # --- Registration ---

    def test_a_runner_registers_with_its_first_beat(self, store: Store, inspector: Inspector) -> None:
        store.register_runner(runner_info("a"), now=NOON)
        (runner,) = inspector.runners(now=after(2))
        assert (runner.id, runner.beat_age) == ("a", 2.0)
        assert store.beat("a", now=NOON) == {"a": runner.beat + 1}

    def test_a_runner_that_was_retired_starts_where_it_says(self, store: Store) -> None:
        store.register_runner(runner_info("a"), now=NOON)
        assert store.retire("a", 1)
        store.register_runner(runner_info("a", beat=70), now=NOON)
        assert not store.retire("a", 1)
        assert store.beat("a", now=NOON) == {"a": 71}

    def test_registering_again_changes_only_what_the_runner_says(
        self, store: Store, inspector: Inspector
    ) -> None:
        worker = register(store, "worker-1", "a")
        store.beat("a", now=after(1))
        (before,) = inspector.runners(now=after(10))
        store.register_runner(runner_info("a", host="host-2", pid=200), now=after(5))
        (runner,) = inspector.runners(now=after(10))
        assert (runner.host, runner.pid) == ("host-2", 200)
        assert (runner.beat, runner.beat_age, runner.workers) == (before.beat, 9.0, before.workers)
        add(store)
        assert len(claim(store, worker)) == 1

    def test_a_worker_registers_and_may_claim(self, store: Store) -> None:
        store.register_runner(runner_info("a"), now=NOON)
        ref = store.register_worker(worker_info("w", "a"), now=NOON)
        assert ref == WorkerRef("w", worker_info().incarnation)
        add(store)
        assert len(claim(store, ref)) == 1

    def test_a_worker_of_an_unknown_runner_is_refused(self, store: Store, inspector: Inspector) -> None:
        store.register_runner(runner_info("a"), now=NOON)
        with pytest.raises(RunnerUnknown):
            store.register_worker(worker_info("w", "b"), now=NOON)
        assert [(runner.id, list(runner.workers)) for runner in inspector.runners(now=NOON)] == [("a", [])]
        add(store)
        assert claim(store, WorkerRef("w")) == []

    def test_a_worker_of_a_lost_runner_is_refused_until_the_runner_is_back(self, store: Store) -> None:
        register(store, "w", "a")
        declare_lost(store, "a")
        with pytest.raises(RunnerUnknown):
            store.register_worker(worker_info("w", "a"), now=NOON)
        add(store)
        assert len(claim(store, register(store, "w", "a"))) == 1

    def test_a_worker_registered_again_says_something_new(self, store: Store, inspector: Inspector) -> None:
        register(store, "w", "a")
        store.register_worker(worker_info("w", "a", pid=7, slots=8, kind="threads", queues="mail*"), now=NOON)
        (runner,) = inspector.runners(now=NOON)
        (worker,) = runner.workers
        assert (worker.pid, worker.slots, worker.kind, worker.queues) == (7, 8, "threads", "mail*")

    def test_a_worker_registered_again_in_a_later_incarnation_has_left_the_earlier_ones(
        self, store: Store
    ) -> None:
        older = register(store, "w", "a")
        declare_lost(store, "a")
        store.register_runner(runner_info("a"), now=NOON)
        newer = store.register_worker(worker_info("w", "a", incarnation=older.incarnation + 4), now=NOON)
        add(store)
        assert newer.incarnation == older.incarnation + 4
        assert [len(claim(store, ref)) for ref in (older, newer)] == [0, 1]

    def test_an_unregistered_worker_is_forgotten(self, store: Store, inspector: Inspector) -> None:
        register(store, "w", "a")
        register(store, "v", "a")
        store.unregister_worker("w")
        store.unregister_worker("never there")
        (runner,) = inspector.runners(now=NOON)
        assert [worker.id for worker in runner.workers] == ["v"]

    # --- Beats ---

    def test_a_beat_counts_one_and_tells_the_beats_of_all(self, store: Store) -> None:
        store.register_runner(runner_info("a"), now=NOON)
        store.register_runner(runner_info("b"), now=NOON)
        first = store.beat("a", now=after(1))
        assert set(first) == {"a", "b"}
        assert store.beat("b", now=after(2)) == {"a": first["a"], "b": first["b"] + 1}
        assert store.beat("a", now=after(3)) == {"a": first["a"] + 1, "b": first["b"] + 1}

    def test_a_beat_of_an_unknown_runner_is_not_counted(self, store: Store, inspector: Inspector) -> None:
        store.register_runner(runner_info("a"), now=NOON)
        assert store.beat("b", now=NOON) == {}
        assert [runner.id for runner in inspector.runners(now=NOON)] == ["a"]

    def test_a_runner_that_was_declared_lost_learns_it_from_its_beat(self, store: Store) -> None:
        store.register_runner(runner_info("a"), now=NOON)
        declare_lost(store, "a")
        assert store.beat("a", now=NOON) == {}

    def test_no_time_that_goes_by_makes_anyone_look_lost(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        add_many(store, 2)
        found = claim_one(store, worker, now=NOON)
        years = after(1e8)
        assert set(store.beat("runner-1", now=years)) == {"runner-1"}
        assert [runner.id for runner in inspector.runners(now=years)] == ["runner-1"]
        assert (store.orphans(10), store.held(worker.id, 10)) == ([], [found])
        assert promote(store, 10, now=years) == 0
        assert len(claim(store, worker, now=years)) == 1
        assert settle_one(store, worker, OUTCOMES["succeeded"](found), now=years).state == State.SUCCEEDED

    # --- Retirement ---

    def test_a_runner_is_retired_on_an_unchanged_beat(self, store: Store, inspector: Inspector) -> None:
        register(store, "w", "a")
        beat = store.beat("a", now=NOON)["a"]
        assert store.retire("a", beat)
        assert inspector.runners(now=NOON) == []

    def test_a_runner_that_beat_in_the_meantime_is_not_retired(
        self, store: Store, inspector: Inspector
    ) -> None:
        worker = register(store, "w", "a")
        beat = store.beat("a", now=NOON)["a"]
        store.beat("a", now=after(1))
        before = inspector.runners(now=after(2))
        assert not store.retire("a", beat)
        assert inspector.runners(now=after(2)) == before
        add(store)
        assert len(claim(store, worker)) == 1

    def test_a_beat_that_was_never_reached_retires_nobody(self, store: Store) -> None:
        store.register_runner(runner_info("a"), now=NOON)
        beat = store.beat("a", now=NOON)["a"]
        assert not store.retire("a", beat + 1)
        assert not store.retire("a", 0)
        assert "a" in store.beat("a", now=NOON)

    def test_a_runner_leaves_whatever_its_beat_is(self, store: Store) -> None:
        register(store, "w", "a")
        for _ in range(3):
            store.beat("a", now=NOON)
        assert store.retire("a")
        assert store.beat("a", now=NOON) == {}

    def test_only_one_retirement_succeeds(self, store: Store) -> None:
        store.register_runner(runner_info("a"), now=NOON)
        beat = store.beat("a", now=NOON)["a"]
        assert [store.retire("a", beat), store.retire("a", beat), store.retire("a")] == [True, False, False]

    def test_an_unknown_runner_is_not_retired(self, store: Store) -> None:
        assert [store.retire("a", 1), store.retire("a")] == [False, False]

    def test_a_retirement_concerns_no_other_runner(self, store: Store, inspector: Inspector) -> None:
        register(store, "w", "a")
        other = register(store, "v", "b")
        add_many(store, 2)
        claim_one(store, other)
        declare_lost(store, "a")
        assert store.orphans(10) == []
        assert [worker.id for runner in inspector.runners(now=NOON) for worker in runner.workers] == ["v"]
        assert len(claim(store, other)) == 1

    # --- Held claims and orphans ---

    def test_held_claims_are_those_that_the_worker_was_given(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef
    ) -> None:
        add_many(store, 3, payload='[["some"],{}]', overrides="{}", run_after=after(-5))
        claims = [claim_one(store, worker, now=after(at)) for at in range(2)]
        claim_one(store, other_worker)
        assert store.held(worker.id, 10) == claims
        settle_one(store, worker, OUTCOMES["succeeded"](claims[0]))
        assert store.held(worker.id, 10) == claims[1:]
        assert store.held("stranger", 10) == []

    def test_held_claims_are_found_whether_the_worker_is_registered_or_not(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add(store)
        found = claim_one(store, worker)
        store.unregister_worker(worker.id)
        assert store.held(worker.id, 10) == [found]

    def test_the_oldest_claims_are_listed_first_up_to_the_limit(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add_many(store, 4)
        claims = [claim_one(store, worker, now=after(at)) for at in (30, 10, 40, 20)]
        oldest = [claims[at] for at in (1, 3, 0)]
        assert store.held(worker.id, 3) == oldest
        store.unregister_worker(worker.id)
        assert store.orphans(3) == oldest

    def test_claims_of_registered_workers_are_no_orphans(self, store: Store, worker: WorkerRef) -> None:
        add_many(store, 2)
        claim_one(store, worker)
        assert store.orphans(10) == []

    @pytest.mark.parametrize("way", ["worker unregistered", "runner left", "runner lost"])
    def test_claims_of_a_worker_that_is_gone_are_orphans(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef, way: str
    ) -> None:
        add_many(store, 2)
        found = claim_one(store, worker)
        claim_one(store, other_worker)
        match way:
            case "worker unregistered":
                store.unregister_worker(worker.id)
            case "runner left":
                store.retire("runner-1")
            case "runner lost":
                declare_lost(store, "runner-1")
        assert store.orphans(10) == [found]
        assert state_of(store, found.id) == State.RUNNING

    def test_a_reconciled_worker_keeps_its_claims(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        found = claim_one(store, worker)
        store.reconcile(worker, [(found.id, found.token)])
        assert (store.orphans(10), store.held(worker.id, 10)) == ([], [found])

    def test_a_worker_that_registers_again_has_its_claims_back(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        found = claim_one(store, worker)
        declare_lost(store, "runner-1")
        register(store, worker.id, "runner-1")
        assert store.orphans(10) == []
        assert settle_one(store, worker, OUTCOMES["succeeded"](found)).state == State.SUCCEEDED

    def test_a_rescued_orphan_is_ready_in_its_place_and_no_orphan_any_more(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef
    ) -> None:
        ids = add_many(store, 4)
        claim(store, worker, 2)
        declare_lost(store, "runner-1")
        assert rescue(store) == []
        assert store.orphans(10) == []
        assert [record(store, id).attempts for id in ids] == [0, 0, 0, 0]
        assert [record(store, id).interruptions for id in ids] == [1, 1, 0, 0]
        assert claim_ids(store, other_worker) == ids

    def test_a_rescued_claim_that_never_started_counts_nothing(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        claim_one(store, worker)
        store.unregister_worker(worker.id)
        (orphan,) = store.orphans(10)
        job = settle_one(store, RESCUER, Outcome.handed_back(orphan))
        assert (job.state, job.attempts, job.interruptions) == (State.READY, 0, 0)
