"""``RedisStore.listen``: whoever waits is told when a queue has something to give again, and of nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from dlq.job import Outcome
from dlq.testing.contract.builders import (
    FAILURE,
    add,
    add_many,
    after,
    claim,
    claim_one,
    look,
    register,
    settle,
)
from dlq.workers import WorkerRef
from dlq_redis.connection import Server, client
from dlq_redis.store import RedisStore

PATIENCE = 60.0
SOON = 0.05


@pytest.fixture
def store(server: Server) -> RedisStore:
    return RedisStore("default", server)


@pytest.fixture
def listener(server: Server) -> Iterator[RedisStore]:
    """Listens in the test's own thread, from now on."""
    listening = RedisStore("default", server)
    assert listening.listen(SOON) == frozenset()
    yield listening
    listening.close()


def test_a_queue_that_was_empty_is_named(store: RedisStore, listener: RedisStore) -> None:
    add(store, queue="mäil")
    add(store, queue="later", run_after=after(60))
    assert listener.listen(PATIENCE) == {"mäil"}


def test_a_queue_that_has_something_is_not_named_again(store: RedisStore, listener: RedisStore) -> None:
    add_many(store, 100)
    add_many(store, 100)
    add(store, queue="other")
    assert listener.listen(PATIENCE) == {"default", "other"}
    assert listener.listen(SOON) == frozenset()
    assert client(store.server).xlen(f"{store.tag}:wake") == 2


def _promoted(store: RedisStore, worker: WorkerRef) -> None:
    add(store, run_after=after(5))
    look(store, now=after(5))


def _handed_back(store: RedisStore, worker: WorkerRef) -> None:
    settle(store, worker, Outcome.handed_back(claim_one(store, worker, queues=["seed"])))


def _retried(store: RedisStore, worker: WorkerRef) -> None:
    found = claim_one(store, worker, queues=["seed"])
    settle(store, worker, Outcome.failed(found, FAILURE))
    store.retry([found.id])


def _unparked(store: RedisStore, worker: WorkerRef) -> None:
    settle(store, worker, Outcome.parked(claim_one(store, worker, queues=["seed"])))
    store.unpark([("shop.tasks.send", 1)])


def _reconciled(store: RedisStore, worker: WorkerRef) -> None:
    claim_one(store, worker, queues=["seed"])
    store.reconcile(worker, [])


def _resumed(store: RedisStore, worker: WorkerRef) -> None:
    store.pause("seed")
    store.resume("seed")


@pytest.mark.parametrize("way", [_promoted, _handed_back, _retried, _unparked, _reconciled, _resumed])
def test_however_a_job_becomes_ready_it_is_said(
    store: RedisStore, server: Server, way: Callable[[RedisStore, WorkerRef], None]
) -> None:
    worker = register(store)
    add(store, queue="seed")
    listener = RedisStore("default", server)
    assert listener.listen(SOON) == frozenset()
    way(store, worker)
    assert listener.listen(PATIENCE) == {"default" if way is _promoted else "seed"}
    listener.close()


def test_everybody_who_waits_is_told(store: RedisStore, server: Server) -> None:
    heard: SimpleQueue[frozenset[str] | None] = SimpleQueue()
    waits = threading.Barrier(4)

    def wait() -> None:
        listening = RedisStore("default", server)
        listening.listen(SOON)
        waits.wait(PATIENCE)
        heard.put(listening.listen(PATIENCE))
        listening.close()

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    waits.wait(PATIENCE)
    add(store)
    for thread in threads:
        thread.join(PATIENCE)
    assert [heard.get_nowait() for _ in threads] == [{"default"}] * 3


def test_other_backends_are_not_heard(server: Server, listener: RedisStore) -> None:
    add(RedisStore("other", server))
    assert listener.listen(SOON) == frozenset()


def test_a_claim_says_nothing(store: RedisStore, listener: RedisStore) -> None:
    worker = register(store)
    add_many(store, 3)
    assert listener.listen(PATIENCE) == {"default"}
    settle(store, worker, *[Outcome.succeeded(found, "1", 0.1) for found in claim(store, worker)])
    assert listener.listen(SOON) == frozenset()
