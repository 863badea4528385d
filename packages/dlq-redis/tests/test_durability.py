"""``durability="aof"``: an enqueue has succeeded when the server's disk has the job."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.tasks.exceptions import InvalidTask
from pytest_django import Settings

from dlq import EnqueueUnanswered, QueueBackend, queue_backend
from dlq.errors import StoreNotReady
from dlq.states import State
from dlq.testing.contract.builders import add, add_many, claim_ids, new_job, register, state_of
from dlq_redis.connection import Server, client, release
from dlq_redis.durability import Durability, NotDurable
from dlq_redis.store import RedisStore
from project import tasks

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


@pytest.fixture
def backend(store: RedisStore, settings: Settings) -> QueueBackend:
    """One that does not wait for the disk by itself."""
    options = {"url": store.server.url, "socket_timeout": 60}
    settings.TASKS = {"default": {"BACKEND": "dlq_redis.backends.ReliableRedisBackend", "OPTIONS": options}}
    return queue_backend()


@pytest.mark.usefixtures("backend")
def test_a_single_call_may_wait_for_the_disk_and_another_may_not(store: RedisStore) -> None:
    client(store.server).config_resetstat()
    tasks.noop.enqueue()
    tasks.noop.using(durability="server").enqueue()
    assert "cmdstat_waitaof" not in client(store.server).info("commandstats")
    tasks.noop.using(durability="aof").enqueue()
    assert client(store.server).info("commandstats")["cmdstat_waitaof"]["calls"] == 1


@pytest.mark.usefixtures("backend")
def test_a_word_that_the_backend_does_not_know_is_refused_at_the_call() -> None:
    with pytest.raises(InvalidTask, match=r"durability='fsync' must be .*: 'server', 'aof'"):
        tasks.noop.using(durability="fsync")


def test_the_caller_gets_the_ids_and_may_try_again(
    server: Server, backend: QueueBackend, settings: Settings
) -> None:
    client(server).config_set("appendfsync", "no")
    settings.TASKS["default"]["OPTIONS"]["socket_timeout"] = 0.2
    with pytest.raises(EnqueueUnanswered, match=r"not confirmed .* has taken 1 jobs") as raised:
        tasks.noop.using(durability="aof").enqueue()
    client(server).config_set("appendfsync", "always")
    raised.value.enqueue_again()
    assert [result.id for result in backend.get_results(raised.value.ids)] == list(raised.value.ids)
