"""Limits under a race: many workers want the few slots of one key."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import ClassVar
from uuid import UUID

import pytest

from dlq.job import Claim
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.testing.contract.builders import (
    NOON,
    OUTCOMES,
    MakeStore,
    add_many,
    look,
    register,
    rejected,
    totals,
)
from dlq.testing.contract.concurrency import together
from dlq.testing.contract.limiting import slot
from dlq.workers import WorkerRef

__all__ = ["Contending"]


class _Watch:
    """How many jobs of the key are under way at once, as the workers see it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._now = 0
        self.most = 0

    def enter(self, claims: list[Claim]) -> None:
        with self._changed:
            self._now += len(claims)
            self.most = max(self.most, self._now)

    def leave(self, claims: list[Claim]) -> None:
        with self._changed:
            self._now -= len(claims)

    def settled(self) -> None:
        """Wakes all that have found nothing: they race for the slots that are free now."""
        with self._changed:
            self._changed.notify_all()

    def wait(self) -> None:
        """Until somebody has settled something, or for a moment."""
        with self._changed:
            self._changed.wait(0.5)


def _contending(worker: WorkerRef, watch: _Watch, wanted: int, done: list[UUID]) -> Callable[[Store], None]:
    """Claims until all jobs are done, and settles with the next claim."""

    def work(store: Store) -> None:
        claims: list[Claim] = []
        while len(done) < wanted:
            outcomes = list(map(OUTCOMES["succeeded"], claims))
            watch.leave(claims)
            reply = store.exchange(worker, outcomes, ["default"], 3, now=NOON)
            watch.enter(reply.claims)
            assert rejected(reply) == []
            done.extend(outcome.id for outcome in outcomes)
            claims = reply.claims
            if outcomes:
                watch.settled()
            elif not claims:
                watch.wait()

    return work


def _claiming(worker: WorkerRef) -> Callable[[Store], list[Claim]]:
    return lambda store: store.exchange(worker, [], ["default"], 3, now=NOON).claims


class Contending:
    """Never more than the limit, and all of it."""

    contenders: ClassVar[int] = int(os.environ.get("DLQ_TEST_CONTENDERS", "8"))
    """How many workers race for the slots of a key."""
    contended: ClassVar[int] = int(os.environ.get("DLQ_TEST_CONTENDED", "40"))
    """How many jobs they race for."""

    @pytest.mark.parametrize("limit", [1, 5])
    def test_many_workers_never_hold_more_jobs_of_a_key_than_its_limit(
        self, store: Store, make_store: MakeStore, inspector: Inspector, limit: int
    ) -> None:
        workers = [register(store, f"worker-{at}") for at in range(self.contenders)]
        ids = add_many(store, self.contended, limits=slot(limit=limit))
        watch, done = _Watch(), list[UUID]()
        held = together(make_store, *map(_claiming, workers))
        assert sum(map(len, held)) == limit
        for worker, claims in zip(workers, held, strict=True):
            store.exchange(worker, list(map(OUTCOMES["handed back"], claims)), [], 0, now=NOON)
        works = [_contending(worker, watch, len(ids), done) for worker in workers]
        together(make_store, *works)
        assert watch.most <= limit
        assert Counter(done) == Counter(ids)
        assert totals(inspector) == {State.SUCCEEDED: len(ids)}

    def test_admissions_at_the_same_moment_give_each_slot_once(
        self, store: Store, make_store: MakeStore, inspector: Inspector
    ) -> None:
        ids = add_many(store, 20, limits=slot(limit=10))
        store.cancel(ids[:10], "no need", now=NOON)
        admitted = together(make_store, *[lambda store: store.admit(10, now=NOON)] * 4)
        assert sum(admitted) == 10
        assert totals(inspector)[State.READY] == 10

    def test_batches_of_the_same_keys_in_opposite_orders_wait_for_each_other_in_turn(
        self, store: Store, make_store: MakeStore, worker: WorkerRef, inspector: Inspector
    ) -> None:
        for at in range(6):
            add_many(store, 20, limits=slot(f"key {at}", 3))
        workers = [register(store, f"worker-{at}") for at in range(self.contenders)]
        together(make_store, *[_working_backwards(at % 2 == 0, ref) for at, ref in enumerate(workers)])
        look(store)
        assert totals(inspector) == {State.SUCCEEDED: 120}


def _working_backwards(backwards: bool, worker: WorkerRef) -> Callable[[Store], None]:
    """Claims and settles several keys at once, until there is nothing left."""

    def work(store: Store) -> None:
        claims: list[Claim] = []
        while True:
            outcomes = list(map(OUTCOMES["succeeded"], claims))
            reply = store.exchange(
                worker, outcomes[::-1] if backwards else outcomes, ["default"], 6, now=NOON
            )
            assert rejected(reply) == []
            if not outcomes and not reply.claims:
                return
            claims = reply.claims

    return work
