"""What a job remembers of its attempts."""

from __future__ import annotations

import pytest

from dlq.job import Attempt, Counted, Failure, Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.testing.contract.builders import (
    FAILURE,
    OUTCOMES,
    RESCUER,
    add,
    after,
    claim_one,
    declare_lost,
    record,
    register,
    rescue,
    settle_one,
)
from dlq.workers import WorkerRef

__all__ = ["Histories"]


def _failure(number: int) -> Failure:
    return Failure(exception=f"shop.errors.Error{number}", traceback=f"Traceback {number}:\n  …\n")


class Histories:
    """Every attempt that raised or was interrupted is kept."""

    @pytest.mark.parametrize("delay", [0.0, 60.0])
    def test_an_attempt_that_raised_is_kept(self, store: Store, worker: WorkerRef, delay: float) -> None:
        add(store)
        outcome = Outcome.retry(claim_one(store, worker), _failure(1), delay, seconds=4.5)
        job = settle_one(store, worker, outcome, now=after(10))
        assert list(job.history) == [
            Attempt(
                worker=worker.id,
                started_at=after(5.5),
                finished_at=after(10),
                counted=Counted.ATTEMPT,
                failure=_failure(1),
            )
        ]

    def test_an_interruption_is_kept_under_the_name_of_the_lost_worker(
        self, store: Store, worker: WorkerRef
    ) -> None:
        add(store)
        found = claim_one(store, worker)
        declare_lost(store, "runner-1")
        rescue(store, now=after(10))
        (attempt,) = record(store, found.id).history
        assert (attempt.worker, attempt.counted, attempt.failure) == (
            worker.id,
            Counted.INTERRUPTION,
            FAILURE,
        )
        assert (attempt.started_at, attempt.finished_at) == (found.claimed_at, after(10))

    def test_attempts_are_listed_in_order_whoever_made_them(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef
    ) -> None:
        id = add(store, max_attempts=9)
        for number, ref in enumerate([worker, other_worker, worker, other_worker]):
            found = claim_one(store, ref, now=after(10 * number))
            outcome = Outcome.retry(found, _failure(number), 0.0, seconds=1.0)
            if number == 1:
                outcome = Outcome.interrupted(found, _failure(number))
            elif number == 3:
                outcome = Outcome.failed(found, _failure(number), seconds=1.0)
            settle_one(store, ref, outcome, now=after(10 * number + 5))
        job = record(store, id)
        assert (job.state, job.attempts, job.interruptions) == (State.FAILED, 3, 1)
        assert [(attempt.worker, attempt.counted, attempt.failure) for attempt in job.history] == [
            (worker.id, Counted.ATTEMPT, _failure(0)),
            (other_worker.id, Counted.INTERRUPTION, _failure(1)),
            (worker.id, Counted.ATTEMPT, _failure(2)),
            (other_worker.id, Counted.ATTEMPT, _failure(3)),
        ]
        assert [attempt.finished_at for attempt in job.history] == [after(at) for at in (5, 15, 25, 35)]

    def test_a_job_that_succeeds_in_the_end_keeps_its_failures(self, store: Store, worker: WorkerRef) -> None:
        add(store)
        settle_one(store, worker, OUTCOMES["retry now"](claim_one(store, worker)))
        job = settle_one(store, worker, OUTCOMES["succeeded"](claim_one(store, worker)))
        assert (job.state, job.attempts, len(job.history)) == (State.SUCCEEDED, 2, 1)

    @pytest.mark.parametrize("kind", ["succeeded", "cancelled", "handed back", "parked"])
    def test_what_neither_raised_nor_was_interrupted_is_not_in_the_history(
        self, store: Store, worker: WorkerRef, kind: str
    ) -> None:
        add(store)
        job = settle_one(store, worker, OUTCOMES[kind](claim_one(store, worker)))
        assert list(job.history) == []

    def test_histories_of_different_jobs_are_kept_apart(self, store: Store, worker: WorkerRef) -> None:
        ids = [add(store, queue=name) for name in ("a", "b")]
        for number, name in enumerate(("b", "a", "b")):
            outcome = Outcome.retry(claim_one(store, worker, queues=[name]), _failure(number), 0.0)
            settle_one(store, worker, outcome, now=after(number))
        records = {job.id: job for job in store.get(ids)}
        assert [[attempt.failure for attempt in records[id].history] for id in ids] == [
            [_failure(1)],
            [_failure(0), _failure(2)],
        ]

    def test_a_worker_lost_for_the_last_time_is_the_last_entry(self, store: Store) -> None:
        add(store)
        found = claim_one(store, register(store, "w", "a"))
        declare_lost(store, "a")
        outcome = Outcome.failed(found, _failure(1), counted=Counted.INTERRUPTION)
        job = settle_one(store, RESCUER, outcome, now=after(10))
        (attempt,) = job.history
        assert (attempt.worker, attempt.counted, attempt.failure) == (
            "w",
            Counted.INTERRUPTION,
            _failure(1),
        )
