"""``durability="aof"``: an enqueue has succeeded when the server's disk has the job."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dlq.errors import StoreNotReady
from dlq.states import State
from dlq.testing.contract.builders import add, add_many, claim_ids, new_job, register, state_of
from dlq_redis.connection import Server, client, release
from dlq_redis.durability import Durability, NotDurable
from dlq_redis.store import RedisStore

pytestmark = pytest.mark.parametrize("server_kind", ["redis8", "valkey"])


@pytest.fixture
def store(server: Server) -> Iterator[RedisStore]:
    patient = Server(url=server.url, timeout=60.0)
    client(server).config_set("appendonly", "yes")
    client(server).script_flush()
    yield RedisStore("default", patient, durability=Durability.AOF)
    client(server).config_set("appendonly", "no")
    client(server).config_set("appendfsync", "everysec")
    release(patient)


def test_a_job_is_on_disk_when_its_enqueue_returns(store: RedisStore) -> None:
    ids = [add(store)]
    client(store.server).config_resetstat()
    ids += [add(store), *add_many(store, 20)]
    assert client(store.server).info("commandstats")["cmdstat_waitaof"]["calls"] == 2
    assert claim_ids(store, register(store)) == ids


def test_a_disk_that_does_not_follow_is_named_with_the_ids(server: Server, store: RedisStore) -> None:
    hasty = Server(url=server.url, timeout=0.2)
    client(server).config_set("appendfsync", "no")
    job = new_job()
    with pytest.raises(NotDurable, match="has taken 1 jobs") as error:
        RedisStore("default", hasty, durability=Durability.AOF).enqueue([job])
    assert error.value.ids == (job.id,)
    assert state_of(store, job.id) is State.READY
    client(server).config_set("appendfsync", "always")
    store.enqueue([job])
    assert claim_ids(store, register(store)) == [job.id]
    release(hasty)


def test_a_server_without_a_log_is_refused(server: Server, store: RedisStore) -> None:
    client(server).config_set("appendonly", "no")
    with pytest.raises(StoreNotReady, match=r"needs Redis 7.2 or newer, and appendonly yes"):
        add(store)
