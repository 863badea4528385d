"""A master that dies under Sentinel: work goes on with the replica, and nothing that it has is lost or stuck."""

from __future__ import annotations

import time

import pytest

from dlq.errors import StoreUnavailable
from dlq.states import State
from dlq.testing.contract.builders import OUTCOMES, add_many, claim, register, settle, state_of
from dlq_redis.connection import Server, release
from dlq_redis.store import RedisStore
from topologies import Nodes, Sentinels, asked_by_coroutines, reconciled, until


@pytest.fixture(scope="module")
def watched(nodes: Nodes) -> Sentinels:
    return nodes.sentinels()


def test_coroutines_find_the_master(watched: Sentinels) -> None:
    server = Server(url="redis://", sentinels=watched.addresses, service=watched.service)
    asked_by_coroutines(RedisStore("coroutines", server))


def test_after_a_failover_work_goes_on_with_what_the_replica_has(watched: Sentinels) -> None:
    server = Server(url="redis://", sentinels=watched.addresses, service=watched.service, timeout=1.0)
    store = RedisStore("default", server)
    store.dedicate()
    store.ping()
    worker = register(store)
    ids = add_many(store, 100)
    claims = claim(store, worker, 10)
    assert watched.master.client.wait(1, 10_000) == 1

    watched.master.kill()
    until(lambda: watched.replica.client.info("replication")["role"] == "master", "no failover")
    promoted_at = time.monotonic()
    worker = reconciled(store, worker, claims)
    print(f"The store was there {time.monotonic() - promoted_at:.3f} s after the failover.")

    assert settle(store, worker, *map(OUTCOMES["succeeded"], claims)).stale == []
    while rest := claim(store, worker, 50):
        settle(store, worker, *map(OUTCOMES["succeeded"], rest))
    assert {state_of(store, id) for id in ids} == {State.SUCCEEDED}
    assert store.held(worker.id, 100) == store.orphans(100) == []
    release(server)


def test_a_sentinel_that_knows_no_such_master_is_named(watched: Sentinels) -> None:
    server = Server(url="redis://", sentinels=watched.addresses, service="nobody")
    with pytest.raises(StoreUnavailable, match="the Redis master 'nobody' of the Sentinels 127"):
        RedisStore("default", server).ping()
