"""Unique jobs: of those with one mark, one lives at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from dlq.job import NewJob, Outcome
from dlq.limits import Limits, Slot
from dlq.states import State
from dlq.store.base import Store
from dlq.testing.contract.builders import (
    FAILURE,
    NOON,
    OUTCOMES,
    add,
    after,
    claim,
    claim_ids,
    claim_one,
    look,
    new_job,
    record,
    rejected,
    settle,
    settle_one,
    state_of,
)
from dlq.unique import OnDuplicate, UniqueKey, duplicate_reason
from dlq.workers import WorkerRef

__all__ = ["Deduplicating", "unique_job"]


def unique_job(
    key: str = "account:1", *, until: str = "finished", replaces: bool = False, **fields: Any
) -> NewJob:
    """A job of which there is to be one at a time."""
    unique = UniqueKey(
        key=key,
        mark=f"{until[0]}{key:_<32}",
        on_duplicate=OnDuplicate.REPLACE if replaces else OnDuplicate.REJECT,
    )
    return new_job(unique=unique, **fields)


def _put(store: Store, *jobs: NewJob, now: Any = NOON) -> list[UUID | None]:
    """Enqueue these as one batch; of which job each is a duplicate."""
    duplicates = store.enqueue(jobs, now=now).duplicates
    return [duplicates.get(job.id) for job in jobs]


FREEING: dict[str, Callable[[Store, WorkerRef, NewJob], object]] = {
    "success": lambda store, worker, job: settle(
        store, worker, OUTCOMES["succeeded"](claim_one(store, worker))
    ),
    "failure": lambda store, worker, job: settle(store, worker, OUTCOMES["failed"](claim_one(store, worker))),
    "cancellation while it runs": lambda store, worker, job: settle(
        store, worker, OUTCOMES["cancelled"](claim_one(store, worker))
    ),
    "cancellation while it waits": lambda store, worker, job: store.cancel([job.id], "no", now=NOON),
    "expiry": lambda store, worker, job: look(store, now=after(60)),
}

KEEPING: dict[str, Callable[[Store, WorkerRef, NewJob], object]] = {
    "waiting": lambda store, worker, job: None,
    "running": lambda store, worker, job: claim_one(store, worker),
    "a retry later": lambda store, worker, job: settle_one(
        store, worker, OUTCOMES["retry later"](claim_one(store, worker))
    ),
    "a retry now": lambda store, worker, job: settle_one(
        store, worker, OUTCOMES["retry now"](claim_one(store, worker))
    ),
    "an interruption": lambda store, worker, job: settle_one(
        store, worker, OUTCOMES["interrupted"](claim_one(store, worker))
    ),
    "parking": lambda store, worker, job: settle_one(
        store, worker, OUTCOMES["parked"](claim_one(store, worker))
    ),
    "a cancellation that is asked for": lambda store, worker, job: (
        claim_one(store, worker),
        store.cancel([job.id], "no", now=NOON),
    ),
}


class Deduplicating:
    """One is enough."""

    def test_a_second_job_of_a_mark_is_a_duplicate_of_the_first(
        self, store: Store, worker: WorkerRef
    ) -> None:
        first, second = unique_job(), unique_job()
        assert _put(store, first) == [None]
        assert _put(store, second, now=after(5)) == [first.id]
        found = record(store, second.id)
        assert (found.state, found.duplicate_of) == (State.CANCELLED, first.id)
        assert (found.reason, found.finished_at) == (duplicate_reason(first.id), after(5))
        assert found.unique == second.unique
        assert claim_ids(store, worker) == [first.id]

    def test_what_is_known_of_a_unique_job_includes_its_key(self, store: Store) -> None:
        job = unique_job()
        _put(store, job)
        assert (record(store, job.id).unique, record(store, job.id).duplicate_of) == (job.unique, None)

    def test_of_one_batch_too_the_first_is_the_one(self, store: Store, worker: WorkerRef) -> None:
        jobs = [
            unique_job("a"),
            unique_job("b"),
            unique_job("a"),
            new_job(),
            unique_job("a"),
            unique_job("b"),
        ]
        a, b = jobs[0].id, jobs[1].id
        assert _put(store, *jobs) == [None, None, a, None, a, b]
        assert claim_ids(store, worker) == [a, b, jobs[3].id]

    def test_jobs_of_other_marks_and_of_none_are_not_touched(self, store: Store, worker: WorkerRef) -> None:
        jobs = [unique_job("a"), unique_job("b"), unique_job("a", until="started"), new_job(), new_job()]
        assert _put(store, *jobs) == [None] * 5
        assert claim_ids(store, worker) == [job.id for job in jobs]

    def test_storing_the_same_job_again_changes_nothing(self, store: Store, worker: WorkerRef) -> None:
        first, second = unique_job(), unique_job()
        _put(store, first, second)
        before = [record(store, first.id), record(store, second.id)]
        assert _put(store, second, first, now=after(5)) == [first.id, None]
        assert [record(store, first.id), record(store, second.id)] == before
        settle(store, worker, OUTCOMES["succeeded"](claim_one(store, worker)))
        _put(store, first, now=after(6))
        assert claim_ids(store, worker) == []
        assert _put(store, unique_job()) == [None]

    @pytest.mark.parametrize("how", FREEING)
    def test_the_end_of_a_job_makes_room_for_another(self, store: Store, worker: WorkerRef, how: str) -> None:
        first, second = unique_job(expires_after=30.0), unique_job()
        _put(store, first)
        FREEING[how](store, worker, first)
        assert _put(store, second, now=after(61)) == [None]
        assert claim_ids(store, worker, now=after(61)) == [second.id]

    @pytest.mark.parametrize("how", KEEPING)
    def test_a_job_that_has_not_finished_keeps_others_out(
        self, store: Store, worker: WorkerRef, how: str
    ) -> None:
        first = unique_job(max_attempts=9)
        _put(store, first)
        KEEPING[how](store, worker, first)
        assert _put(store, unique_job()) == [first.id]

    def test_a_scheduled_job_keeps_others_out_and_becomes_ready(
        self, store: Store, worker: WorkerRef
    ) -> None:
        later, now = unique_job(run_after=after(60)), unique_job()
        assert _put(store, later, now) == [None, later.id]
        look(store, now=after(60))
        assert claim_ids(store, worker, now=after(60)) == [later.id]

    def test_the_claim_of_a_job_makes_room_where_that_is_asked_for(
        self, store: Store, worker: WorkerRef
    ) -> None:
        first, second, third = (unique_job(until="started") for _ in range(3))
        assert _put(store, first) == [None]
        claimed = claim_one(store, worker)
        assert _put(store, second, third) == [None, second.id]
        # It waits again beside the second: no collision, and nothing is lost.
        assert rejected(settle(store, worker, Outcome.retry(claimed, FAILURE, 0.0))) == []
        assert _put(store, unique_job(until="started")) == [second.id]
        assert sorted(claim_ids(store, worker)) == sorted([first.id, second.id])
        assert _put(store, unique_job(until="started")) == [None]

    def test_with_a_limit_of_one_more_waits_while_one_runs_and_never_two_run(
        self, store: Store, worker: WorkerRef
    ) -> None:
        limits = Limits(slot=Slot(key="account:1", limit=1))
        first, second, third = (unique_job(until="started", limits=limits) for _ in range(3))
        assert _put(store, first) == [None]
        running = claim_one(store, worker)
        assert _put(store, second, third) == [None, second.id]
        assert (state_of(store, second.id), claim_ids(store, worker)) == (State.BLOCKED, [])
        settle(store, worker, OUTCOMES["succeeded"](running))
        assert claim_ids(store, worker) == [second.id]

    def test_a_duplicate_is_pruned_as_cancelled_jobs_are(self, store: Store) -> None:
        first, second = unique_job(), unique_job()
        _put(store, first, second)
        assert store.prune(State.CANCELLED, 10.0, 100, now=after(20)) == 1
        assert [job.id for job in store.get([first.id, second.id])] == [first.id]

    def test_a_retry_by_hand_that_would_collide_is_left_alone(self, store: Store, worker: WorkerRef) -> None:
        first, second = unique_job(), unique_job()
        _put(store, first)
        settle(store, worker, OUTCOMES["failed"](claim_one(store, worker)))
        _put(store, second)
        before = record(store, first.id)
        assert store.retry([first.id]) == []
        assert record(store, first.id) == before
        store.cancel([second.id], "no")
        assert store.retry([first.id, second.id]) == [first.id]
        assert _put(store, unique_job()) == [first.id]
        assert claim_ids(store, worker) == [first.id]

    def test_a_duplicate_that_is_retried_is_a_job_of_its_own(self, store: Store, worker: WorkerRef) -> None:
        first, second = unique_job(), unique_job()
        _put(store, first, second)
        assert store.retry([second.id]) == []
        settle(store, worker, OUTCOMES["succeeded"](claim_one(store, worker)))
        assert store.retry([second.id]) == [second.id]
        assert record(store, second.id).duplicate_of is None
        assert claim_ids(store, worker) == [second.id]

    def test_a_mark_is_one_of_its_backend(self, store: Store, make_store: Any) -> None:
        assert _put(store, unique_job()) == [None]
        assert _put(make_store("other"), unique_job()) == [None]

    # --- Replacing

    def test_a_waiting_job_is_given_what_the_new_one_says(self, store: Store, worker: WorkerRef) -> None:
        first = unique_job(replaces=True, payload="[[1],{}]")
        other = add(store)
        second = unique_job(
            replaces=True, payload="[[2],{}]", metadata='{"by":2}', overrides='{"timeout": 5}', max_attempts=7
        )
        _put(store, first)
        assert _put(store, second, now=after(5)) == [first.id]
        assert state_of(store, second.id) is State.CANCELLED
        found = record(store, first.id)
        assert (found.payload, found.metadata, found.overrides) == (
            "[[2],{}]",
            '{"by":2}',
            '{"timeout": 5}',
        )
        assert (found.state, found.max_attempts, found.enqueued_at) == (State.READY, 7, NOON)
        assert [(job.id, job.payload) for job in claim(store, worker)] == [
            (other, "[[],{}]"),
            (first.id, "[[2],{}]"),
        ]

    @pytest.mark.parametrize(("before", "after_that"), [(None, 60), (60, None), (60, 90), (60, 30)])
    def test_a_waiting_job_is_given_the_time_of_the_new_one(
        self, store: Store, worker: WorkerRef, before: float | None, after_that: float | None
    ) -> None:
        first, second = (
            unique_job(replaces=True, run_after=None if seconds is None else after(seconds))
            for seconds in (before, after_that)
        )
        assert _put(store, first, now=NOON) == [None]
        assert _put(store, second, now=NOON) == [first.id]
        found = record(store, first.id)
        assert (found.due_at, found.run_after) == (second.run_after, second.run_after)
        due = after(after_that or 0)
        look(store, now=due)
        assert claim_ids(store, worker, now=due) == [first.id]

    def test_a_waiting_job_is_given_priority_and_expiry_of_the_new_one(
        self, store: Store, worker: WorkerRef
    ) -> None:
        plain, first = add(store), unique_job(replaces=True)
        _put(store, first)
        _put(store, unique_job(replaces=True, priority=5, expires_after=60.0), now=after(1))
        assert record(store, first.id).expires_at == after(61)
        assert claim_ids(store, worker, now=after(2)) == [first.id, plain]

    def test_a_running_job_is_not_replaced(self, store: Store, worker: WorkerRef) -> None:
        first = unique_job(replaces=True, payload="[[1],{}]")
        _put(store, first)
        claim_one(store, worker)
        before = record(store, first.id)
        assert _put(store, unique_job(replaces=True, payload="[[2],{}]")) == [first.id]
        assert record(store, first.id) == before

    def test_of_one_batch_too_the_last_counts(self, store: Store, worker: WorkerRef) -> None:
        jobs = [unique_job(replaces=True, payload=f"[[{number}],{{}}]") for number in range(4)]
        assert _put(store, *jobs) == [None, jobs[0].id, jobs[0].id, jobs[0].id]
        assert [job.payload for job in claim(store, worker)] == ["[[3],{}]"]
