"""``Store.exchange`` as a settlement: what becomes of a claim."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from dlq.errors import StoreRefused
from dlq.job import Counted, Failure, Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.testing.contract.builders import (
    FAILURE,
    NOON,
    OUTCOMES,
    RESCUER,
    MakeOutcome,
    add,
    add_many,
    after,
    claim,
    claim_ids,
    claim_one,
    every_outcome,
    promote,
    record,
    rejected,
    settle,
    settle_one,
    state_of,
    totals,
)
from dlq.workers import WorkerRef

__all__ = ["Settling"]


@dataclass(frozen=True)
class _Expected:
    state: State
    attempts: int
    interruptions: int
    history: int


EXPECTED = {
    "succeeded": _Expected(State.SUCCEEDED, 1, 0, 0),
    "failed": _Expected(State.FAILED, 1, 0, 1),
    "worker lost": _Expected(State.FAILED, 0, 1, 1),
    "cancelled": _Expected(State.CANCELLED, 0, 0, 0),
    "retry later": _Expected(State.SCHEDULED, 1, 0, 1),
    "retry now": _Expected(State.READY, 1, 0, 1),
    "handed back": _Expected(State.READY, 0, 0, 0),
    "put off": _Expected(State.SCHEDULED, 0, 0, 0),
    "interrupted": _Expected(State.READY, 0, 1, 1),
    "parked": _Expected(State.BLOCKED, 0, 0, 0),
}

ODD_OUTCOMES: dict[str, MakeOutcome] = {
    "result with NUL": lambda claim: Outcome.succeeded(claim, '"\x00"', 1.0),
    "result with a lone surrogate": lambda claim: Outcome.succeeded(claim, '"\ud800"', 1.0),
    "traceback with NUL": lambda claim: Outcome.failed(claim, Failure(exception="E", traceback="\x00"), 1.0),
    "traceback with a lone surrogate": lambda claim: Outcome.retry(
        claim, Failure(exception="E", traceback="\ud800"), 0.0
    ),
    "exception of great length": lambda claim: Outcome.failed(
        claim, Failure(exception="E" * 10_000, traceback=""), 1.0
    ),
}


class Settling:
    """Outcomes are written."""

    @pytest.mark.parametrize("kind", OUTCOMES)
    def test_an_outcome_is_written_and_counted_as_it_says(
        self, store: Store, worker: WorkerRef, kind: str
    ) -> None:
        add(store)
        job = settle_one(store, worker, OUTCOMES[kind](claim_one(store, worker)))
        assert _Expected(job.state, job.attempts, job.interruptions, len(job.history)) == EXPECTED[kind]

    @every_outcome
    def test_a_claim_becomes_only_what_the_table_allows(
        self, store: Store, worker: WorkerRef, outcome_of: MakeOutcome
    ) -> None:
        add(store)
        job = settle_one(store, worker, outcome_of(claim_one(store, worker)))
        assert State.RUNNING.may_become(job.state)

    def test_a_finished_job_says_who_ran_it_and_when(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        found = claim_one(store, worker, now=after(1))
        job = settle_one(store, worker, Outcome.succeeded(found, "42", 2.25), now=after(10))
        assert (job.result, job.worker, job.token) == ("42", worker.id, found.token)
        assert (job.started_at, job.finished_at) == (after(7.75), after(10))

    def test_a_failed_job_has_no_result(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        job = settle_one(store, worker, Outcome.failed(claim_one(store, worker), FAILURE, 2.0), now=after(10))
        assert (job.result, job.worker) == (None, worker.id)
        assert (job.started_at, job.finished_at) == (after(8), after(10))

    def test_the_worker_of_a_job_is_who_ran_it_not_who_settled_it(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add(store)
        found = claim_one(store, worker)
        job = settle_one(store, RESCUER, OUTCOMES["worker lost"](found))
        assert (job.state, job.worker) == (State.FAILED, worker.id)

    @pytest.mark.parametrize(
        "kind", ["retry later", "retry now", "handed back", "put off", "interrupted", "parked"]
    )
    def test_a_job_that_waits_again_is_held_by_nobody(
        self, store: Store, worker: WorkerRef, kind: str
    ) -> None:
        add(store)
        job = settle_one(store, worker, OUTCOMES[kind](claim_one(store, worker)))
        assert (job.worker, job.finished_at, job.result) == (None, None, None)
        assert store.held(worker.id, 10) == []

    @pytest.mark.parametrize("delay", [0.001, 1.5, 3600.0, 10 * 365 * 86_400.0])
    def test_a_retry_is_due_after_its_delay(self, store: Store, worker: WorkerRef, delay: float) -> None:
        add(store)
        outcome = Outcome.retry(claim_one(store, worker), FAILURE, delay)
        job = settle_one(store, worker, outcome, now=after(100))
        assert (job.state, job.due_at) == (State.SCHEDULED, after(100 + delay))

    def test_without_a_time_given_a_delay_counts_from_the_stores_own_clock(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add(store)
        reply = store.exchange(worker, [], ["default"], 1)
        store.exchange(worker, [Outcome.retry(reply.claims[0], FAILURE, 86_400.0, 60.0)], [], 0)
        job = record(store, reply.claims[0].id)
        (attempt,) = job.history
        assert job.due_at is not None
        assert (job.due_at - attempt.finished_at).total_seconds() == 86_400
        assert (attempt.finished_at - attempt.started_at).total_seconds() == 60
        assert promote(store, 10) == 0

    # --- Places ---

    def test_a_retry_goes_behind(self, store: Store, worker: WorkerRef) -> None:
        first, second, third = add_many(store, 3)
        settle_one(store, worker, Outcome.retry(claim_one(store, worker), FAILURE, 0.0))
        assert claim_ids(store, worker) == [second, third, first]

    def test_a_delayed_retry_goes_behind_when_it_is_due(self, store: Store, worker: WorkerRef) -> None:
        first, second, third = add_many(store, 3)
        settle_one(store, worker, Outcome.retry(claim_one(store, worker), FAILURE, 5.0))
        assert promote(store, 10, now=after(5)) == 1
        fourth = add(store)
        assert claim_ids(store, worker) == [second, third, first, fourth]

    @pytest.mark.parametrize("kind", ["handed back", "interrupted"])
    def test_what_is_no_fault_of_the_job_keeps_its_place(
        self, store: Store, worker: WorkerRef, kind: str
    ) -> None:
        ids = add_many(store, 3)
        for found in reversed(claim(store, worker, 2)):
            settle_one(store, worker, OUTCOMES[kind](found))
        assert claim_ids(store, worker) == ids

    def test_a_retry_keeps_its_priority(self, store: Store, worker: WorkerRef) -> None:
        urgent, plain = add(store, priority=1), add(store)
        settle_one(store, worker, Outcome.retry(claim_one(store, worker), FAILURE, 0.0))
        assert claim_ids(store, worker) == [urgent, plain]

    # --- Batches ---

    def test_one_exchange_settles_many_and_claims_more(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, len(OUTCOMES))
        last = add_many(store, 2, queue="next")
        claims = claim(store, worker)
        outcomes = [outcome_of(found) for outcome_of, found in zip(OUTCOMES.values(), claims, strict=True)]
        reply = store.exchange(worker, outcomes, ["next"], 5, now=NOON)
        assert rejected(reply) == []
        assert [taken.id for taken in reply.claims] == last
        assert [state_of(store, id) for id in ids] == [EXPECTED[kind].state for kind in OUTCOMES]

    def test_one_rejected_outcome_does_not_stop_the_others(self, store: Store, worker: WorkerRef) -> None:
        add_many(store, 3)
        claims = claim(store, worker)
        settle_one(store, RESCUER, OUTCOMES["interrupted"](claims[1]))
        reply = settle(store, worker, *[OUTCOMES["succeeded"](found) for found in claims])
        assert (reply.stale, reply.already) == ([claims[1].id], [])
        assert [state_of(store, found.id) for found in claims] == [
            State.SUCCEEDED,
            State.READY,
            State.SUCCEEDED,
        ]

    def test_a_job_returned_by_an_exchange_can_be_claimed_by_the_next(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add(store)
        found = claim_one(store, worker)
        reply = store.exchange(worker, [Outcome.handed_back(found)], ["default"], 1, now=NOON)
        claims = reply.claims or claim(store, worker)
        assert [(again.id, again.token > found.token) for again in claims] == [(found.id, True)]

    def test_a_worker_that_is_not_registered_settles(self, store: Store, worker: WorkerRef) -> None:
        add_many(store, 2)
        found = claim_one(store, worker)
        store.unregister_worker(worker.id)
        reply = store.exchange(worker, [Outcome.succeeded(found, "1", 1.0)], ["default"], 1, now=NOON)
        assert (rejected(reply), reply.claims, reply.registered) == ([], [], False)
        assert state_of(store, found.id) == State.SUCCEEDED

    # --- The same outcome again ---

    @every_outcome
    def test_settling_again_with_the_same_token_is_a_repetition(
        self, store: Store, worker: WorkerRef, outcome_of: MakeOutcome
    ) -> None:
        add(store)
        found = claim_one(store, worker)
        before = settle_one(store, worker, outcome_of(found))
        reply = settle(store, worker, outcome_of(found), now=after(5))
        assert (reply.stale, reply.already) == ([], [found.id])
        assert record(store, found.id) == before

    def test_a_repetition_with_another_outcome_changes_nothing(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        found = claim_one(store, worker)
        before = settle_one(store, worker, OUTCOMES["succeeded"](found))
        for outcome_of in OUTCOMES.values():
            assert settle(store, worker, outcome_of(found), now=after(5)).already == [found.id]
        assert record(store, found.id) == before

    def test_a_repetition_is_known_while_another_worker_holds_the_job(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef
    ) -> None:
        add(store)
        found = claim_one(store, worker)
        settle_one(store, worker, OUTCOMES["retry now"](found))
        claim_one(store, other_worker)
        before = record(store, found.id)
        reply = settle(store, worker, OUTCOMES["retry now"](found))
        assert (reply.stale, reply.already) == ([], [found.id])
        assert record(store, found.id) == before

    def test_an_outcome_twice_in_one_exchange_counts_once(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        outcome = Outcome.retry(claim_one(store, worker), FAILURE, 0.0)
        assert settle(store, worker, outcome, outcome).stale == []
        assert (record(store, outcome.id).attempts, len(record(store, outcome.id).history)) == (1, 1)

    # --- Data that a store may not be able to hold ---

    @pytest.mark.parametrize("odd", ODD_OUTCOMES.values(), ids=ODD_OUTCOMES.keys())
    def test_an_odd_outcome_is_kept_unchanged_or_refused_with_its_exchange(
        self, store: Store, worker: WorkerRef, inspector: Inspector, odd: MakeOutcome
    ) -> None:
        add_many(store, 3)
        plain, strange = claim(store, worker, 2)
        outcomes = [OUTCOMES["succeeded"](plain), odd(strange)]
        try:
            store.exchange(worker, outcomes, ["default"], 1, now=NOON)
        except StoreRefused:
            assert totals(inspector) == {State.RUNNING: 2, State.READY: 1}
            assert settle_one(store, worker, outcomes[0]).state == State.SUCCEEDED
            assert settle_one(store, worker, OUTCOMES["failed"](strange)).state == State.FAILED
        else:
            job = record(store, strange.id)
            assert job.result == outcomes[1].result
            assert [attempt.failure for attempt in job.history] == [
                failure for failure in [outcomes[1].failure] if failure
            ]

    def test_what_counts_is_said_by_the_outcome_alone(self, store: Store, worker: WorkerRef) -> None:
        id = add(store, max_attempts=1, max_interruptions=0)
        for counted in (Counted.ATTEMPT, Counted.INTERRUPTION):
            outcome = replace(Outcome.interrupted(claim_one(store, worker), FAILURE), counted=counted)
            assert settle_one(store, worker, outcome).state == State.READY
        assert (record(store, id).attempts, record(store, id).interruptions) == (1, 1)
