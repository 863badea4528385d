"""Verbs that meet at a row that is locked: the one that comes second waits, and then sees what the first has done."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dlq.job import Cancelled, Exchanged, Note, Outcome
from dlq.states import State
from dlq.testing.contract.builders import (
    FAILURE,
    NOON,
    add,
    claim,
    claim_one,
    record,
    register,
    settle,
    settle_one,
    state_of,
)
from dlq.workers import WorkerRef
from dlq_db.store import DatabaseStore
from meetings import second

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["postgres", "mariadb"]),
    pytest.mark.parametrize("database", ["postgres", "mariadb"]),
]


@pytest.fixture
def store(database: str) -> DatabaseStore:
    return DatabaseStore("default", database=database)


@pytest.fixture
def worker(store: DatabaseStore) -> WorkerRef:
    return register(store)


@pytest.mark.parametrize(
    "outcome_of",
    [Outcome.handed_back, lambda claim: Outcome.retry(claim, FAILURE, 60.0)],
    ids=["back", "retry"],
)
def test_an_outcome_that_waits_for_a_cancellation_ends_the_job(
    store: DatabaseStore, worker: WorkerRef, outcome_of: Callable[..., Outcome]
) -> None:
    id = add(store)
    outcome = outcome_of(claim_one(store, worker))
    with second(store, lambda other: settle(other, worker, outcome)) as reply:
        assert store.cancel([id], "not wanted") == Cancelled(asked=[id])
    assert reply.result() == Exchanged()
    job = record(store, id)
    assert (job.state, job.reason) == (State.CANCELLED, "not wanted")


def test_a_cancellation_that_waits_for_a_failure_cancels_the_failed_job(
    store: DatabaseStore, worker: WorkerRef
) -> None:
    id = add(store)
    outcome = Outcome.failed(claim_one(store, worker), FAILURE)
    with second(store, lambda other: other.cancel([id], "not wanted")) as reply:
        settle_one(store, worker, outcome)
    assert reply.result() == Cancelled(done=[id])
    assert state_of(store, id) == State.CANCELLED


def test_a_cancellation_that_waits_for_a_success_comes_too_late(
    store: DatabaseStore, worker: WorkerRef
) -> None:
    id = add(store)
    outcome = Outcome.succeeded(claim_one(store, worker), "null", 1.0)
    with second(store, lambda other: other.cancel([id], "not wanted")) as reply:
        settle_one(store, worker, outcome)
    assert reply.result() == Cancelled()
    assert state_of(store, id) == State.SUCCEEDED


def test_a_cancellation_that_waits_for_a_claim_asks_the_task_to_stop(
    store: DatabaseStore, worker: WorkerRef
) -> None:
    id = add(store)
    with second(store, lambda other: other.cancel([id], "not wanted")) as reply:
        claim_one(store, worker)
    assert reply.result() == Cancelled(asked=[id])
    assert record(store, id).reason == "not wanted"


def test_a_cancellation_that_waits_for_a_retry_cancels_the_new_wait(
    store: DatabaseStore, worker: WorkerRef
) -> None:
    id = add(store)
    settle_one(store, worker, Outcome.failed(claim_one(store, worker), FAILURE))
    with second(store, lambda other: other.cancel([id], "not wanted")) as reply:
        assert store.retry([id]) == [id]
    assert reply.result() == Cancelled(done=[id])
    assert claim(store, worker) == []


def test_of_two_retries_the_second_finds_nothing_to_do(store: DatabaseStore, worker: WorkerRef) -> None:
    id = add(store)
    settle_one(store, worker, Outcome.failed(claim_one(store, worker), FAILURE))
    with second(store, lambda other: other.retry([id])) as reply:
        assert store.retry([id]) == [id]
    assert reply.result() == []


def test_a_settlement_repeated_while_it_is_under_way_is_told_that_it_has_happened(
    store: DatabaseStore, worker: WorkerRef
) -> None:
    add(store)
    outcome = Outcome.succeeded(claim_one(store, worker), "null", 1.0)
    with second(store, lambda other: settle(other, worker, outcome)) as reply:
        settle_one(store, worker, outcome)
    assert reply.result() == Exchanged(already=[outcome.id])


def test_a_note_that_waits_for_the_settlement_is_rejected(store: DatabaseStore, worker: WorkerRef) -> None:
    add(store)
    held = claim_one(store, worker)
    note = Note(id=held.id, token=held.token, progress=0.5, lines=["half"], metadata="{}")
    with second(store, lambda other: other.annotate([note])) as reply:
        settle_one(store, worker, Outcome.handed_back(held))
    assert reply.result() == [held.id]
    job = record(store, held.id)
    assert (job.progress, list(job.log), job.metadata) == (None, [], None)


def test_a_reconciliation_that_waits_for_a_cancellation_ends_the_job(
    store: DatabaseStore, worker: WorkerRef
) -> None:
    id = add(store, now=NOON)
    claim_one(store, worker)
    with second(store, lambda other: other.reconcile(worker, [])):
        store.cancel([id], "not wanted")
    job = record(store, id)
    assert (job.state, job.reason, job.worker) == (State.CANCELLED, "not wanted", None)


def test_an_exchange_that_waits_holds_none_of_the_jobs_that_it_could_claim(
    store: DatabaseStore, worker: WorkerRef
) -> None:
    running = add(store)
    outcomes = [Outcome.handed_back(claim_one(store, worker))]
    ready = add(store)

    def cancel_the_other() -> None:
        assert store.cancel([ready], "not wanted") == Cancelled(done=[ready])

    with second(
        store, lambda other: other.exchange(worker, outcomes, ["default"], 10), cancel_the_other
    ) as reply:
        store.cancel([running], "not wanted")
    assert reply.result() == Exchanged()
    assert {job.state for job in store.get([running, ready])} == {State.CANCELLED}


def test_a_settlement_waits_for_a_reconciliation_before_it_holds_a_job(
    store: DatabaseStore, worker: WorkerRef
) -> None:
    id = add(store)
    outcome = Outcome.succeeded(claim_one(store, worker), "null", 1.0)

    def take_the_claim_away() -> None:
        store.reconcile(worker, [])

    with second(store, lambda other: settle(other, worker, outcome), take_the_claim_away) as reply:
        store.reconcile(worker, [(id, outcome.token)])
    assert reply.result() == Exchanged(stale=[id], registered=False)
    assert state_of(store, id) == State.READY
