"""Coroutines enqueue and read results on connections of their event loop, without a thread."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from pytest_django import Settings

from dlq import EnqueueUnanswered, QueueBackend, queue_backend
from dlq.errors import StoreUnavailable
from dlq.signals import store_called
from dlq.testing.contract.builders import new_job
from dlq_redis import async_connection
from dlq_redis.connection import Server, client
from dlq_redis.store import RedisStore
from project import tasks
from proxy import Proxy


@pytest.fixture
def backend(server: Server, settings: Settings) -> QueueBackend:
    settings.TASKS = {
        "default": {
            "BACKEND": "dlq_redis.backends.ReliableRedisBackend",
            "OPTIONS": {"url": server.url, "socket_timeout": 5},
        }
    }
    return queue_backend()


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """Whatever is left open is warned of here."""
    yield
    gc.collect()


@pytest.fixture
def no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hands something to a thread fails."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a thread was asked")

    monkeypatch.setattr(asyncio.BaseEventLoop, "run_in_executor", refuse)
    monkeypatch.setattr(threading.Thread, "start", refuse)


def counted(backend: QueueBackend) -> int:
    return sum(sum(queue.states.values()) for queue in backend.inspector.counts())


@pytest.mark.usefixtures("no_thread")
def test_five_hundred_enqueues_at_once_need_no_thread_and_few_connections(
    server: Server, backend: QueueBackend
) -> None:
    async def enqueue_all() -> list[str]:
        results = await asyncio.gather(*(tasks.noop.aenqueue() for _ in range(500)))
        found = await asyncio.gather(*(tasks.noop.aget_result(result.id) for result in results))
        assert {result.id for result in found} == {result.id for result in results}
        assert all(result.enqueued_at is not None for result in results)
        return [result.id for result in results]

    before = client(server).info("stats")["total_connections_received"]
    ids = asyncio.run(enqueue_all())
    assert len(set(ids)) == counted(backend) == 500
    made = client(server).info("stats")["total_connections_received"] - before
    assert made <= async_connection.CONNECTIONS


@pytest.mark.usefixtures("no_thread")
def test_many_are_enqueued_as_one_and_what_is_missing_is_said(backend: QueueBackend) -> None:
    async def main() -> None:
        results = await backend.aenqueue_all([(tasks.noop, (), {})] * 20)
        assert len({result.id for result in results}) == 20
        with pytest.raises(TaskResultDoesNotExist, match="There is no job"):
            await tasks.noop.aget_result(str(new_job().id))
        with pytest.raises(TaskResultDoesNotExist):
            await tasks.noop.aget_result("no id")

    asyncio.run(main())
    assert counted(backend) == 20


def test_each_loop_has_connections_of_its_own_and_closes_them(server: Server, backend: QueueBackend) -> None:
    async def main() -> None:
        await tasks.noop.aenqueue()
        assert async_connection._pools.keys() == {asyncio.get_running_loop()}

    for _ in range(3):
        asyncio.run(main())
    assert not any(async_connection._pools.values())
    assert counted(backend) == 3


def test_a_fork_shares_no_connection_with_its_parent(backend: QueueBackend) -> None:
    async def main() -> None:
        await tasks.noop.aenqueue()
        if (pid := os.fork()) == 0:
            try:
                asyncio._set_running_loop(None)  # type: ignore[attr-defined]
                asyncio.run(tasks.noop.aenqueue())
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0  # noqa: ASYNC222  # it is the child's turn
        await tasks.noop.aenqueue()

    asyncio.run(main())
    assert counted(backend) == 3


def test_a_call_that_is_cancelled_leaves_no_answer_to_the_next(backend: QueueBackend) -> None:
    async def main() -> None:
        for _ in range(20):
            call = asyncio.ensure_future(tasks.noop.aenqueue())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            call.cancel()
            result = await tasks.noop.aenqueue()
            assert (await tasks.noop.aget_result(result.id)).id == result.id

    asyncio.run(main())


@pytest.fixture
def through(proxy: Proxy, server: Server, settings: Settings) -> QueueBackend:
    """The backend, with a proxy on the way to its server."""
    options = {"url": proxy.url(server.url), "socket_timeout": 0.3}
    settings.TASKS = {"default": {"BACKEND": "dlq_redis.backends.ReliableRedisBackend", "OPTIONS": options}}
    return queue_backend()


@pytest.mark.parametrize(
    "ask", [tasks.noop.aenqueue, async_to_sync(tasks.noop.aenqueue)], ids=["loop", "sync"]
)
def test_an_answer_that_was_lost_is_said_with_the_id_and_can_be_tried_again(
    server: Server, through: QueueBackend, proxy: Proxy, ask: Any
) -> None:
    proxy.withhold_replies = True
    with pytest.raises(EnqueueUnanswered, match=r"not confirmed that the job .* enqueue_again") as raised:
        asyncio.run(ask()) if asyncio.iscoroutinefunction(ask) else ask()
    assert isinstance(raised.value.__cause__, StoreUnavailable)
    ids = [UUID(id) for id in raised.value.ids]
    proxy.withhold_replies = False
    raised.value.enqueue_again()
    assert [record.id for record in RedisStore("default", server).get(ids)] == ids
    assert counted(through) == 1


def test_a_receiver_of_the_signal_may_be_sync_code_with_a_database(backend: QueueBackend) -> None:
    heard: list[tuple[str, bool]] = []

    def hear(task_result: Any, **kwargs: Any) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            heard.append((task_result.id, False))
        else:
            heard.append((task_result.id, True))

    task_enqueued.connect(hear)
    try:
        result = asyncio.run(tasks.noop.aenqueue())
    finally:
        task_enqueued.disconnect(hear)
    assert heard == [(result.id, False)]


def test_the_door_of_the_store_reports_calls_of_coroutines(backend: QueueBackend) -> None:
    told: list[str] = []

    def hear(verb: str, **kwargs: Any) -> None:
        told.append(verb)

    async def main() -> None:
        result = await tasks.noop.aenqueue()
        await tasks.noop.aget_result(result.id)

    store_called.connect(hear)
    try:
        asyncio.run(main())
    finally:
        store_called.disconnect(hear)
    assert told == ["enqueue", "get"]


@pytest.mark.django_db(transaction=True)
def test_inside_async_to_sync_an_enqueue_still_waits_for_the_commit(backend: QueueBackend) -> None:
    with transaction.atomic():
        result = async_to_sync(tasks.noop.aenqueue)()
        assert counted(backend) == 0
        with pytest.raises(TaskResultDoesNotExist, match="when the open transaction"):
            async_to_sync(tasks.noop.aget_result)(result.id)
    assert counted(backend) == 1


@pytest.mark.parametrize("server_kind", ["redis8"])
def test_what_waits_for_the_disk_may_be_asked_by_coroutines_too(
    server: Server, settings: Settings, backend: QueueBackend
) -> None:
    client(server).config_set("appendonly", "yes")
    try:
        asyncio.run(tasks.noop.using(durability="aof").aenqueue())
    finally:
        client(server).config_set("appendonly", "no")
    assert counted(backend) == 1
