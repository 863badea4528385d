"""The contract of schedules, on every server and topology.

As with jobs, the store knows nothing of delivery modes: both backends have these schedules.
"""

from __future__ import annotations

import pytest

from dlq.backend import QueueBackend
from dlq.errors import StoreError
from dlq.store import Store
from dlq.store.schedules import Fire, Fired, Proposal
from dlq.testing.contract import MakeStore, ScheduleContract
from dlq.testing.contract.builders import NOON, after, claim_ids, register
from dlq.testing.contract.schedule_builders import MakeSchedules, advance, fire, put, schedule
from dlq_redis.backends import RedisBackend, ReliableRedisBackend
from dlq_redis.connection import Server, client, release
from dlq_redis.inspector import RedisInspector
from dlq_redis.schedules import RedisSchedules
from dlq_redis.store import RedisStore
from topologies import Nodes


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

    @pytest.fixture
    def make_schedules(self) -> MakeSchedules:
        return RedisSchedules  # type: ignore[return-value]


@pytest.mark.parametrize("server_kind", ["redis", "valkey", "redis8"])
class TestOnOneServer(Fixtures, ScheduleContract):
    """On a Cluster: see test_cluster.py."""


@pytest.fixture
def store(server: Server) -> RedisStore:
    return RedisStore("default", server)


@pytest.fixture
def schedules(store: RedisStore) -> RedisSchedules:
    return RedisSchedules(store)


@pytest.mark.parametrize("backend", [RedisBackend, ReliableRedisBackend])
def test_backends_of_both_deliveries_fire_into_their_store(
    server: Server, backend: type[QueueBackend]
) -> None:
    used = backend("default", {"OPTIONS": {"url": server.url}})
    (found,) = put(used.schedules, schedule())
    fired = fire(10)
    used.schedules.advance([advance(found, fired)], now=after(10))
    assert claim_ids(used.store, register(used.store)) == [fired.job_id]


def test_no_key_is_left_of_a_schedule_that_is_gone_and_whose_fires_are_pruned(
    store: RedisStore, schedules: RedisSchedules
) -> None:
    found = put(schedules, schedule("fired"), schedule("static", static=True), schedule("never", rule="r2"))
    missed = Fire(due_at=after(10), outcome=Fired.MISSED, reason="nobody was there")
    schedules.advance([advance(record, missed) for record in found], now=after(10))
    schedules.orphan([("static", NOON)])
    schedules.disable(["never"])
    assert len(schedules.remove(["fired", "static", "never"])) == 3
    assert schedules.prune(0, 100, key="fired", now=after(10)) == 1
    assert schedules.prune(0, 100, now=after(10)) == 2
    assert list(client(store.server).scan_iter()) == []


def test_a_scheduler_is_told_at_once_when_memory_is_short_and_nothing_moves(nodes: Nodes) -> None:
    server = Server(url=nodes.start().url)
    store = RedisStore("default", server)
    schedules = RedisSchedules(store)
    (found,) = put(schedules, schedule())
    client(server).config_set("maxmemory", 1)
    with pytest.raises(StoreError, match="no memory left"):
        schedules.advance([advance(found, fire(10))], now=after(10))
    with pytest.raises(StoreError, match="no memory left"):
        put(schedules, schedule("another"))
    assert schedules.disable([found.key]) == [found.key]
    client(server).config_set("maxmemory", 0)
    assert schedules.history(10) == []
    release(server)


def test_of_one_schedule_old_fires_are_found_among_many(schedules: RedisSchedules) -> None:
    (found,) = put(schedules, schedule())
    schedules.advance([advance(found, *(fire(at) for at in range(1500)))], now=after(1500))
    (found,) = schedules.get([found.key])
    schedules.advance([advance(found, *(fire(at) for at in range(1500, 3000)))], now=after(3000))
    assert schedules.prune(1500, 1400, key=found.key, now=after(3000)) == 1400
    assert schedules.prune(1500, 1400, key=found.key, now=after(3000)) == 100
    assert len(schedules.history(10_000)) == 1500


def test_a_schedule_that_a_newer_version_has_written_is_left_to_it(
    schedules: RedisSchedules, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old,) = put(schedules, schedule("old"))
    with monkeypatch.context() as newer:
        newer.setattr("dlq_redis.timetable._VERSION", 2)
        schedules.put([Proposal(schedule=schedule("new"), due_at=after(5), look_at=after(5))], now=NOON)
    assert schedules.due(1, now=after(10)).schedules == [old]
    assert schedules.listed(10) == [old]
    assert schedules.disable(["new", "old"]) == ["old"]
