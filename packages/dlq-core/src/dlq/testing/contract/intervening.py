"""Operators act while jobs are claimed and settled: what only a race between them can break."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, ClassVar
from uuid import UUID

from dlq.job import Cancelled, Note, Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.testing.contract.builders import (
    NOON,
    OUTCOMES,
    MakeStore,
    add,
    add_many,
    after,
    claim,
    claim_ids,
    claim_one,
    look,
    record,
    register,
    settle,
    settle_one,
    state_of,
    totals,
)
from dlq.testing.contract.concurrency import PATIENCE, claiming, reconciling, settling, together
from dlq.workers import Order, WorkerRef

__all__ = ["Intervening"]

type Work = Callable[[Store], Any]


def _cancelling(ids: Collection[UUID]) -> Callable[[Store], Cancelled]:
    return lambda store: store.cancel(ids, "no", now=NOON)


def _retrying(ids: Collection[UUID]) -> Callable[[Store], list[UUID]]:
    return lambda store: store.retry(ids, now=NOON)


def _annotating(note: Note) -> Callable[[Store], list[UUID]]:
    return lambda store: store.annotate([note])


class Intervening:
    """The first one wins."""

    claimers: ClassVar[int]
    rounds: ClassVar[int]

    # --- Cancel ---

    def test_a_job_that_is_claimed_and_cancelled_at_once_runs_or_is_cancelled(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        for _ in range(self.rounds):
            ids = add_many(store, 5)
            works: list[Work] = [claiming(worker), _cancelling(ids)]
            claimed, cancelled = together(make_store, *works)
            assert (set(cancelled.asked), set(cancelled.done)) == (set(claimed), set(ids) - set(claimed))
            assert {job.id: job.state for job in store.get(ids)} == {
                id: State.RUNNING if id in claimed else State.CANCELLED for id in ids
            }
            settle(store, worker, *map(Outcome.handed_back, store.held(worker.id, 5)))
            assert {job.state for job in store.get(ids)} == {State.CANCELLED}

    def test_a_job_that_is_settled_and_cancelled_at_once_ends_in_one_state(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        for _ in range(self.rounds):
            add_many(store, 4)
            kinds = ("succeeded", "failed", "retry now", "handed back")
            outcomes = [
                OUTCOMES[kind](found) for kind, found in zip(kinds, claim(store, worker), strict=True)
            ]
            succeeded, failed, *back = ids = [outcome.id for outcome in outcomes]
            works: list[Work] = [settling(worker, outcomes), _cancelling(ids)]
            written, cancelled = together(make_store, *works)
            assert written == ids
            assert not set(cancelled.done) & set(cancelled.asked)
            assert {succeeded: State.SUCCEEDED, **dict.fromkeys(back, State.CANCELLED)} == {
                id: state_of(store, id) for id in (succeeded, *back)
            }
            assert state_of(store, failed) == (State.CANCELLED if failed in cancelled.done else State.FAILED)
            assert succeeded not in cancelled.done
            assert {*back, failed} <= {*cancelled.done, *cancelled.asked}

    def test_a_job_that_is_returned_and_cancelled_at_once_does_not_wait_again(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        for _ in range(self.rounds):
            add_many(store, 3)
            ids = claim_ids(store, worker)
            works: list[Work] = [reconciling(worker), _cancelling(ids)]
            together(make_store, *works)
            assert {(job.state, job.reason) for job in store.get(ids)} == {(State.CANCELLED, "no")}
            worker = store.reconcile(worker, [])

    def test_of_many_that_cancel_the_same_jobs_one_has_cancelled_each(
        self, store: Store, make_store: MakeStore, inspector: Inspector
    ) -> None:
        ids = add_many(store, 100)
        orders = [ids, ids[::-1]] * (self.claimers // 2)
        cancelled = together(make_store, *map(_cancelling, orders))
        assert Counter(id for each in cancelled for id in each.done) == Counter(ids)
        assert totals(inspector) == {State.CANCELLED: 100}

    # --- Retry ---

    def test_of_many_that_retry_the_same_jobs_one_has_retried_each(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        ids = add_many(store, 100)
        store.cancel(ids, "no")
        orders = [ids, ids[::-1]] * (self.claimers // 2)
        retried = together(make_store, *map(_retrying, orders))
        assert Counter(id for each in retried for id in each) == Counter(ids)
        assert Counter(claim_ids(store, worker)) == Counter(ids)

    def test_a_job_that_is_retried_and_cancelled_at_once_is_ready_or_cancelled(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        for _ in range(self.rounds):
            add(store)
            id = settle_one(store, worker, OUTCOMES["failed"](claim_one(store, worker))).id
            works: list[Work] = [_retrying([id]), _cancelling([id])]
            retried, cancelled = together(make_store, *works)
            assert (retried, cancelled.done, cancelled.asked) == ([id], [id], [])
            job = record(store, id)
            assert (job.state, job.reason) in {(State.READY, None), (State.CANCELLED, "no")}
            store.cancel([id], "next")

    def test_a_retried_job_is_claimed_once(
        self, store: Store, make_store: MakeStore, worker: WorkerRef, other_worker: WorkerRef
    ) -> None:
        for _ in range(self.rounds):
            ids = add_many(store, 3)
            settle(store, worker, *map(OUTCOMES["failed"], claim(store, worker)))
            retried, *claimed = together(make_store, _retrying(ids), claiming(worker), claiming(other_worker))
            taken = [id for some in claimed for id in some] + claim_ids(store, worker)
            assert (set(retried), Counter(taken)) == (set(ids), Counter(ids))

    # --- Pause ---

    def test_no_exchange_that_begins_after_a_pause_claims_from_the_queue(
        self, store: Store, make_store: MakeStore
    ) -> None:
        add_many(store, 2 * self.claimers)
        workers = [register(store, f"worker-{at}") for at in range(self.claimers)]
        for _ in range(self.rounds // 5):
            paused, busy = threading.Event(), threading.Semaphore(0)
            late = together(
                make_store,
                _pausing(paused, busy, self.claimers),
                *[_claiming_until(worker, paused, busy) for worker in workers],
            )
            assert late == [0] * len(late)
            assert store.waiting(now=NOON) == []
            assert store.resume("default")
        assert len(claim(store, workers[0])) == 2 * self.claimers

    # --- Expiry ---

    def test_looks_at_the_same_moment_let_each_job_expire_once(
        self, store: Store, make_store: MakeStore
    ) -> None:
        ids = add_many(store, 60, expires_after=1)
        done = together(make_store, *[lambda store: look(store, limit=25, now=after(2)).expired] * 4)
        assert sum(done) + look(store, now=after(2)).expired == 60
        assert {(job.state, len(job.history)) for job in store.get(ids)} == {(State.FAILED, 1)}

    def test_a_job_that_is_claimed_when_it_expires_runs_or_has_expired(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        for _ in range(self.rounds):
            ids = add_many(store, 5, expires_after=1)
            works: list[Work] = [claiming(worker), lambda store: look(store, now=after(1)).expired]
            claimed, _ = together(make_store, *works)
            assert {job.id: job.state for job in store.get(claimed)} == dict.fromkeys(claimed, State.RUNNING)
            look(store, now=after(1))
            assert {job.id for job in store.get(ids) if job.state is State.FAILED} == {*ids} - {*claimed}
            settle(store, worker, *map(OUTCOMES["succeeded"], store.held(worker.id, 5)))

    # --- Notes and instructions ---

    def test_a_note_that_races_with_the_settlement_is_kept_or_rejected(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        for _ in range(self.rounds):
            add(store)
            found = claim_one(store, worker)
            note = Note(id=found.id, token=found.token, message="done")
            works: list[Work] = [settling(worker, [OUTCOMES["succeeded"](found)]), _annotating(note)]
            written, stale = together(make_store, *works)
            assert written == [found.id]
            assert record(store, found.id).message == (None if stale else "done")

    def test_instructions_at_the_same_moment_have_different_numbers(
        self, store: Store, make_store: MakeStore, worker: WorkerRef
    ) -> None:
        works = [lambda store: store.instruct(worker.id, Order.QUIET)] * self.claimers
        numbers = together(make_store, *works)
        assert len(set(numbers)) == self.claimers
        (told,) = look(store, "runner-1").instructions
        assert told.number == max(number for number in numbers if number)


def _pausing(paused: threading.Event, busy: threading.Semaphore, claimers: int) -> Callable[[Store], int]:
    """Pauses as soon as every claimer is at work."""

    def work(store: Store) -> int:
        for _ in range(claimers):
            assert busy.acquire(timeout=PATIENCE)
        store.pause("default", now=NOON)
        paused.set()
        return 0

    return work


def _claiming_until(
    worker: WorkerRef, paused: threading.Event, busy: threading.Semaphore
) -> Callable[[Store], int]:
    """Claims and hands back until it is paused; answers with the claims of an exchange that began then."""

    def work(store: Store) -> int:
        outcomes: list[Outcome] = []
        while True:
            begins_late = paused.is_set()
            claims = store.exchange(worker, outcomes, ["default"], 1, now=NOON).claims
            if begins_late:
                return len(claims)
            outcomes = [Outcome.handed_back(found) for found in claims]
            busy.release()

    return work
