"""``Store.unpark`` and ``Store.parked``: jobs of unknown tasks wait, visible, for who knows them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from dlq.job import Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.testing.contract.builders import (
    OUTCOMES,
    add,
    after,
    claim,
    claim_ids,
    claim_one,
    record,
    rejected,
    settle,
    settle_one,
    state_of,
)
from dlq.workers import WorkerRef

__all__ = ["Parking"]


def _add_parked(store: Store, worker: WorkerRef, tasks: Sequence[str]) -> list[UUID]:
    ids = [add(store, task=task) for task in tasks]
    claims = claim(store, worker, len(ids))
    assert rejected(settle(store, worker, *map(Outcome.parked, claims))) == []
    return ids


class Parking:
    """Nobody here knows the task."""

    def test_a_parked_job_is_blocked_and_uncounted(self, store: Store, worker: WorkerRef) -> None:
        (id,) = _add_parked(store, worker, ["new.task"])
        job = record(store, id)
        assert (job.state, job.attempts, job.interruptions, job.worker) == (State.BLOCKED, 0, 0, None)
        assert list(job.history) == []

    def test_parked_names_the_tasks_sorted(self, store: Store, worker: WorkerRef) -> None:
        assert store.parked() == []
        _add_parked(store, worker, ["shop.b", "Shop.z", "shop.a", "shop.b", "shop_a"])
        add(store, task="shop.known")
        assert store.parked() == [("Shop.z", 1), ("shop.a", 1), ("shop.b", 1), ("shop_a", 1)]

    def test_parked_jobs_are_out_of_the_way_of_others(self, store: Store, worker: WorkerRef) -> None:
        _add_parked(store, worker, ["new.task"] * 3)
        id = add(store)
        assert claim_ids(store, worker) == [id]

    def test_unparking_makes_the_jobs_of_these_tasks_ready(self, store: Store, worker: WorkerRef) -> None:
        ids = _add_parked(store, worker, ["a", "b", "c", "a"])
        assert store.unpark([("a", 1), ("c", 1), ("unknown", 1)], now=after(5)) == 3
        assert [state_of(store, id) for id in ids] == [
            State.READY,
            State.BLOCKED,
            State.READY,
            State.READY,
        ]
        assert store.parked() == [("b", 1)]

    def test_unparked_jobs_have_their_old_places(self, store: Store, worker: WorkerRef) -> None:
        parked = _add_parked(store, worker, ["a", "b", "a"])
        later = add(store)
        assert store.unpark([("b", 1)], now=after(5)) == 1
        assert store.unpark([("a", 1)], now=after(6)) == 2
        assert claim_ids(store, worker) == [*parked, later]

    def test_unparking_nothing_changes_nothing(self, store: Store, worker: WorkerRef) -> None:
        (id,) = _add_parked(store, worker, ["a"])
        assert (store.unpark([]), store.unpark([("unknown", 1)])) == (0, 0)
        assert state_of(store, id) == State.BLOCKED

    def test_only_parked_jobs_are_unparked(self, store: Store, worker: WorkerRef) -> None:
        jobs = []
        for kind in ("succeeded", "failed", "cancelled", "retry later"):
            add(store)
            jobs.append(settle_one(store, worker, OUTCOMES[kind](claim_one(store, worker))))
        add(store)
        running = record(store, claim_one(store, worker).id)
        assert store.unpark([(running.task, 1)], now=after(5)) == 0
        assert sorted(store.get([job.id for job in jobs]), key=lambda job: job.id) == sorted(
            jobs, key=lambda job: job.id
        )
        assert record(store, running.id) == running

    def test_an_unparked_job_runs_like_any_other(self, store: Store, worker: WorkerRef) -> None:
        (id,) = _add_parked(store, worker, ["a"])
        store.unpark([("a", 1)])
        found = claim_one(store, worker)
        assert (found.id, found.attempts, found.suspect) == (id, 0, False)
        assert settle_one(store, worker, OUTCOMES["succeeded"](found)).state == State.SUCCEEDED

    def test_a_job_may_be_parked_again(self, store: Store, worker: WorkerRef) -> None:
        (id,) = _add_parked(store, worker, ["a"])
        for _ in range(3):
            assert store.unpark([("a", 1)]) == 1
            settle_one(store, worker, Outcome.parked(claim_one(store, worker)))
        assert state_of(store, id) == State.BLOCKED

    def test_jobs_are_unparked_by_the_version_that_they_wait_for(
        self, store: Store, worker: WorkerRef
    ) -> None:
        ids = [add(store, task="a") for _ in range(3)]
        claims = claim(store, worker)
        assert rejected(settle(store, worker, *map(Outcome.parked, claims, [12, 2, 2]))) == []
        assert store.parked() == [("a", 2), ("a", 12)]
        assert store.unpark([("a", 1), ("a", 3)]) == 0
        assert store.unpark([("a", 2)], now=after(5)) == 2
        assert [state_of(store, id) for id in ids] == [State.BLOCKED, State.READY, State.READY]
        assert store.parked() == [("a", 12)]

    def test_who_was_unparked_may_wait_for_another_version(self, store: Store, worker: WorkerRef) -> None:
        (id,) = _add_parked(store, worker, ["a"])
        store.unpark([("a", 1)])
        settle_one(store, worker, Outcome.parked(claim_one(store, worker), 7))
        assert (store.unpark([("a", 1)]), store.parked()) == (0, [("a", 7)])
        assert store.cancel([id], "Nobody needs it.").done == [id]
        assert store.parked() == []
        assert store.retry([id]) == [id]
        assert claim_ids(store, worker) == [id]
