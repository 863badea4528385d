"""``Store.listen``: who waits for jobs is told at once that there are some."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar

import pytest

from dlq.store.base import Store
from dlq.testing.contract.builders import (
    OUTCOMES,
    MakeStore,
    add,
    after,
    claim_ids,
    claim_one,
    promote,
    settle_one,
)
from dlq.workers import WorkerRef

__all__ = ["Listening"]

PATIENCE = 60.0
"""Seconds until a word that has not come is given up."""
AT_A_TIME = 0.25
"""Seconds that one call listens. Whatever is said between two calls must be heard too."""


class Ear:
    """Listens in a thread of its own, as a runner does."""

    def __init__(self, make_store: MakeStore) -> None:
        self._make_store = make_store
        self._words: queue.SimpleQueue[frozenset[str]] = queue.SimpleQueue()
        self._listens = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()
        assert self._listens.wait(PATIENCE), "the store does not begin to listen"

    def hears(self, *queues: str) -> set[str]:
        """Wait until each of these was named since the last call; returns all that were."""
        ends_at = time.monotonic() + PATIENCE
        named: set[str] = set()
        while not named.issuperset(queues):
            assert time.monotonic() < ends_at, f"nothing was said of {queues}, only of {named}"
            named |= self._words.get(timeout=PATIENCE)
        return named

    def end(self) -> None:
        self._ending.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        store = self._make_store()
        try:
            store.dedicate()
            self._words.put(store.listen(0.0) or frozenset())
            self._listens.set()
            while not self._ending.is_set():
                self._words.put(store.listen(AT_A_TIME) or frozenset())
        finally:
            store.close()


@contextmanager
def _listening(make_store: MakeStore) -> Iterator[Ear]:
    ear = Ear(make_store)
    try:
        ear.start()
        yield ear
    finally:
        ear.end()


type Listeners = Callable[[], AbstractContextManager[Ear]]


class Listening:
    """Words that come before the next look."""

    can_listen: ClassVar[bool] = True
    """Whether the store has a way to be told."""

    @pytest.fixture
    def listening(self, make_store: MakeStore) -> Listeners:
        """Somebody listens, for as long as a block goes on."""
        if not self.can_listen:
            pytest.skip("This store has no way to be told that there are jobs.")
        return lambda: _listening(make_store)

    def test_a_store_that_has_no_way_to_be_told_says_so_at_once(self, store: Store) -> None:
        heard = store.listen(0.0 if self.can_listen else 1e9)
        assert heard == (frozenset() if self.can_listen else None)
        store.close()

    def test_who_listens_hears_of_new_jobs(self, store: Store, listening: Listeners) -> None:
        with listening() as ear:
            add(store, queue="mail")
            ear.hears("mail")

    def test_who_listens_hears_of_every_job_however_quickly_they_follow_each_other(
        self, store: Store, worker: WorkerRef, listening: Listeners
    ) -> None:
        with listening() as ear:
            for name in ("mail", "mail", "video", "mail", "mail"):
                id = add(store, queue=name)
                ear.hears(name)
                assert claim_ids(store, worker, queues=[name]) == [id]

    def test_who_listens_hears_nothing_of_jobs_that_wait_for_their_time(
        self, store: Store, listening: Listeners
    ) -> None:
        with listening() as ear:
            add(store, queue="later", run_after=after(10))
            add(store, queue="now")
            assert ear.hears("now") == {"now"}

    def test_who_listens_hears_of_jobs_that_have_become_due(self, store: Store, listening: Listeners) -> None:
        add(store, queue="later", run_after=after(10))
        with listening() as ear:
            promote(store, 10, now=after(10))
            ear.hears("later")

    def test_who_listens_hears_of_a_retry_by_hand(
        self, store: Store, worker: WorkerRef, listening: Listeners
    ) -> None:
        add(store, queue="mail")
        failed = settle_one(store, worker, OUTCOMES["failed"](claim_one(store, worker, queues=["mail"])))
        with listening() as ear:
            store.retry([failed.id])
            ear.hears("mail")

    def test_who_listens_hears_of_jobs_that_are_unparked(
        self, store: Store, worker: WorkerRef, listening: Listeners
    ) -> None:
        add(store, queue="mail", task="shop.new")
        settle_one(store, worker, OUTCOMES["parked"](claim_one(store, worker, queues=["mail"])))
        with listening() as ear:
            store.unpark([("shop.new", 1)])
            ear.hears("mail")

    def test_who_listens_hears_of_a_queue_that_goes_on(self, store: Store, listening: Listeners) -> None:
        store.pause("mail")
        add(store, queue="mail")
        with listening() as ear:
            store.resume("mail")
            ear.hears("mail")

    def test_who_listens_hears_nothing_of_other_backends(
        self,
        store: Store,
        make_store: MakeStore,
        listening: Listeners,
    ) -> None:
        with listening() as ear:
            add(make_store(alias="other"), queue="theirs")
            add(store, queue="ours")
            assert ear.hears("ours") == {"ours"}
