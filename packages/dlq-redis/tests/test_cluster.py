"""A Cluster of three masters: each backend is in one slot of it, and all that has a slot may move."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlq.store import Store
from dlq.testing.contract import MakeStore, ScheduleContract, StoreContract
from dlq.testing.contract.aliases import Aliases
from dlq.testing.contract.builders import OUTCOMES, add, claim, claim_ids, register, settle
from dlq.testing.contract.fencing import Fencing
from dlq.testing.contract.model import Modelled
from dlq.testing.contract.reconciling import Reconciling
from dlq.testing.contract.schedule_builders import MakeSchedules
from dlq_redis import connection
from dlq_redis.connection import Server
from dlq_redis.inspector import RedisInspector
from dlq_redis.schedules import RedisSchedules
from dlq_redis.store import RedisStore
from topologies import Node, Nodes, asked_by_coroutines, reconciled


@pytest.fixture(scope="module")
def masters(nodes: Nodes) -> list[Node]:
    return nodes.cluster()


@pytest.fixture
def server(masters: list[Node]) -> Iterator[Server]:
    for node in masters:
        node.client.flushall()
    server = Server(url=masters[0].url, cluster=True)
    yield server
    connection.release(server)


class Fixtures:
    @pytest.fixture
    def make_store(self, server: Server) -> MakeStore:
        return lambda alias="default": RedisStore(alias, server)

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        return make_store()

    @pytest.fixture
    def inspector(self, store: RedisStore) -> RedisInspector:
        return RedisInspector(store)


class TestCluster(Fixtures, Fencing, Reconciling, Aliases, Modelled):
    """What hangs on the way to a key: a Cluster is another server only until it is found."""

    worker, other_worker = StoreContract.worker, StoreContract.other_worker


if "DLQ_TEST_WHOLE_CONTRACT" in os.environ:

    class TestWholeContractOnACluster(Fixtures, StoreContract):
        pass


class TestSchedulesOnACluster(Fixtures, ScheduleContract):
    @pytest.fixture
    def make_schedules(self) -> MakeSchedules:
        return RedisSchedules  # type: ignore[return-value]


def test_backends_spread_over_the_masters(masters: list[Node], server: Server) -> None:
    for number in range(30):
        add(RedisStore(f"backend-{number}", server))
    assert all(node.client.dbsize() > 0 for node in masters)


def test_coroutines_find_the_master(server: Server) -> None:
    asked_by_coroutines(RedisStore("default", server))


def test_hints_are_heard(server: Server) -> None:
    store, listener = RedisStore("default", server), RedisStore("default", server)
    assert listener.listen(0.05) == frozenset()
    add(store)
    assert listener.listen(60) == {"default"}
    listener.close()


def test_a_backend_whose_slot_moves_goes_with_it(masters: list[Node], server: Server) -> None:
    store = RedisStore("default", server)
    ids = [add(store) for _ in range(5)]
    worker = register(store)
    assert claim_ids(store, worker, 1) == ids[:1]
    _move(masters, store.tag)
    assert claim_ids(store, worker, 2) == ids[1:3]
    late = add(store)
    assert claim_ids(store, worker) == [*ids[3:], late]
    assert len(store.held(worker.id, 10)) == 6


def _move(masters: list[Node], key: str) -> None:
    """Give the slot of a key, with all that is in it, to another master."""
    run = [node.client.execute_command for node in masters]
    slot = run[0]("CLUSTER KEYSLOT", key)
    names = [str(node.client.execute_command("CLUSTER MYID"), "ascii") for node in masters]
    source = next(at for at, node in enumerate(masters) if node.client.dbsize() > 0)
    target = (source + 1) % 3
    run[target]("CLUSTER SETSLOT", slot, "IMPORTING", names[source])
    run[source]("CLUSTER SETSLOT", slot, "MIGRATING", names[target])
    while keys := run[source]("CLUSTER GETKEYSINSLOT", slot, 100):
        run[source]("MIGRATE", "127.0.0.1", masters[target].port, "", 0, 5000, "KEYS", *keys)
    for at in (target, source, 3 - target - source):
        run[at]("CLUSTER SETSLOT", slot, "NODE", names[target])


def test_after_the_death_of_a_master_its_backend_goes_on_with_the_replica(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path)
    try:
        members = nodes.cluster(replicas=1)
        store = RedisStore("default", Server(url=members[0].url, cluster=True, timeout=2.0))
        worker = register(store)
        ids = [add(store) for _ in range(5)]
        held = claim(store, worker, 2)
        master = next(node for node in members[:3] if node.client.dbsize() > 0)
        assert master.client.wait(1, 10_000) == 1
        master.kill()
        worker = reconciled(store, worker, held)
        assert settle(store, worker, *map(OUTCOMES["succeeded"], held)).stale == []
        assert claim_ids(store, worker) == ids[2:]
        connection.release(store.server)
    finally:
        nodes.close()
