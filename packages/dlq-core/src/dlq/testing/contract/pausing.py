"""``Store.pause`` and ``Store.resume``: a queue gives nothing for a while."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from dlq.job import Outcome
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
    look,
    new_job,
    rejected,
    settle_one,
    state_of,
)
from dlq.workers import WorkerRef

__all__ = ["Pausing"]

FOR_EVER = 1e8


class Pausing:
    """No claims from here."""

    def test_a_paused_queue_gives_no_claims(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        store.pause("default", now=NOON)
        reply = store.exchange(worker, [], ["default"], 10, now=after(FOR_EVER))
        assert (reply.claims, reply.registered) == ([], True)

    def test_other_queues_give_as_before(self, store: Store, worker: WorkerRef) -> None:
        ids = {name: add(store, queue=name) for name in ("a", "b", "c")}
        store.pause("b", now=NOON)
        assert claim_ids(store, worker, queues=["a", "b", "c"]) == [ids["a"], ids["c"]]

    def test_a_pause_takes_no_room_from_the_limit(self, store: Store, worker: WorkerRef) -> None:
        add_many(store, 3, queue="a")
        ids = add_many(store, 2, queue="b")
        store.pause("a", now=NOON)
        assert claim_ids(store, worker, 2, queues=["a", "b"]) == ids

    def test_names_that_look_alike_are_paused_apart(self, store: Store, worker: WorkerRef) -> None:
        names = ["mail", "Mail", "mail ", "mail%", "m_il", "*"]
        ids = {name: add(store, queue=name) for name in names}
        for paused in ("mail%", "m_il", "Mail", "*"):
            store.pause(paused, now=NOON)
        assert claim_ids(store, worker, queues=names) == [ids["mail"], ids["mail "]]

    # --- Until when ---

    @pytest.mark.parametrize(
        ("until", "at", "gives"),
        [
            (None, 0, False),
            (None, FOR_EVER, False),
            (10, 9.999999, False),
            (10, 10, True),
            (10, 11, True),
            (0, 0, True),
            (-1, 0, True),
        ],
    )
    def test_a_pause_lasts_until_its_time_has_come(
        self, store: Store, worker: WorkerRef, until: float | None, at: float, gives: bool
    ) -> None:
        add(store)
        store.pause("default", None if until is None else after(until), now=NOON)
        assert store.waiting(now=after(at)) == ["default"] * gives
        assert len(claim(store, worker, now=after(at))) == gives

    @pytest.mark.parametrize(
        ("ends", "gives"), [((10, 100), False), ((100, 10), True), ((10, None), False), ((None, 10), True)]
    )
    def test_pausing_again_replaces_the_end(
        self, store: Store, worker: WorkerRef, ends: Sequence[float | None], gives: bool
    ) -> None:
        add(store)
        for end in ends:
            store.pause("default", None if end is None else after(end), now=NOON)
        assert len(claim(store, worker, now=after(50))) == gives

    def test_without_a_time_given_a_pause_ends_by_the_stores_own_clock(
        self, store: Store, worker: WorkerRef
    ) -> None:
        now = store.enqueue([new_job(queue="a"), new_job(queue="b")]).at
        store.pause("a", now + timedelta(days=1))
        store.pause("b", now - timedelta(days=1))
        assert store.waiting() == ["b"]
        assert [found.queue for found in store.exchange(worker, [], ["a", "b"], 10).claims] == ["b"]
        assert store.look("nobody", 10).paused == ["a"]

    # --- Resuming ---

    def test_a_resumed_queue_gives_what_it_has_kept_in_order(self, store: Store, worker: WorkerRef) -> None:
        first = add(store)
        store.pause("default", now=NOON)
        second = add(store)
        assert claim(store, worker) == []
        store.resume("default")
        assert claim_ids(store, worker) == [first, second]

    def test_resuming_says_whether_the_queue_was_paused(self, store: Store) -> None:
        assert not store.resume("default")
        store.pause("default", now=NOON)
        store.pause("default", now=NOON)
        assert [store.resume("other"), store.resume("default"), store.resume("default")] == [
            False,
            True,
            False,
        ]

    # --- What goes on ---

    def test_jobs_still_enter_a_paused_queue(self, store: Store) -> None:
        store.pause("default", now=NOON)
        ids = [add(store), add(store, run_after=after(5))]
        assert look(store, now=after(5)).promoted == 1
        assert [state_of(store, id) for id in ids] == [State.READY, State.READY]

    def test_claims_taken_before_a_pause_are_settled_and_nothing_is_claimed_in_exchange(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add_many(store, 3)
        done, back = claim(store, worker, 2)
        store.pause("default", now=NOON)
        outcomes = [OUTCOMES["succeeded"](done), Outcome.handed_back(back)]
        reply = store.exchange(worker, outcomes, ["default"], 5, now=NOON)
        assert (rejected(reply), reply.claims) == ([], [])
        assert (state_of(store, done.id), state_of(store, back.id)) == (State.SUCCEEDED, State.READY)

    def test_what_runs_keeps_running(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        found = claim_one(store, worker)
        store.pause("default", now=NOON)
        assert (store.held(worker.id, 10), store.orphans(10)) == ([found], [])
        assert settle_one(store, worker, Outcome.retry(found, FAILURE, 0.0)).state == State.READY
        assert claim(store, worker) == []

    # --- Who sees it ---

    def test_a_paused_queue_is_not_waiting(self, store: Store) -> None:
        for name in ("a", "b", "c"):
            add(store, queue=name)
        store.pause("b", now=NOON)
        store.pause("empty", now=NOON)
        assert store.waiting(now=NOON) == ["a", "c"]
        store.resume("b")
        assert store.waiting(now=NOON) == ["a", "b", "c"]

    def test_a_look_names_the_paused_queues_sorted(self, store: Store) -> None:
        for name in ("Zeta", "beta", "alpha_b", "alpha.1"):
            store.pause(name, now=NOON)
        store.pause("soon over", after(5), now=NOON)
        store.pause("over", after(-5), now=NOON)
        assert look(store).paused == ["Zeta", "alpha.1", "alpha_b", "beta", "soon over"]
        assert look(store, now=after(5)).paused == ["Zeta", "alpha.1", "alpha_b", "beta"]
