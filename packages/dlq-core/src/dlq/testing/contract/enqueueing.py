"""``Store.enqueue`` and ``Store.get``: what goes in is there, once, whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from dlq.errors import StoreRefused
from dlq.ids import new_job_id
from dlq.job import JobRecord
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.testing.contract.builders import (
    NOON,
    OUTCOMES,
    add,
    add_many,
    after,
    claim,
    claim_ids,
    claim_one,
    new_job,
    promote,
    record,
    settle_one,
    state_of,
    totals,
)
from dlq.workers import WorkerRef

__all__ = ["Enqueueing"]


def _scheduled(store: Store, worker: WorkerRef) -> UUID:
    return add(store, run_after=after(60))


def _ready(store: Store, worker: WorkerRef) -> UUID:
    return add(store)


def _running(store: Store, worker: WorkerRef) -> UUID:
    add(store)
    return claim_one(store, worker).id


def _settled(kind: str) -> Callable[[Store, WorkerRef], UUID]:
    def stage(store: Store, worker: WorkerRef) -> UUID:
        add(store)
        return settle_one(store, worker, OUTCOMES[kind](claim_one(store, worker))).id

    return stage


STAGES: dict[str, Callable[[Store, WorkerRef], UUID]] = {
    "scheduled": _scheduled,
    "ready": _ready,
    "running": _running,
    **{kind: _settled(kind) for kind in OUTCOMES},
}

ODD: dict[str, Any] = {
    "payload": '["a raw NUL: \x00"]',
    "overrides": '{"a lone surrogate": "\ud800"}',
    "task": "a raw NUL: \x00",
    "queue": "a long name " * 1_000,
    "max_attempts": 2**40,
    "max_interruptions": 2**70,
    "metadata": '{"a raw NUL": "\x00"}',
}


class Enqueueing:
    """Jobs enter the store."""

    def test_a_job_without_a_time_is_ready(self, store: Store) -> None:
        job = record(store, add(store, run_after=None))
        assert (job.state, job.run_after, job.due_at) == (State.READY, None, None)

    @pytest.mark.parametrize("run_after", [NOON, after(-1), after(-1e6)], ids=["now", "past", "long past"])
    def test_a_job_whose_time_has_come_is_ready(self, store: Store, run_after: datetime) -> None:
        job = record(store, add(store, run_after=run_after, now=NOON))
        assert (job.state, job.run_after, job.due_at) == (State.READY, run_after, None)

    @pytest.mark.parametrize("run_after", [after(0.000001), after(1e8)], ids=["microsecond", "years"])
    def test_a_job_whose_time_lies_ahead_is_scheduled(self, store: Store, run_after: datetime) -> None:
        job = record(store, add(store, run_after=run_after, now=NOON))
        assert (job.state, job.run_after, job.due_at) == (State.SCHEDULED, run_after, run_after)

    def test_everything_about_a_job_is_kept(self, store: Store) -> None:
        job = new_job(
            task="shop.tasks.charge",
            queue="money",
            payload='[[1],{"currency":"EUR"}]',
            priority=-100,
            run_after=after(3600.123456),
            max_attempts=7,
            max_interruptions=5,
            overrides='{"timeout":30}',
            expires_after=7200.5,
            metadata='{"customer":7}',
        )
        store.enqueue([job], now=NOON)
        assert record(store, job.id) == JobRecord(
            id=job.id,
            state=State.SCHEDULED,
            task="shop.tasks.charge",
            queue="money",
            payload='[[1],{"currency":"EUR"}]',
            priority=-100,
            run_after=after(3600.123456),
            enqueued_at=NOON,
            due_at=after(3600.123456),
            started_at=None,
            finished_at=None,
            worker=None,
            token=0,
            attempts=0,
            interruptions=0,
            max_attempts=7,
            max_interruptions=5,
            overrides='{"timeout":30}',
            result=None,
            history=(),
            expires_at=after(7200.5),
            metadata='{"customer":7}',
        )

    def test_the_time_of_an_enqueue_is_returned(self, store: Store) -> None:
        assert store.enqueue([new_job()], now=after(1.5)).at == after(1.5)

    def test_without_a_time_given_the_stores_own_clock_counts(self, store: Store) -> None:
        first = new_job()
        now = store.enqueue([first]).at
        assert now.utcoffset() is not None
        assert record(store, first.id).enqueued_at == now
        past, ahead = new_job(run_after=now - timedelta(days=1)), new_job(run_after=now + timedelta(days=1))
        store.enqueue([past, ahead])
        assert [state_of(store, job.id) for job in (past, ahead)] == [State.READY, State.SCHEDULED]
        assert promote(store, 10) == 0

    def test_a_batch_keeps_its_order(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, 20)
        assert claim_ids(store, worker) == ids

    def test_an_empty_batch_stores_nothing(self, store: Store, inspector: Inspector) -> None:
        assert store.enqueue([], now=NOON).at == NOON
        assert inspector.counts() == []

    def test_a_batch_of_thousands_is_one_batch(self, store: Store, worker: WorkerRef) -> None:
        ids = add_many(store, 3_000)
        assert {job.id for job in store.get(ids)} == set(ids)
        claims = claim(store, worker, 5_000)
        assert [found.id for found in claims] == ids
        outcomes = [OUTCOMES["succeeded"](found) for found in claims]
        reply = store.exchange(worker, outcomes, ["default"], 10, now=NOON)
        assert (reply.stale, reply.already, reply.claims) == ([], [], [])
        assert store.prune(State.SUCCEEDED, 60, 5_000, now=after(120)) == 3_000

    # --- The same job again ---

    @pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
    def test_a_stored_id_changes_nothing(
        self, store: Store, worker: WorkerRef, stage: Callable[[Store, WorkerRef], UUID]
    ) -> None:
        id = stage(store, worker)
        before = record(store, id)
        store.enqueue([new_job(id=id, task="other", queue="other", payload="[]")], now=after(5))
        store.enqueue([new_job(id=id, run_after=after(600))], now=after(5))
        assert record(store, id) == before

    def test_of_a_batch_stored_in_part_the_rest_is_stored(self, store: Store, worker: WorkerRef) -> None:
        jobs = [new_job() for _ in range(4)]
        store.enqueue(jobs[1:3], now=NOON)
        store.enqueue(jobs, now=after(5))
        assert [record(store, job.id).enqueued_at for job in jobs] == [after(5), NOON, NOON, after(5)]
        assert claim_ids(store, worker) == [jobs[at].id for at in (1, 2, 0, 3)]

    def test_an_id_twice_in_a_batch_is_one_job(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        job = new_job()
        store.enqueue([job, new_job(), job], now=NOON)
        assert totals(inspector) == {State.READY: 2}
        assert claim(store, worker)[0].id == job.id

    def test_a_repeated_enqueue_keeps_the_jobs_place(self, store: Store, worker: WorkerRef) -> None:
        first, second = new_job(), new_job()
        store.enqueue([first, second], now=NOON)
        store.enqueue([first], now=after(5))
        assert claim_ids(store, worker) == [first.id, second.id]

    # --- Data that a store may not be able to hold ---

    @pytest.mark.parametrize("field", ODD)
    def test_odd_data_is_kept_unchanged_or_refused_with_its_batch(self, store: Store, field: str) -> None:
        plain, odd = new_job(), new_job(**{field: ODD[field]})
        try:
            store.enqueue([plain, odd], now=NOON)
        except StoreRefused:
            assert store.get([plain.id, odd.id]) == []
            assert state_of(store, add(store)) == State.READY
        else:
            assert getattr(record(store, odd.id), field) == ODD[field]

    # --- The caller's transaction ---

    def test_an_enqueue_is_undone_with_the_callers_transaction(self, store: Store) -> None:
        job = new_job()
        with transaction.atomic(using=_database(store)):
            store.enqueue([job], now=NOON)
            transaction.set_rollback(True, using=_database(store))
        assert store.get([job.id]) == []

    def test_an_enqueue_is_kept_with_the_callers_transaction(self, store: Store) -> None:
        with transaction.atomic(using=_database(store)):
            id = add(store)
        assert state_of(store, id) == State.READY

    def test_a_stored_id_does_not_break_the_callers_transaction(self, store: Store) -> None:
        known = new_job()
        store.enqueue([known], now=NOON)
        with transaction.atomic(using=_database(store)):
            store.enqueue([known], now=NOON)
            fresh = add(store)
        assert {job.id for job in store.get([known.id, fresh])} == {known.id, fresh}

    # --- get ---

    def test_get_finds_the_jobs_that_exist(self, store: Store) -> None:
        ids = add_many(store, 3)
        add(store)
        assert {job.id for job in store.get([*ids, new_job_id()])} == set(ids)

    def test_get_finds_a_job_once(self, store: Store) -> None:
        id = add(store)
        assert [job.id for job in store.get([id, id])] == [id]

    def test_get_of_nothing_is_nothing(self, store: Store) -> None:
        add(store)
        assert store.get([]) == []


def _database(store: Store) -> str:
    if store.database is None:
        pytest.skip("This store is in no database, so there is no transaction that an enqueue could join.")
    return store.database
