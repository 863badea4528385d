"""Limits: how many jobs of a key are under way at once, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest

from dlq.job import Claim, Outcome
from dlq.limits import Limits, Policy, Slot
from dlq.states import State, Waits
from dlq.store.base import Store
from dlq.store.inspector import Inspector, JobFilter, SlotCounts
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
    look,
    new_job,
    record,
    rejected,
    settle,
    state_of,
)
from dlq.workers import WorkerRef

__all__ = ["Limiting"]

SETTLED = ["succeeded", "failed", "cancelled", "retry later", "retry now", "parked"]
"""The outcomes that give a slot back."""


def slot(key: str = "a", limit: int = 1, policy: Policy = Policy.BLOCK) -> Limits:
    """A need for a slot."""
    return Limits(slot=Slot(key=key, limit=limit, policy=policy))


def states_of(store: Store, ids: Sequence[UUID]) -> list[State]:
    """The states of these jobs, in their order."""
    found = {job.id: job.state for job in store.get(ids)}
    return [found[id] for id in ids]


def finish(store: Store, worker: WorkerRef, *held: Claim) -> None:
    """Settle claims as succeeded."""
    assert rejected(settle(store, worker, *map(OUTCOMES["succeeded"], held))) == []


class Limiting:
    """No more jobs of a key than its limit."""

    # --- Slots ---

    def test_of_a_key_with_one_slot_one_job_is_given(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, 3, limits=slot())
        assert claim_ids(store, worker) == ids[:1]
        assert claim_ids(store, worker) == []
        assert states_of(store, ids) == [State.RUNNING, State.BLOCKED, State.BLOCKED]

    def test_a_blocked_job_says_what_it_waits_for(self, store: Store, worker: WorkerRef) -> None:
        first, second = add_many(store, 2, limits=slot("account:7", 1))
        assert record(store, second).waits is Waits.LIMIT
        assert record(store, second).limits == slot("account:7", 1)
        assert record(store, first).waits is None

    def test_a_job_without_limits_has_none(self, store: Store, worker: WorkerRef) -> None:
        id = add(store)
        assert (record(store, id).limits, record(store, id).waits) == (None, None)
        assert claim_one(store, worker).line is None

    def test_a_key_has_as_many_slots_as_its_limit(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, 7, limits=slot(limit=5))
        assert claim_ids(store, worker) == ids[:5]

    def test_keys_do_not_hold_each_other_up(self, store: Store, worker: WorkerRef) -> None:
        keys = ("a", "A", "a ", "ä", "b" * 255, "a\n", "%")
        ids = [add_many(store, 2, limits=slot(key))[0] for key in keys]
        assert claim_ids(store, worker) == ids

    def test_jobs_without_limits_pass_those_that_wait(self, store: Store, worker: WorkerRef) -> None:
        first, *_ = add_many(store, 3, limits=slot())
        plain = add(store)
        assert claim_ids(store, worker) == [first, plain]

    def test_queues_share_a_key(self, store: Store, worker: WorkerRef) -> None:
        ids = [add(store, queue=queue, limits=slot()) for queue in ("x", "y", "x")]
        queues = ["x", "y"]
        for id in ids:
            found = claim(store, worker, queues=queues)
            assert [each.id for each in found] == [id]
            finish(store, worker, *found)

    @pytest.mark.parametrize("kind", SETTLED)
    def test_a_settled_job_gives_its_slot_to_the_next(
        self, store: Store, worker: WorkerRef, kind: str
    ) -> None:
        first, second = add_many(store, 2, limits=slot())
        outcome = OUTCOMES[kind](claim_one(store, worker))
        reply = store.exchange(worker, [outcome], ["default"], 5, now=NOON)
        assert [found.id for found in reply.claims] == [second]
        assert state_of(store, first) is not State.READY

    @pytest.mark.parametrize("kind", ["handed back", "interrupted"])
    def test_a_job_that_comes_back_keeps_its_slot_and_its_place(
        self, store: Store, worker: WorkerRef, kind: str
    ) -> None:
        first, second = add_many(store, 2, limits=slot())
        outcome = OUTCOMES[kind](claim_one(store, worker))
        assert rejected(settle(store, RESCUER, outcome)) == []
        look(store)
        assert states_of(store, [first, second]) == [State.READY, State.BLOCKED]
        assert claim_ids(store, worker) == [first]

    def test_a_lost_claim_goes_back_with_its_slot(self, store: Store, worker: WorkerRef) -> None:
        first, _ = add_many(store, 2, limits=slot())
        claim_one(store, worker)
        worker = store.reconcile(worker, [])
        look(store)
        assert claim_ids(store, worker) == [first]

    def test_a_settlement_by_somebody_else_gives_the_slot_on_too(
        self, store: Store, worker: WorkerRef
    ) -> None:
        ids = add_many(store, 2, limits=slot())
        (orphan,) = self._orphaned(store, worker)
        finish(store, RESCUER, orphan)
        assert states_of(store, ids) == [State.SUCCEEDED, State.READY]

    def _orphaned(self, store: Store, worker: WorkerRef) -> list[Claim]:
        claim_one(store, worker)
        store.unregister_worker(worker.id)
        return store.orphans(5)

    @pytest.mark.parametrize("ending", ["cancel", "expire"])
    def test_a_slot_is_free_again_when_its_ready_job_has_ended(
        self, store: Store, worker: WorkerRef, ending: str
    ) -> None:
        first = add(store, limits=slot(), expires_after=10)
        second = add(store, limits=slot())
        if ending == "cancel":
            store.cancel([first], "no need", now=NOON)
        look(store, now=after(20))
        assert state_of(store, first) in (State.CANCELLED, State.FAILED)
        assert claim_ids(store, worker) == [second]

    def test_a_blocked_job_may_be_cancelled_and_may_expire(self, store: Store, worker: WorkerRef) -> None:
        _, second, third, fourth = [
            add(store, limits=slot(), expires_after=s) for s in (None, 10, None, None)
        ]
        store.cancel([third], "no need", now=NOON)
        assert look(store, now=after(20)).expired == 1
        assert states_of(store, [second, third]) == [State.FAILED, State.CANCELLED]
        assert record(store, second).waits is None
        finish(store, worker, claim_one(store, worker))
        assert claim_ids(store, worker) == [fourth]

    def test_a_job_in_the_future_takes_no_slot(self, store: Store, worker: WorkerRef) -> None:
        later = add(store, limits=slot(), run_after=after(10))
        now = add(store, limits=slot())
        assert claim_ids(store, worker) == [now]
        sight = look(store, now=after(11))
        assert (sight.promoted, sight.admitted) == (1, 0)
        assert state_of(store, later) is State.BLOCKED

    def test_a_job_whose_time_has_come_is_admitted_by_the_same_look(
        self, store: Store, worker: WorkerRef
    ) -> None:
        later = add(store, limits=slot(), run_after=after(10))
        sight = look(store, now=after(11))
        assert (sight.promoted, sight.admitted, sight.ready) == (1, 1, ["default"])
        assert claim_ids(store, worker) == [later]

    def test_a_retry_waits_for_a_slot_again(self, store: Store, worker: WorkerRef) -> None:
        first, second = add_many(store, 2, limits=slot())
        settle(store, worker, OUTCOMES["retry now"](claim_one(store, worker)))
        assert states_of(store, [first, second]) == [State.BLOCKED, State.READY]
        finish(store, worker, claim_one(store, worker))
        assert claim_ids(store, worker) == [first]

    def test_a_job_that_somebody_retries_waits_for_a_slot(self, store: Store, worker: WorkerRef) -> None:
        first, second = add_many(store, 2, limits=slot())
        settle(store, worker, OUTCOMES["failed"](claim_one(store, worker)))
        assert store.retry([first]) == [first]
        look(store)
        assert states_of(store, [first, second]) == [State.BLOCKED, State.READY]
        finish(store, worker, claim_one(store, worker))
        assert claim_ids(store, worker) == [first]

    def test_parked_jobs_hold_no_slot_and_wait_for_one_afterwards(
        self, store: Store, worker: WorkerRef
    ) -> None:
        first, second = add_many(store, 2, limits=slot(), task="new.task")
        settle(store, worker, Outcome.parked(claim_one(store, worker)))
        assert (record(store, first).waits, store.parked()) == (Waits.TASK, [("new.task", 1)])
        assert store.unpark([("new.task", 1)]) == 1
        assert (record(store, first).waits, store.parked()) == (Waits.LIMIT, [])
        assert claim_ids(store, worker) == [second]

    def test_a_job_that_waits_for_a_slot_is_not_parked(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, 2, limits=slot(), task="new.task")
        assert (store.parked(), store.unpark([("new.task", 1)])) == ([], 0)
        assert state_of(store, ids[1]) is State.BLOCKED

    # --- Order ---

    def test_jobs_of_a_key_run_one_after_the_other_in_their_order(
        self, store: Store, worker: WorkerRef
    ) -> None:
        ids = add_many(store, 4, limits=slot()) + [add(store, limits=slot()) for _ in range(4)]
        ran, outcomes = list[UUID](), list[Outcome]()
        while claims := store.exchange(worker, outcomes, ["default"], 5, now=NOON).claims:
            ran += [found.id for found in claims]
            outcomes = list(map(OUTCOMES["succeeded"], claims))
        assert ran == ids

    def test_a_higher_priority_gets_the_next_slot(self, store: Store, worker: WorkerRef) -> None:
        first, low, high = [add(store, limits=slot(), priority=p) for p in (0, 0, 5)]
        for id in (first, high, low):
            found = claim(store, worker)
            assert [each.id for each in found] == [id]
            finish(store, worker, *found)

    # --- Limits that change ---

    def test_the_limit_declared_last_holds_for_all_jobs_of_the_key(
        self, store: Store, worker: WorkerRef
    ) -> None:
        ids = [*add_many(store, 4, limits=slot(limit=1)), add(store, limits=slot(limit=3))]
        assert claim_ids(store, worker) == ids[:3]

    def test_a_lower_limit_waits_until_enough_slots_are_free(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, 4, limits=slot(limit=3))
        first, second, third = claim(store, worker)
        last = add(store, limits=slot(limit=1))
        finish(store, worker, first, second)
        look(store)
        assert states_of(store, [ids[3], last]) == [State.BLOCKED, State.BLOCKED]
        finish(store, worker, third)
        assert claim_ids(store, worker) == [ids[3]]

    # --- Pauses ---

    def test_a_paused_queue_holds_no_slots(self, store: Store, worker: WorkerRef) -> None:
        held_up, other = [add(store, queue=queue, limits=slot()) for queue in ("paused", "default")]
        store.pause("paused", now=NOON)
        look(store)
        assert states_of(store, [held_up, other]) == [State.BLOCKED, State.READY]
        finish(store, worker, claim_one(store, worker))
        store.resume("paused")
        look(store)
        assert claim_ids(store, worker, queues=["paused"]) == [held_up]

    def test_a_pause_changes_no_order(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, 3, limits=slot())
        store.pause("default", now=NOON)
        look(store)
        assert states_of(store, ids) == [State.BLOCKED] * 3
        store.resume("default")
        look(store)
        assert claim_ids(store, worker) == ids[:1]

    # --- Policies ---

    def test_a_job_that_finds_no_slot_may_be_discarded(self, store: Store, worker: WorkerRef) -> None:
        ids = [add(store, limits=slot(policy=Policy.DISCARD)) for _ in range(3)]
        assert states_of(store, ids) == [State.READY, State.CANCELLED, State.CANCELLED]
        assert "'a' is 1" in (record(store, ids[1]).reason or "")
        finish(store, worker, claim_one(store, worker))
        ids.append(add(store, limits=slot(policy=Policy.DISCARD)))
        assert claim_ids(store, worker) == ids[-1:]

    def test_of_a_batch_those_are_discarded_that_find_no_slot(self, store: Store) -> None:
        ids = add_many(store, 5, limits=slot(limit=2, policy=Policy.DISCARD))
        assert states_of(store, ids) == [State.READY] * 2 + [State.CANCELLED] * 3

    def test_a_job_that_has_begun_is_not_discarded(self, store: Store, worker: WorkerRef) -> None:
        first = add(store, limits=slot(policy=Policy.DISCARD))
        settle(store, worker, Outcome.put_off(claim_one(store, worker), 10))
        second = add(store, limits=slot(policy=Policy.DISCARD))
        look(store, now=after(11))
        assert states_of(store, [first, second]) == [State.BLOCKED, State.READY]
        finish(store, worker, claim_one(store, worker))
        assert claim_ids(store, worker) == [first]

    def test_a_newer_job_may_take_the_place_of_one_that_is_ready(
        self, store: Store, worker: WorkerRef
    ) -> None:
        ids = [add(store, limits=slot(policy=Policy.CANCEL_RUNNING)) for _ in range(3)]
        assert states_of(store, ids) == [State.CANCELLED, State.CANCELLED, State.READY]
        assert "newer" in (record(store, ids[0]).reason or "")
        assert claim_ids(store, worker) == ids[2:]

    def test_a_newer_job_has_the_one_that_runs_cancelled_and_waits_for_its_slot(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add(store, limits=slot(policy=Policy.CANCEL_RUNNING))
        held = claim_one(store, worker)
        second, third = [add(store, limits=slot(policy=Policy.CANCEL_RUNNING)) for _ in range(2)]
        sight = look(store, "runner-1")
        assert [(asked.id, asked.token) for asked in sight.cancellations] == [(held.id, held.token)]
        assert states_of(store, [second, third]) == [State.CANCELLED, State.BLOCKED]
        settle(store, worker, Outcome.cancelled(held, "asked"))
        assert claim_ids(store, worker) == [third]

    def test_as_many_of_the_newest_stay_as_there_are_slots(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, 5, limits=slot(limit=2, policy=Policy.CANCEL_RUNNING))
        assert states_of(store, ids) == [State.CANCELLED] * 3 + [State.READY] * 2

    # --- Upkeep ---

    def test_admitting_nothing_changes_nothing(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, 2, limits=slot())
        add(store)
        assert store.admit(10, now=NOON) == 0
        assert states_of(store, ids) == [State.READY, State.BLOCKED]

    def test_admit_makes_ready_what_has_a_slot_up_to_its_limit(self, store: Store) -> None:
        ids = add_many(store, 6, limits=slot(limit=3))
        store.cancel(ids[:3], "no need", now=NOON)
        assert [store.admit(2, now=NOON), store.admit(2, now=NOON), store.admit(2, now=NOON)] == [2, 1, 0]

    def test_many_keys_are_all_served(self, store: Store, worker: WorkerRef) -> None:
        firsts = [add_many(store, 2, limits=slot(f"key {at}"))[0] for at in range(30)]
        store.cancel(firsts, "no need", now=NOON)
        admitted = 0
        while some := store.admit(7, now=NOON):
            admitted += some
        assert admitted == 30

    # --- Inspection ---

    def test_slots_are_listed_by_key(self, store: Store, worker: WorkerRef, inspector: Inspector) -> None:
        add_many(store, 4, limits=slot("b", 2))
        add(store, limits=slot("a", 1))
        claim(store, worker, 1)
        a, b = (
            SlotCounts(key="a", limit=1, held=1, waiting=0),
            SlotCounts(key="b", limit=2, held=2, waiting=2),
        )
        assert inspector.slots(10) == [a, b]
        assert (inspector.slots(1), inspector.slots(10, after="a")) == ([a], [b])

    def test_a_key_without_jobs_is_not_listed(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        add(store, limits=slot())
        finish(store, worker, claim_one(store, worker))
        look(store)
        assert inspector.slots(10) == []

    def test_blocked_jobs_are_listed_with_what_they_wait_for(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        parked = add(store, task="new.task")
        settle(store, worker, Outcome.parked(claim_one(store, worker)))
        _, waiting = add_many(store, 2, limits=slot())
        found = inspector.jobs(JobFilter(states={State.BLOCKED}), limit=10)
        assert {job.id: job.waits for job in found} == {parked: Waits.TASK, waiting: Waits.LIMIT}

    def test_a_job_that_is_enqueued_again_takes_no_second_slot(self, store: Store, worker: WorkerRef) -> None:
        job = new_job(limits=slot(limit=2))
        for _ in range(3):
            store.enqueue([job], now=NOON)
        other = add(store, limits=slot(limit=2))
        assert claim_ids(store, worker) == [job.id, other]
