from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pytest_django import Settings

from dlq import ConfigError, EnqueueError, MemoryBackend, TaskRefused, broadcast, task
from dlq.broadcast import BROADCAST_EXPIRES_AFTER
from dlq.selectors import Selector, broadcast_queue, is_queue_name
from dlq.store import MemoryStore
from dlq.testing.contract.builders import claim, register, runner_info


@task(queue="mail")
def drop_cache(name: str) -> None: ...


@task(expires_after=20)
def hurry() -> None: ...


@pytest.fixture
def store(memory: MemoryBackend) -> MemoryStore:
    store = memory.make_store()
    for runner in ("one", "two"):
        store.register_runner(runner_info(runner))
        register(store, f"{runner}/1", runner)
    return store


def test_every_runner_that_lives_gets_a_job_of_its_own(store: MemoryStore) -> None:
    results = broadcast(drop_cache, "prices")
    assert len({result.id for result in results}) == 2
    queues = [store.get([UUID(result.id)])[0].queue for result in results]
    assert queues == [broadcast_queue("one"), broadcast_queue("two")]
    assert [result.args for result in results] == [["prices"], ["prices"]]


def test_runners_that_stand_still_or_have_no_workers_are_left_out(store: MemoryStore) -> None:
    store.register_runner(runner_info("idle"))
    store.retire("two")
    store.register_runner(runner_info("stuck"))
    register(store, "stuck/1", "stuck")
    store.runners["stuck"].beat_at = datetime.now(UTC) - timedelta(hours=1)
    (result,) = broadcast(drop_cache, "prices")
    assert store.get([UUID(result.id)])[0].queue == broadcast_queue("one")


def test_where_no_runner_lives_nothing_is_stored(memory: MemoryBackend) -> None:
    assert broadcast(drop_cache, "prices") == []
    assert memory.inspector.counts() == []


@pytest.mark.parametrize(("sent", "seconds"), [(drop_cache, BROADCAST_EXPIRES_AFTER), (hurry, 20.0)])
def test_the_jobs_expire(store: MemoryStore, sent: Any, seconds: float) -> None:
    results = broadcast(sent, *(["prices"] if sent is drop_cache else []))
    for record in store.get([UUID(result.id) for result in results]):
        assert record.expires_at is not None
        assert record.expires_at - record.enqueued_at == timedelta(seconds=seconds)


def test_arguments_that_are_no_json_are_refused_and_nothing_is_stored(store: MemoryStore) -> None:
    with pytest.raises(EnqueueError):
        broadcast(drop_cache, {1})  # type: ignore[arg-type]
    assert store.jobs == {}


def test_a_backend_without_runners_cannot_broadcast(settings: Settings) -> None:
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}
    with pytest.raises(TaskRefused, match="not one of DLQ"):
        broadcast(drop_cache, "prices")


def test_no_selector_stands_for_the_queue_of_a_runner() -> None:
    assert not Selector("*").matches(broadcast_queue("one"))
    for selector in ("@*", "@one", "*,!@one"):
        with pytest.raises(ConfigError, match="neither a queue name"):
            Selector(selector)


def test_nobody_can_enqueue_there_by_name() -> None:
    assert not is_queue_name(broadcast_queue("one"))


def test_it_is_claimed_like_any_other_job(store: MemoryStore) -> None:
    broadcast(drop_cache, "prices")
    worker = register(store, "one/2", "one")
    (held,) = claim(store, worker, queues=[broadcast_queue("one"), "mail"])
    assert held.queue == broadcast_queue("one")
