"""What a verb costs, in commands and bytes: a rate is a benchmark's, but what it is made of stands still."""

from __future__ import annotations

import pytest
from redis.connection import AbstractConnection

from dlq.testing.contract.builders import OUTCOMES, add_many, claim, new_job, register
from dlq_redis.connection import Server, client
from dlq_redis.store import RedisStore

ENOUGH = 200


@pytest.fixture
def store(server: Server) -> RedisStore:
    """One that has met its server: scripts are known there."""
    store = RedisStore("default", server)
    worker = register(store)
    store.enqueue([new_job()])
    store.exchange(worker, [], ["default"], 1)
    return store


@pytest.fixture
def sent(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each command from here on."""
    sizes: list[int] = []
    send = AbstractConnection.send_packed_command

    def count(connection: AbstractConnection, command: list[bytes], check_health: bool = True) -> None:
        sizes.append(sum(map(len, command)))
        send(connection, command, check_health)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", count)
    return sizes


def test_an_enqueue_is_one_command(store: RedisStore, sent: list[int]) -> None:
    store.enqueue([new_job()])
    assert len(sent) == 1


def test_many_jobs_are_one_command_and_few_bytes_each(store: RedisStore, sent: list[int]) -> None:
    jobs = [new_job() for _ in range(ENOUGH)]
    store.enqueue(jobs)
    assert len(sent) == 1
    assert sent[0] / ENOUGH < 110 + len(jobs[0].payload)


def test_an_exchange_is_one_command_and_few_bytes_for_each_outcome(
    store: RedisStore, sent: list[int]
) -> None:
    worker = register(store, "worker-2")
    add_many(store, ENOUGH)
    claims = claim(store, worker, limit=ENOUGH)
    sent.clear()
    store.exchange(worker, [OUTCOMES["succeeded"](each) for each in claims], ["default"], ENOUGH)
    assert len(sent) == 1
    assert sent[0] / ENOUGH < 90


def test_a_job_that_waits_takes_600_bytes_over_its_arguments_at_most(server: Server) -> None:
    store, count = RedisStore("default", server), 5_000
    before = client(server).info("memory")["used_memory"]
    add_many(store, count)
    each = (client(server).info("memory")["used_memory"] - before) / count
    assert each - len(new_job().payload) <= 600
