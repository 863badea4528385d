"""``Store.cancel``: at once where a job waits or has failed; where it runs, its runner is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlq.ids import new_job_id
from dlq.job import Cancelled, Claim, Outcome
from dlq.states import FINISHED, WAITING, State
from dlq.store.base import CANCELLABLE, Store
from dlq.testing.contract.builders import (
    FAILURE,
    OUTCOMES,
    RESCUER,
    MakeOutcome,
    add,
    add_many,
    after,
    claim,
    claim_one,
    declare_lost,
    every_outcome,
    look,
    one_of_each,
    promote,
    record,
    register,
    rejected,
    rescue,
    settle,
    settle_one,
    state_of,
)
from dlq.workers import Cancellation, WorkerRef

__all__ = ["Cancelling"]

WHY = "Ada asked: “no more” — 100 %."


def _asked(store: Store, worker: WorkerRef, reason: str = WHY) -> Claim:
    """A job that runs and is to be cancelled."""
    add(store)
    found = claim_one(store, worker)
    assert store.cancel([found.id], reason, now=after(1)).asked == [found.id]
    return found


def _each(states: set[State] | frozenset[State]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("state", sorted(states), ids=lambda state: state.label)


class Cancelling:
    """Somebody does not want it any more."""

    # --- At once ---

    @_each(CANCELLABLE - {State.RUNNING})
    def test_what_does_not_run_is_cancelled_at_once(
        self, store: Store, worker: WorkerRef, state: State
    ) -> None:
        ids = one_of_each(store, worker)
        others = store.get([id for other, id in ids.items() if other is not state])
        assert store.cancel([ids[state]], WHY, now=after(5)) == Cancelled(done=[ids[state]])
        job = record(store, ids[state])
        assert (job.state, job.reason, job.finished_at) == (State.CANCELLED, WHY, after(5))
        assert (job.due_at, job.result) == (None, None)
        assert all(record(store, other.id) == other for other in others)

    @_each(WAITING)
    def test_what_was_cancelled_while_it_waited_is_held_by_nobody_and_comes_up_nowhere(
        self, store: Store, worker: WorkerRef, state: State
    ) -> None:
        ids = one_of_each(store, worker)
        store.cancel(ids.values(), WHY, states=WAITING, now=after(5))
        job = record(store, ids[state])
        assert (job.worker, job.started_at) == (None, None)
        assert (promote(store, 10, now=after(1e6)), store.unpark([(job.task, 1)]), store.parked()) == (
            0,
            0,
            [],
        )
        assert store.waiting(now=after(1e6)) == []
        assert claim(store, worker, queues=[job.queue], now=after(1e6)) == []

    def test_a_failed_job_that_is_cancelled_keeps_what_is_known_of_its_run(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add(store)
        failed = settle_one(store, worker, OUTCOMES["failed"](claim_one(store, worker)))
        assert store.cancel([failed.id], WHY, now=after(9)).done == [failed.id]
        assert record(store, failed.id) == replace(
            failed, state=State.CANCELLED, reason=WHY, finished_at=after(9)
        )

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.CANCELLED], ids=lambda state: state.label)
    def test_what_has_ended_otherwise_stays_as_it_is(
        self, store: Store, worker: WorkerRef, state: State
    ) -> None:
        id = one_of_each(store, worker)[state]
        before = record(store, id)
        assert store.cancel([id], WHY, now=after(5)) == Cancelled()
        assert record(store, id) == before

    def test_the_reason_of_the_first_cancellation_stays(self, store: Store) -> None:
        id = add(store)
        store.cancel([id], "first", now=after(1))
        assert store.cancel([id], "second", now=after(2)) == Cancelled()
        assert (record(store, id).reason, record(store, id).finished_at) == ("first", after(1))

    # --- Which jobs ---

    def test_each_job_is_in_the_list_of_what_became_of_it(self, store: Store, worker: WorkerRef) -> None:
        ids = one_of_each(store, worker)
        cancelled = store.cancel([*ids.values(), new_job_id()], WHY, now=after(5))
        assert cancelled.asked == [ids[State.RUNNING]]
        assert sorted(cancelled.done) == sorted(ids[state] for state in WAITING | {State.FAILED})
        assert {state: state_of(store, id) for state, id in ids.items()} == {
            **dict.fromkeys(State, State.CANCELLED),
            State.RUNNING: State.RUNNING,
            State.SUCCEEDED: State.SUCCEEDED,
        }

    @_each(CANCELLABLE)
    def test_only_jobs_in_the_chosen_states_are_cancelled(
        self, store: Store, worker: WorkerRef, state: State
    ) -> None:
        ids = one_of_each(store, worker)
        before = {id: record(store, id) for other, id in ids.items() if other is not state}
        cancelled = store.cancel(ids.values(), WHY, states=[state], now=after(5))
        assert [*cancelled.done, *cancelled.asked] == [ids[state]]
        assert {id: record(store, id) for id in before} == before

    def test_in_no_state_nothing_is_cancelled(self, store: Store, worker: WorkerRef) -> None:
        ids = one_of_each(store, worker).values()
        assert store.cancel(ids, WHY, states=[], now=after(5)) == Cancelled()
        assert look(store, "runner-1").cancellations == []

    def test_unknown_and_no_ids_are_in_neither_list(self, store: Store) -> None:
        id = add(store)
        assert store.cancel([], WHY) == Cancelled()
        assert store.cancel([new_job_id(), new_job_id()], WHY) == Cancelled()
        assert state_of(store, id) == State.READY

    def test_an_id_twice_is_one_job(self, store: Store, worker: WorkerRef) -> None:
        waiting = add(store, queue="other")
        running = _asked(store, worker).id
        cancelled = store.cancel([running, waiting, running, waiting], WHY)
        assert cancelled == Cancelled(done=[waiting], asked=[running])

    def test_a_thousand_are_cancelled_in_one_call(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, 1_000)
        held = {found.id for found in claim(store, worker, 10)}
        cancelled = store.cancel(ids, WHY, now=after(1))
        assert (set(cancelled.done), set(cancelled.asked)) == (set(ids) - held, held)
        assert claim(store, worker) == []

    # --- While it runs ---

    def test_a_running_job_runs_on_and_says_why_it_is_to_end(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        found = claim_one(store, worker)
        before = record(store, found.id)
        assert store.cancel([found.id], WHY, now=after(1)) == Cancelled(asked=[found.id])
        assert record(store, found.id) == replace(before, reason=WHY)
        assert store.held(worker.id, 10) == [found]

    def test_its_own_runner_sees_it_until_the_job_has_ended(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef
    ) -> None:
        found = _asked(store, worker)
        wanted = [Cancellation(worker.id, found.id, found.token, WHY)]
        assert [look(store, "runner-1").cancellations for _ in range(3)] == [wanted] * 3
        assert [look(store, runner).cancellations for runner in ("runner-2", "nobody")] == [[], []]
        settle_one(store, worker, OUTCOMES["succeeded"](found))
        assert look(store, "runner-1").cancellations == []

    def test_each_running_job_is_seen_with_its_worker_token_and_reason(
        self, store: Store, worker: WorkerRef
    ) -> None:
        second = register(store, "worker-1b", "runner-1")
        wanted = []
        for ref, reason in [(worker, "one"), (second, "two"), (worker, "three")]:
            found = _asked(store, ref, reason)
            wanted.append(Cancellation(ref.id, found.id, found.token, reason))
        seen = look(store, "runner-1").cancellations
        assert sorted(seen, key=lambda seen: seen.reason) == sorted(wanted, key=lambda seen: seen.reason)

    def test_of_several_reasons_the_last_counts(self, store: Store, worker: WorkerRef) -> None:
        found = _asked(store, worker, "first")
        assert store.cancel([found.id], "last", now=after(2)).asked == [found.id]
        assert [seen.reason for seen in look(store, "runner-1").cancellations] == ["last"]
        assert settle_one(store, worker, Outcome.handed_back(found)).reason == "last"

    @every_outcome
    def test_the_first_settlement_decides_and_nothing_waits_again(
        self, store: Store, worker: WorkerRef, outcome_of: MakeOutcome
    ) -> None:
        found = _asked(store, worker)
        outcome = outcome_of(found)
        job = settle_one(store, worker, outcome, now=after(9))
        ended = outcome.state in {State.SUCCEEDED, State.FAILED}
        assert (job.state, job.reason) == ((outcome.state, None) if ended else (State.CANCELLED, WHY))
        assert (job.finished_at, job.due_at, job.token) == (after(9), None, found.token)
        assert len(job.history) == (outcome.failure is not None)
        assert claim(store, worker) == []
        assert settle(store, worker, outcome).already == [found.id]

    @pytest.mark.parametrize("kind", ["retry later", "retry now", "interrupted"])
    def test_the_attempt_that_was_the_last_is_counted_and_kept(
        self, store: Store, worker: WorkerRef, kind: str
    ) -> None:
        outcome = OUTCOMES[kind](_asked(store, worker))
        job = settle_one(store, worker, outcome, now=after(9))
        (attempt,) = job.history
        assert (attempt.counted, attempt.failure) == (outcome.counted, FAILURE)
        assert (job.attempts, job.interruptions) == ((0, 1) if kind == "interrupted" else (1, 0))

    def test_in_one_exchange_each_outcome_is_judged_for_its_own_job(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add_many(store, 4)
        claims = claim(store, worker)
        store.cancel([claims[1].id, claims[3].id], WHY)
        reply = settle(store, worker, *[Outcome.retry(found, FAILURE, 0.0) for found in claims])
        assert rejected(reply) == []
        assert [state_of(store, found.id).label for found in claims] == [
            "ready",
            "cancelled",
            "ready",
            "cancelled",
        ]
        assert [record(store, found.id).reason for found in claims] == [None, WHY, None, WHY]

    def test_a_claim_that_a_reconciliation_would_return_is_cancelled(
        self, store: Store, worker: WorkerRef
    ) -> None:
        lost, held = _asked(store, worker), _asked(store, worker)
        store.reconcile(worker, [(held.id, held.token)], now=after(5))
        job = record(store, lost.id)
        assert (job.state, job.reason, job.finished_at) == (State.CANCELLED, WHY, after(5))
        assert (job.attempts, job.interruptions, list(job.history)) == (0, 0, [])
        assert [seen.id for seen in look(store, "runner-1").cancellations] == [held.id]
        assert settle(store, worker, Outcome.handed_back(lost)).stale == [lost.id]

    def test_the_claim_of_a_lost_worker_is_cancelled_when_it_is_rescued(
        self, store: Store, worker: WorkerRef
    ) -> None:
        found = _asked(store, worker)
        declare_lost(store, "runner-1")
        assert look(store, "runner-1").cancellations == []
        assert [orphan.id for orphan in store.orphans(10)] == [found.id]
        assert rescue(store, now=after(5)) == []
        job = record(store, found.id)
        assert (job.state, job.reason, job.interruptions) == (State.CANCELLED, WHY, 1)
        assert store.orphans(10) == []

    def test_an_orphan_is_asked_too(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        found = claim_one(store, worker)
        store.unregister_worker(worker.id)
        assert store.cancel([found.id], WHY).asked == [found.id]
        job = settle_one(store, RESCUER, Outcome.handed_back(found))
        assert (job.state, job.reason) == (State.CANCELLED, WHY)

    # --- Afterwards ---

    def test_a_token_from_before_settles_nothing(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        lost = claim_one(store, worker)
        worker = store.reconcile(worker, [])
        store.cancel([lost.id], WHY, now=after(1))
        before = record(store, lost.id)
        for outcome_of in OUTCOMES.values():
            assert settle(store, worker, outcome_of(lost)).stale == [lost.id]
        assert record(store, lost.id) == before

    def test_a_job_that_was_asked_to_stop_and_is_retried_by_hand_is_not_asked_again(
        self, store: Store, worker: WorkerRef
    ) -> None:
        found = _asked(store, worker)
        settle_one(store, worker, Outcome.handed_back(found))
        assert store.retry([found.id]) == [found.id]
        again = claim_one(store, worker)
        assert look(store, "runner-1").cancellations == []
        job = settle_one(store, worker, Outcome.retry(again, FAILURE, 0.0))
        assert (job.state, job.reason) == (State.READY, None)

    @_each(FINISHED)
    def test_only_a_cancelled_job_has_a_reason(self, store: Store, worker: WorkerRef, state: State) -> None:
        job = record(store, one_of_each(store, worker)[state])
        assert job.reason == ("Nobody needs it." if state is State.CANCELLED else None)
