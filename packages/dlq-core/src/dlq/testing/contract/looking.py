"""``Store.look``: what is due becomes ready, and every runner learns what concerns it."""

from __future__ import annotations

from datetime import timedelta

from dlq.job import Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.testing.contract.builders import (
    FAILURE,
    NOON,
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
    settle_one,
    state_of,
)
from dlq.workers import Order, Sight, WorkerRef

__all__ = ["Looking"]

A_YEAR = timedelta(days=365)


class Looking:
    """About once a second."""

    # --- Promotion ---

    def test_a_job_is_promoted_exactly_when_it_is_due(self, store: Store) -> None:
        id = add(store, run_after=after(10))
        assert (promote(store, 10, now=after(9.999999)), state_of(store, id)) == (0, State.SCHEDULED)
        assert (promote(store, 10, now=after(10)), state_of(store, id)) == (1, State.READY)
        assert promote(store, 10, now=after(11)) == 0

    def test_a_retry_is_promoted_exactly_when_it_is_due(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        outcome = Outcome.retry(claim_one(store, worker), FAILURE, 2.5)
        id = settle_one(store, worker, outcome, now=after(10)).id
        assert (promote(store, 10, now=after(12.499999)), state_of(store, id)) == (0, State.SCHEDULED)
        assert (promote(store, 10, now=after(12.5)), state_of(store, id)) == (1, State.READY)

    def test_a_promoted_job_waits_for_no_time_any_more(self, store: Store) -> None:
        job = record(store, add(store, run_after=after(10)))
        promote(store, 10, now=after(10))
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
        promote(store, 10, now=after(20))
        assert store.waiting() == ["default"]
        assert claim_ids(store, worker, now=after(20)) == [id]

    def test_the_longest_due_are_promoted_first(self, store: Store, worker: WorkerRef) -> None:
        ids = {at: add(store, run_after=after(at), priority=at) for at in (30, 10, 40, 20)}
        assert promote(store, 2, now=after(40)) == 2
        assert [state_of(store, ids[at]).label for at in (10, 20, 30, 40)] == [
            "ready",
            "ready",
            "scheduled",
            "scheduled",
        ]
        assert promote(store, 10, now=after(40)) == 2

    def test_jobs_promoted_together_run_in_the_order_in_which_they_were_due(
        self, store: Store, worker: WorkerRef
    ) -> None:
        ids = {at: add(store, run_after=after(at)) for at in (30, 10, 40, 20)}
        assert promote(store, 10, now=after(40)) == 4
        assert claim_ids(store, worker) == [ids[at] for at in (10, 20, 30, 40)]

    def test_a_promoted_job_goes_behind_those_that_were_ready(self, store: Store, worker: WorkerRef) -> None:
        first = add(store, run_after=after(1))
        second = add(store, now=after(2))
        promote(store, 10, now=after(3))
        assert claim_ids(store, worker) == [second, first]

    def test_jobs_of_all_queues_are_promoted(self, store: Store) -> None:
        for queue in ("a", "b"):
            add(store, queue=queue, run_after=after(1))
        assert promote(store, 10, now=after(1)) == 2
        assert store.waiting() == ["a", "b"]

    # --- What is seen ---

    def test_in_an_empty_store_there_is_nothing_to_see(self, store: Store) -> None:
        assert look(store) == Sight()

    def test_queues_with_ready_jobs_are_seen_sorted(self, store: Store, worker: WorkerRef) -> None:
        one_of_each(store, worker)
        names = ["Zeta", "alpha", "alpha-2", "alpha_b", "ähre"]
        for name in reversed(names):
            add_many(store, 2, queue=name)
        wanted = sorted([*names, "ready"])
        assert (look(store).ready, store.waiting(now=NOON)) == (wanted, wanted)

    def test_queues_whose_jobs_were_promoted_just_now_are_seen_at_once(self, store: Store) -> None:
        add(store, queue="b", run_after=after(10))
        add(store, queue="a", run_after=after(10))
        add(store, queue="later", run_after=after(11))
        sight = look(store, now=after(10))
        assert (sight.promoted, sight.ready) == (2, ["a", "b"])

    def test_queues_whose_last_job_expired_just_now_are_not_seen(self, store: Store) -> None:
        add(store, queue="a", expires_after=10)
        add(store, queue="b", expires_after=10)
        add(store, queue="b")
        sight = look(store, now=after(10))
        assert (sight.expired, sight.ready) == (2, ["b"])

    def test_paused_queues_are_not_ready_whatever_was_promoted(self, store: Store) -> None:
        add(store, queue="a")
        add(store, queue="b", run_after=after(10))
        add(store, queue="c")
        store.pause("a", now=NOON)
        store.pause("b", after(11), now=NOON)
        sight = look(store, now=after(10))
        assert (sight.promoted, sight.ready, sight.paused) == (1, ["c"], ["a", "b"])
        assert look(store, now=after(11)).ready == ["b", "c"]

    def test_with_a_limit_of_nothing_it_only_tells(self, store: Store, worker: WorkerRef) -> None:
        late, due = add(store, expires_after=1), add(store, run_after=after(1))
        add(store, queue="running")
        running = claim_one(store, worker, queues=["running"])
        store.cancel([running.id], "no")
        number = store.instruct(worker.id, Order.QUIET)
        sight = look(store, "runner-1", 0, now=after(5))
        assert (sight.expired, sight.promoted, sight.ready) == (0, 0, ["default"])
        assert [told.number for told in sight.instructions] == [number]
        assert [seen.id for seen in sight.cancellations] == [running.id]
        assert (state_of(store, late), state_of(store, due)) == (State.READY, State.SCHEDULED)

    def test_a_runner_that_nobody_knows_looks_for_all(self, store: Store) -> None:
        add(store, run_after=after(1))
        add(store, expires_after=1)
        sight = store.look("never registered", 10, now=after(1))
        assert (sight.promoted, sight.expired, sight.ready) == (1, 1, ["default"])

    def test_without_a_time_given_a_look_goes_by_the_stores_own_clock(self, store: Store) -> None:
        now = store.enqueue([]).at
        add(store, queue="scheduled", now=now, run_after=now + A_YEAR)
        add(store, queue="ready", now=now, expires_after=86_400.0)
        add(store, queue="late", now=now - A_YEAR, expires_after=86_400.0)
        assert store.look("nobody", 10) == Sight(expired=1, ready=["ready"])

    def test_looking_again_changes_nothing_more(self, store: Store, worker: WorkerRef) -> None:
        ids = one_of_each(store, worker)
        look(store, "runner-1", now=after(100))
        before = {id: record(store, id) for id in ids.values()}
        sight = look(store, "runner-1", now=after(100))
        assert (sight.promoted, sight.expired) == (0, 0)
        assert {id: record(store, id) for id in ids.values()} == before
