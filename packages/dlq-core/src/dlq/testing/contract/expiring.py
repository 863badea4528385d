"""``expires_after``: what has waited for too long fails, and says so."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from dlq.job import Attempt, Counted, Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.testing.contract.builders import (
    FAILURE,
    OUTCOMES,
    add,
    add_many,
    after,
    claim,
    claim_one,
    look,
    record,
    settle,
    settle_one,
    state_of,
    totals,
)
from dlq.workers import WorkerRef

__all__ = ["Expiring"]

EXPIRED = "dlq.errors.Expired"


def _scheduled(store: Store, worker: WorkerRef) -> UUID:
    return add(store, run_after=after(60), expires_after=10)


def _blocked(store: Store, worker: WorkerRef) -> UUID:
    id = add(store, expires_after=10)
    settle_one(store, worker, OUTCOMES["parked"](claim_one(store, worker)))
    return id


def _ready(store: Store, worker: WorkerRef) -> UUID:
    return add(store, expires_after=10)


def _paused(store: Store, worker: WorkerRef) -> UUID:
    store.pause("default")
    return add(store, expires_after=10)


def _handed_back(store: Store, worker: WorkerRef) -> UUID:
    id = add(store, expires_after=10)
    settle_one(store, worker, OUTCOMES["handed back"](claim_one(store, worker)))
    return id


WAITS = [_scheduled, _blocked, _ready, _handed_back, _paused]


class Expiring:
    """Too late is worse than never."""

    @pytest.mark.parametrize("waits", WAITS)
    def test_a_job_expires_exactly_when_it_has_waited_for_too_long(
        self, store: Store, worker: WorkerRef, waits: Callable[[Store, WorkerRef], UUID]
    ) -> None:
        id = waits(store, worker)
        before = record(store, id)
        assert look(store, now=after(9.999999)).expired == 0
        assert record(store, id) == before
        assert look(store, now=after(10)).expired == 1
        assert state_of(store, id) == State.FAILED
        assert look(store, now=after(1e6)).expired == 0

    @pytest.mark.parametrize("waits", WAITS)
    def test_an_expired_job_says_that_it_expired_and_never_ran(
        self, store: Store, worker: WorkerRef, waits: Callable[[Store, WorkerRef], UUID]
    ) -> None:
        id = waits(store, worker)
        look(store, now=after(12))
        job = record(store, id)
        assert (job.state, job.finished_at, job.due_at) == (State.FAILED, after(12), None)
        assert (job.worker, job.started_at, job.attempts, job.interruptions) == (None, None, 0, 0)
        assert (job.expires_at, job.reason) == (after(10), None)
        (attempt,) = job.history
        assert attempt.failure.exception == EXPIRED
        assert attempt.failure.traceback
        assert attempt == Attempt(
            worker="",
            started_at=after(12),
            finished_at=after(12),
            counted=Counted.NOTHING,
            failure=attempt.failure,
        )

    def test_an_expired_job_is_out_of_every_list(self, store: Store, worker: WorkerRef) -> None:
        for waits in WAITS:
            waits(store, worker)
        store.resume("default")
        sight = look(store, now=after(10))
        assert (sight.expired, sight.promoted, sight.ready) == (len(WAITS), 0, [])
        assert (store.waiting(now=after(10)), store.parked()) == ([], [])
        assert claim(store, worker, now=after(100)) == []
        assert look(store, now=after(100)).promoted == 0

    def test_the_time_counts_from_the_enqueue(self, store: Store, worker: WorkerRef) -> None:
        id = add(store, now=after(100), run_after=after(105), expires_after=7.25)
        assert record(store, id).expires_at == after(107.25)
        look(store, now=after(105))
        assert claim_one(store, worker, now=after(106)).expires_at == after(107.25)

    def test_a_job_without_a_limit_waits_for_ever(self, store: Store, worker: WorkerRef) -> None:
        ids = [add(store), add(store, expires_after=None)]
        assert look(store, now=after(1e8)).expired == 0
        assert [record(store, id).expires_at for id in ids] == [None, None]
        assert [found.expires_at for found in claim(store, worker)] == [None, None]

    # --- Running ---

    def test_a_running_job_never_expires(self, store: Store, worker: WorkerRef) -> None:
        add(store, expires_after=10)
        found = claim_one(store, worker)
        before = record(store, found.id)
        assert look(store, "runner-1", now=after(1e6)).expired == 0
        assert record(store, found.id) == before
        job = settle_one(store, worker, OUTCOMES["succeeded"](found), now=after(1e6))
        assert job.state == State.SUCCEEDED
        assert look(store, now=after(1e7)).expired == 0

    @pytest.mark.parametrize("kind", ["retry later", "retry now", "interrupted", "handed back", "parked"])
    def test_a_job_that_waits_again_expires_then(self, store: Store, worker: WorkerRef, kind: str) -> None:
        id = add(store, expires_after=10)
        before = settle_one(store, worker, OUTCOMES[kind](claim_one(store, worker)), now=after(5))
        assert look(store, now=after(10)).expired == 1
        job = record(store, id)
        assert (job.state, job.attempts, job.interruptions) == (
            State.FAILED,
            before.attempts,
            before.interruptions,
        )
        assert [attempt.failure.exception for attempt in job.history] == [
            *(attempt.failure.exception for attempt in before.history),
            EXPIRED,
        ]

    @pytest.mark.parametrize("kind", ["succeeded", "failed", "cancelled"])
    def test_a_finished_job_does_not_expire(self, store: Store, worker: WorkerRef, kind: str) -> None:
        add(store, expires_after=10)
        before = settle_one(store, worker, OUTCOMES[kind](claim_one(store, worker)))
        assert look(store, now=after(1e6)).expired == 0
        assert record(store, before.id) == before

    def test_a_claim_from_before_settles_nothing(self, store: Store, worker: WorkerRef) -> None:
        add(store, expires_after=10)
        lost = claim_one(store, worker)
        worker = store.reconcile(worker, [])
        look(store, now=after(10))
        before = record(store, lost.id)
        assert settle(store, worker, OUTCOMES["succeeded"](lost)).stale == [lost.id]
        assert record(store, lost.id) == before

    # --- Which, and how many ---

    def test_at_the_moment_of_both_a_job_expires_and_is_not_promoted(self, store: Store) -> None:
        id = add(store, run_after=after(10), expires_after=10)
        sight = look(store, now=after(10))
        assert (sight.expired, sight.promoted, state_of(store, id)) == (1, 0, State.FAILED)

    def test_a_retry_that_is_due_too_late_expires(self, store: Store, worker: WorkerRef) -> None:
        add(store, expires_after=10)
        outcome = Outcome.retry(claim_one(store, worker), FAILURE, 10.0)
        settle_one(store, worker, outcome, now=after(5))
        sight = look(store, now=after(20))
        assert (sight.expired, sight.promoted) == (1, 0)

    def test_no_more_than_the_limit_expires_at_once(self, store: Store, inspector: Inspector) -> None:
        add_many(store, 5, expires_after=10)
        assert [look(store, limit=limit, now=after(10)).expired for limit in (0, 2, 2, 2, 2)] == [
            0,
            2,
            2,
            1,
            0,
        ]
        assert totals(inspector) == {State.FAILED: 5}

    def test_the_limit_counts_for_what_expires_and_for_what_is_due_apart(
        self, store: Store, inspector: Inspector
    ) -> None:
        add_many(store, 3, expires_after=10)
        add_many(store, 3, run_after=after(10))
        sight = look(store, limit=2, now=after(10))
        assert (sight.expired, sight.promoted) == (2, 2)
        assert totals(inspector) == {State.FAILED: 2, State.READY: 3, State.SCHEDULED: 1}

    def test_jobs_of_all_queues_expire(self, store: Store, inspector: Inspector) -> None:
        for name in ("a", "b"):
            add(store, queue=name, expires_after=10)
            add(store, queue=name, expires_after=20)
        assert look(store, now=after(10)).expired == 2
        assert totals(inspector) == {State.FAILED: 2, State.READY: 2}
