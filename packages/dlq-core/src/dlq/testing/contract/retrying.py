"""``Store.retry``: what has failed or was cancelled gets another chance, by hand."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from dlq.ids import new_job_id
from dlq.job import Edit, Note, Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.testing.contract.builders import (
    FAILURE,
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
    look,
    one_of_each,
    record,
    settle,
    settle_one,
    state_of,
)
from dlq.workers import WorkerRef

__all__ = ["Retrying"]

REVIVABLE = [State.FAILED, State.CANCELLED]
each_revivable = pytest.mark.parametrize("kind", ["failed", "worker lost", "cancelled"])


def _ended(store: Store, worker: WorkerRef, kind: str = "failed") -> UUID:
    """A job that was interrupted, has raised, and then ended in this way."""
    id = add(store)
    for each in ("interrupted", "retry now", kind):
        settle_one(store, worker, OUTCOMES[each](claim_one(store, worker)))
    return id


class Retrying:
    """Once more."""

    @each_revivable
    def test_a_job_may_be_tried_again_with_other_arguments(
        self, store: Store, worker: WorkerRef, kind: str
    ) -> None:
        id, other = _ended(store, worker, kind), _ended(store, worker, kind)
        before = record(store, id)
        edits = {
            id: Edit(payload="[[2],{}]", overrides='{"version": 2}'),
            new_job_id(): Edit(payload="[[3],{}]"),
        }
        assert store.retry([id, other], edits=edits) == [id, other]
        job = record(store, id)
        assert (job.payload, job.overrides) == ("[[2],{}]", '{"version": 2}')
        assert (job.task, job.queue, job.metadata, job.history) == (
            before.task,
            before.queue,
            before.metadata,
            before.history,
        )
        assert [found.payload for found in claim(store, worker)] == ["[[2],{}]", "[[],{}]"]

    @pytest.mark.parametrize("state", set(State) - set(REVIVABLE), ids=lambda state: state.label)
    def test_an_edit_of_a_job_that_is_not_retried_changes_nothing(
        self, store: Store, worker: WorkerRef, state: State
    ) -> None:
        id = one_of_each(store, worker)[state]
        before = record(store, id)
        assert store.retry([id], edits={id: Edit(payload="[[2],{}]")}) == []
        assert record(store, id) == before

    @each_revivable
    def test_a_job_that_did_not_succeed_is_ready_as_if_it_were_new(
        self, store: Store, worker: WorkerRef, kind: str
    ) -> None:
        id = _ended(store, worker, kind)
        ended = record(store, id)
        assert store.retry([id], now=after(5)) == [id]
        job = record(store, id)
        assert (job.state, job.attempts, job.interruptions) == (State.READY, 0, 0)
        assert (job.started_at, job.finished_at, job.due_at, job.worker) == (None, None, None, None)
        assert (job.result, job.reason, job.expires_at, job.keep_until) == (None, None, None, None)
        assert list(job.history) == list(ended.history)
        assert (job.payload, job.enqueued_at, job.token) == (ended.payload, ended.enqueued_at, ended.token)

    @pytest.mark.parametrize("state", sorted(set(State) - set(REVIVABLE)), ids=lambda state: state.label)
    def test_other_jobs_stay_as_they_are(self, store: Store, worker: WorkerRef, state: State) -> None:
        id = one_of_each(store, worker)[state]
        before = record(store, id)
        assert store.retry([id], now=after(5)) == []
        assert record(store, id) == before

    def test_those_that_were_retried_are_named_once(self, store: Store, worker: WorkerRef) -> None:
        ids = one_of_each(store, worker)
        wanted = sorted(ids[state] for state in REVIVABLE)
        assert sorted(store.retry([*ids.values(), new_job_id(), *ids.values()])) == wanted
        assert store.retry(ids.values()) == []
        assert store.retry([]) == []

    def test_a_thousand_are_retried_in_one_call(self, store: Store) -> None:
        ids = add_many(store, 1_000)
        store.cancel(ids, "a mistake")
        assert set(store.retry(ids)) == set(ids)
        assert {job.state for job in store.get(ids)} == {State.READY}

    # --- Its place ---

    def test_a_retried_job_goes_behind_those_that_wait(self, store: Store, worker: WorkerRef) -> None:
        cancelled, first = add_many(store, 2)
        store.cancel([cancelled], "a mistake")
        second = add(store)
        store.retry([cancelled])
        last = add(store)
        assert claim_ids(store, worker) == [first, second, cancelled, last]

    def test_a_retried_job_keeps_its_priority_and_queue(self, store: Store, worker: WorkerRef) -> None:
        urgent = add(store, queue="a", priority=1)
        store.cancel([urgent], "a mistake")
        plain = add(store, queue="a")
        store.retry([urgent])
        assert claim_ids(store, worker, queues=["a"]) == [urgent, plain]

    @pytest.mark.parametrize("state", [State.SCHEDULED, State.BLOCKED], ids=lambda state: state.label)
    def test_a_job_that_was_cancelled_while_it_waited_for_something_is_ready_at_once(
        self, store: Store, worker: WorkerRef, state: State
    ) -> None:
        id = one_of_each(store, worker)[state]
        store.cancel([id], "a mistake")
        store.retry([id])
        assert (state_of(store, id), store.parked()) == (
            State.READY,
            [("shop.blocked", 1)] * (state != State.BLOCKED),
        )
        assert claim_ids(store, worker, queues=[state.label]) == [id]

    # --- Tokens ---

    @each_revivable
    def test_the_token_goes_on_growing(self, store: Store, worker: WorkerRef, kind: str) -> None:
        id = _ended(store, worker, kind)
        before = record(store, id).token
        store.retry([id])
        found = claim_one(store, worker)
        assert (found.id, found.token > before) == (id, True)

    @every_outcome
    @pytest.mark.parametrize("claimed", [False, True], ids=["waits", "runs"])
    def test_outcomes_from_before_are_rejected(
        self, store: Store, worker: WorkerRef, outcome_of: MakeOutcome, claimed: bool
    ) -> None:
        add(store)
        older = claim_one(store, worker)
        settle_one(store, worker, OUTCOMES["retry now"](older))
        newer = claim_one(store, worker)
        settle_one(store, worker, OUTCOMES["failed"](newer))
        store.retry([older.id])
        if claimed:
            claim_one(store, worker)
        before = record(store, older.id)
        assert settle(store, worker, outcome_of(older)).stale == [older.id]
        assert settle(store, worker, outcome_of(newer)).already == [older.id]
        assert settle(store, RESCUER, outcome_of(newer)).stale == [older.id]
        assert record(store, older.id) == before

    # --- Its new life ---

    def test_a_retried_job_counts_and_remembers_anew(self, store: Store, worker: WorkerRef) -> None:
        id = _ended(store, worker)
        store.retry([id])
        found = claim_one(store, worker, now=after(20))
        assert (found.attempts, found.interruptions, found.suspect) == (0, 0, False)
        job = settle_one(store, worker, Outcome.failed(found, FAILURE, 1.0), now=after(25))
        assert (job.state, job.attempts, job.interruptions) == (State.FAILED, 1, 0)
        assert (len(job.history), job.history[-1].finished_at) == (4, after(25))

    def test_a_retried_job_may_succeed_and_is_done_then(self, store: Store, worker: WorkerRef) -> None:
        id = _ended(store, worker)
        store.retry([id])
        job = settle_one(store, worker, OUTCOMES["succeeded"](claim_one(store, worker)), now=after(25))
        assert (job.state, job.result, job.finished_at) == (State.SUCCEEDED, '"done"', after(25))
        assert store.retry([id]) == []

    def test_an_expired_job_is_retried_and_expires_no_more(self, store: Store, worker: WorkerRef) -> None:
        id = add(store, expires_after=10)
        assert look(store, now=after(10)).expired == 1
        assert store.retry([id], now=after(20)) == [id]
        assert look(store, now=after(1e6)).expired == 0
        found = claim_one(store, worker, now=after(1e6))
        assert (found.id, found.expires_at) == (id, None)

    def test_a_retried_job_is_kept_as_if_it_had_never_ended(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        outcome = replace(OUTCOMES["failed"](claim_one(store, worker)), keep_for=5.0)
        id = settle_one(store, worker, outcome).id
        store.retry([id], now=after(1))
        for state in State:
            assert store.prune(state, 1, 10, now=after(1e6)) == 0
        job = settle_one(store, worker, OUTCOMES["failed"](claim_one(store, worker)), now=after(1e6))
        assert job.keep_until is None

    def test_a_retried_job_keeps_its_log_and_metadata(self, store: Store, worker: WorkerRef) -> None:
        id = add(store, metadata='{"order":1}')
        found = claim_one(store, worker)
        store.annotate([Note(id=id, token=found.token, lines=["before"])])
        settle_one(store, worker, OUTCOMES["failed"](found))
        store.retry([id])
        again = claim_one(store, worker)
        store.annotate([Note(id=id, token=again.token, lines=["after"])])
        assert (list(record(store, id).log), again.metadata) == (["before", "after"], '{"order":1}')

    def test_a_retried_job_may_be_cancelled_and_retried_again(self, store: Store, worker: WorkerRef) -> None:
        id = add(store)
        for _ in range(3):
            assert store.cancel([id], "no").done == [id]
            assert store.retry([id]) == [id]
        assert claim_ids(store, worker) == [id]
        assert claim(store, worker) == []
