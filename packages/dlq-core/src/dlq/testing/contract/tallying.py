"""Tallies: what comes and what becomes of it is counted, to the unit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from dlq.job import NewJob, Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.store.tallies import TALLIES_KEPT, Tally, Total
from dlq.testing.contract.builders import (
    FAILURE,
    NOON,
    OUTCOMES,
    RESCUER,
    MakeOutcome,
    MakeStore,
    add,
    add_many,
    after,
    claim,
    claim_one,
    every_outcome,
    look,
    new_job,
    register,
    rescue,
    settle,
    settle_one,
)
from dlq.testing.contract.concurrency import together
from dlq.workers import WorkerRef

__all__ = ["Tallying"]

COUNTED: dict[str, dict[str, Any]] = {
    "succeeded": {"succeeded": 1, "seconds": 1.0},
    "failed": {"failed": 1, "seconds": 1.0},
    "worker lost": {"failed": 1, "interrupted": 1},
    "cancelled": {"cancelled": 1, "seconds": 1.0},
    "retry later": {"retried": 1, "seconds": 1.0},
    "retry now": {"retried": 1, "seconds": 1.0},
    "handed back": {},
    "put off": {},
    "interrupted": {"interrupted": 1},
    "parked": {},
}
"""What each kind of outcome counts as."""


def _total(**figures: Any) -> Total:
    return Total(queue="default", task="shop.tasks.send", **figures)


def _tally(minute: int, **figures: Any) -> Tally:
    plain: dict[str, Any] = {"queue": "default", "task": "shop.tasks.send"}
    return Tally(minute=after(60 * minute), **(plain | figures))


def _jobs(*names: str) -> list[NewJob]:
    """Jobs whose queue is the first letter of a name, and whose task is the second."""
    return [new_job(queue=name[0], task=name[1]) for name in names]


class Tallying:
    """Counting by queue and task, by the minute and for ever."""

    countings: ClassVar[int] = 6
    """How many batches each of those brings who count in a race."""

    def test_at_first_nothing_is_counted(self, store: Store, inspector: Inspector) -> None:
        assert (inspector.tallies(NOON), inspector.totals()) == ([], [])

    # --- What counts ---

    def test_jobs_are_counted_as_they_come_by_queue_and_task(
        self, store: Store, inspector: Inspector
    ) -> None:
        store.enqueue(_jobs("bx", "ay", "bx", "by"), now=after(59.9))
        add(store, queue="b", task="x", run_after=after(3600), now=after(60))
        assert inspector.totals() == [
            Total(queue="a", task="y", enqueued=1),
            Total(queue="b", task="x", enqueued=3),
            Total(queue="b", task="y", enqueued=1),
        ]
        assert inspector.tallies(NOON) == [
            _tally(0, queue="a", task="y", enqueued=1),
            _tally(0, queue="b", task="x", enqueued=2),
            _tally(0, queue="b", task="y", enqueued=1),
            _tally(1, queue="b", task="x", enqueued=1),
        ]

    def test_a_job_that_is_stored_already_is_not_counted_again(
        self, store: Store, inspector: Inspector
    ) -> None:
        known, new = new_job(), new_job()
        store.enqueue([known, known], now=NOON)
        store.enqueue([known, new, new], now=NOON)
        assert inspector.totals() == [_total(enqueued=2)]

    @pytest.mark.parametrize("kind", OUTCOMES)
    def test_an_outcome_counts_as_what_it_says(
        self, store: Store, worker: WorkerRef, inspector: Inspector, kind: str
    ) -> None:
        add(store)
        settle_one(store, worker, OUTCOMES[kind](claim_one(store, worker)), now=after(90))
        assert inspector.totals() == [_total(enqueued=1, **COUNTED[kind])]
        ended = [_tally(1, **COUNTED[kind])] if COUNTED[kind] else []
        assert inspector.tallies(NOON) == [_tally(0, enqueued=1), *ended]

    def test_the_outcomes_of_one_exchange_are_counted_by_queue_and_task(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        store.enqueue(_jobs("ax", "ay", "bx", "ax"), now=NOON)
        first, second, third, fourth = claim(store, worker, queues=["a", "b"])
        outcomes = [
            Outcome.succeeded(first, "1", 1.5),
            Outcome.failed(second, FAILURE, 0.25),
            Outcome.succeeded(third, "1", 2.0),
            Outcome.retry(fourth, FAILURE, 60.0, 4.0),
        ]
        settle(store, worker, *outcomes)
        assert inspector.totals() == [
            Total(queue="a", task="x", enqueued=2, succeeded=2, seconds=3.5),
            Total(queue="a", task="y", enqueued=1, failed=1, seconds=0.25),
            Total(queue="b", task="x", enqueued=1, retried=1, seconds=4.0),
        ]

    @every_outcome
    def test_an_outcome_that_is_repeated_or_late_counts_nothing(
        self, store: Store, worker: WorkerRef, inspector: Inspector, outcome_of: MakeOutcome
    ) -> None:
        add_many(store, 2)
        first, second = claim(store, worker)
        settle(store, worker, outcome_of(first), outcome_of(first))
        settle_one(store, RESCUER, Outcome.handed_back(second))
        before = inspector.totals()
        again = settle(store, worker, outcome_of(first), outcome_of(second))
        assert (again.already, again.stale) == ([first.id], [second.id])
        assert inspector.totals() == before

    def test_a_lost_worker_is_counted_by_whoever_rescues(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        add(store)
        claim_one(store, worker)
        store.unregister_worker(worker.id)
        assert rescue(store) == []
        assert inspector.totals() == [_total(enqueued=1, interrupted=1)]

    def test_jobs_that_are_cancelled_while_they_wait_are_counted(
        self, store: Store, inspector: Inspector
    ) -> None:
        ids = [*add_many(store, 2), add(store, run_after=after(600), queue="other")]
        store.cancel(ids, "no", now=after(60))
        store.cancel(ids, "no", now=after(60))
        assert inspector.tallies(after(60)) == [_tally(1, cancelled=2), _tally(1, queue="other", cancelled=1)]

    def test_a_failed_job_that_is_cancelled_has_ended_twice(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        add(store)
        failed = settle_one(store, worker, Outcome.failed(claim_one(store, worker), FAILURE))
        store.cancel([failed.id], "no", now=NOON)
        (total,) = inspector.totals()
        assert (total.failed, total.cancelled, total.finished) == (1, 1, 2)

    def test_a_running_job_counts_as_cancelled_when_its_outcome_comes(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        add(store)
        found = claim_one(store, worker)
        store.cancel([found.id], "no", now=NOON)
        assert inspector.totals() == [_total(enqueued=1)]
        settle_one(store, worker, Outcome.retry(found, FAILURE, 5.0, 2.0))
        assert inspector.totals() == [_total(enqueued=1, cancelled=1, seconds=2.0)]

    def test_a_reconciliation_counts_what_it_cancels(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        unwanted, _ = add_many(store, 2)
        claim(store, worker)
        store.cancel([unwanted], "no", now=NOON)
        store.reconcile(worker, [], now=NOON)
        assert inspector.totals() == [_total(enqueued=2, cancelled=1)]

    def test_a_job_that_expires_counts_as_failed(self, store: Store, inspector: Inspector) -> None:
        add(store, expires_after=30)
        assert look(store, now=after(61)).expired == 1
        assert inspector.tallies(after(60)) == [_tally(1, failed=1)]

    def test_a_job_that_is_retried_by_hand_ends_once_more(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        add(store)
        failed = settle_one(store, worker, Outcome.failed(claim_one(store, worker), FAILURE))
        store.retry([failed.id], now=NOON)
        settle_one(store, worker, Outcome.succeeded(claim_one(store, worker), "1", 2.0))
        assert inspector.totals() == [_total(enqueued=1, failed=1, succeeded=1, seconds=2.0)]

    # --- Which are told ---

    @pytest.mark.parametrize(
        ("since", "until", "found"),
        [
            (0, None, [0, 1, 2]),
            (1, None, [1, 2]),
            (0.5, None, [1, 2]),
            (0, 2, [0, 1]),
            (1, 1, []),
            (3, 9, []),
        ],
    )
    def test_minutes_are_chosen_by_when_they_began(
        self, store: Store, inspector: Inspector, since: float, until: float | None, found: list[int]
    ) -> None:
        for minute in range(3):
            add(store, now=after(60 * minute + 30))
        tallies = inspector.tallies(after(60 * since), None if until is None else after(60 * until))
        assert tallies == [_tally(minute, enqueued=1) for minute in found]

    @pytest.mark.parametrize(
        ("chosen", "found"),
        [
            ({"queues": ["a"]}, ["ax", "ay"]),
            ({"tasks": ["x"]}, ["ax", "bx"]),
            ({"queues": ["a", "unknown"], "tasks": ["y"]}, ["ay"]),
            ({"queues": []}, []),
            ({"tasks": ["unknown"]}, []),
        ],
    )
    def test_only_the_chosen_queues_and_tasks_are_told(
        self, store: Store, inspector: Inspector, chosen: dict[str, Any], found: list[str]
    ) -> None:
        store.enqueue(_jobs("ax", "ay", "bx"), now=NOON)
        assert [tally.queue + tally.task for tally in inspector.tallies(NOON, **chosen)] == found

    def test_names_are_told_as_they_were_given(self, store: Store, inspector: Inspector) -> None:
        odd: dict[str, Any] = {"queue": 'é "q"\n:7:', "task": "a:b\\c\n'☃"}
        add(store, **odd)
        assert inspector.totals() == [Total(**odd, enqueued=1)]
        assert inspector.tallies(NOON, queues=[odd["queue"]], tasks=[odd["task"]]) == [
            Tally(minute=NOON, **odd, enqueued=1)
        ]

    # --- For how long ---

    def test_minutes_are_forgotten_after_a_day_and_totals_never(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        add(store)
        add(store, now=after(120))
        settle_one(store, worker, OUTCOMES["succeeded"](claim_one(store, worker)), now=after(180))
        totals = [_total(enqueued=2, succeeded=1, seconds=1.0)]
        minutes = inspector.tallies(NOON)
        day = TALLIES_KEPT.total_seconds()
        for seconds, kept in [(240, minutes), (day + 90, minutes[1:]), (day + 3600, [])]:
            # Again: what is looked at last is forgotten in the look after that.
            for repetition in range(2):
                look(store, now=after(seconds) + timedelta(seconds=repetition))
            assert (inspector.tallies(NOON), inspector.totals()) == (kept, totals)

    def test_what_is_counted_while_minutes_are_forgotten_adds_up(
        self, store: Store, inspector: Inspector
    ) -> None:
        for hour in range(30):
            add_many(store, 2, now=after(3600 * hour))
            look(store, now=after(3600 * hour + 61))
            assert inspector.totals() == [_total(enqueued=2 * (hour + 1))]
        assert {tally.enqueued for tally in inspector.tallies(NOON)} == {2}
        assert len(inspector.tallies(NOON)) in (23, 24, 25)

    def test_deleting_jobs_takes_nothing_from_what_was_counted(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        add(store)
        settle_one(store, worker, OUTCOMES["succeeded"](claim_one(store, worker)))
        assert store.prune(State.SUCCEEDED, 0, 10, now=after(5)) == 1
        assert inspector.totals() == [_total(enqueued=1, succeeded=1, seconds=1.0)]

    # --- Races ---

    def test_no_count_is_lost_when_many_count_while_others_forget(
        self, store: Store, make_store: MakeStore, inspector: Inspector
    ) -> None:
        def counting(number: int) -> Callable[[Store], None]:
            def work(own: Store) -> None:
                worker = workers[number]
                for at in range(self.countings):
                    now = after(3600 * 7 * at)
                    add_many(own, 3, queue=worker.id, now=now)
                    held = claim(own, worker, queues=[worker.id], now=now)
                    settle(own, worker, *[OUTCOMES["succeeded"](each) for each in held], now=now)

            return work

        def forgetting(own: Store) -> None:
            for at in range(2 * self.countings):
                look(own, now=after(3600 * 5 * at + 90))

        workers = [register(store, f"worker-{number}", f"runner-{number}") for number in range(2)]
        together(make_store, counting(0), counting(1), forgetting, forgetting)
        each = 3 * self.countings
        assert inspector.totals() == [
            Total(
                queue=worker.id,
                task="shop.tasks.send",
                enqueued=each,
                succeeded=each,
                seconds=float(each),
            )
            for worker in workers
        ]
