"""``OPTIONS["outbox"]``: a committed job reaches Redis once, a rolled-back one never, whoever dies in between."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from pytest_django import Settings

from dlq import queue_backend
from dlq.errors import StoreError, StoreNotReady
from dlq.runtime.options import RunnerOptions
from dlq.states import State
from dlq.testing.contract.builders import (
    OUTCOMES,
    add,
    add_many,
    after,
    claim,
    claim_ids,
    new_job,
    record,
    register,
    settle,
)
from dlq_redis import connection
from dlq_redis.connection import Server, client
from dlq_redis.models import Outgoing
from dlq_redis.outbox import OutboxStore
from dlq_redis.relaying import OutboxInspector, Relay, relays_for
from dlq_redis.store import RedisStore

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "postgres"]),
    pytest.mark.parametrize("database", ["default", "postgres"]),
]


class Died(BaseException):
    """The process was killed here."""


class MortalStore(OutboxStore):
    """Dies before or after some of its calls."""

    dies: Any = staticmethod(lambda verb: None)

    def call(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        if self.dies(verb) == "before":
            raise Died
        reply = super().call(verb, *args, **kwargs)
        if self.dies(verb) == "after":
            raise Died
        return reply


@pytest.fixture
def store(server: Server, database: str) -> Iterator[MortalStore]:
    store = MortalStore("default", server, database=database)
    yield store
    store.close()


@pytest.fixture
def redis(server: Server) -> RedisStore:
    """What a runner sees that has not relayed yet."""
    return RedisStore("default", server)


def relay_all(store: OutboxStore) -> None:
    """What the service of a runner does."""
    relay = Relay(store, every=1.0)
    while relay.step() == 0.0:
        pass


def outgoing(store: OutboxStore) -> int:
    return Outgoing.objects.using(store.database).count()


def test_a_committed_job_is_in_redis_and_a_rolled_back_one_never(
    store: MortalStore, redis: RedisStore
) -> None:
    with transaction.atomic(using=store.database):
        kept = add(store, run_after=None, expires_after=30.5, metadata='{"a":1}', overrides="{}")
        assert redis.get([kept]) == []
        seen = record(store, kept)
        assert (seen.state, seen.metadata, seen.overrides) == (State.READY, '{"a":1}', "{}")
    with transaction.atomic(using=store.database):
        regretted = add(store)
        transaction.set_rollback(True, using=store.database)
    assert claim_ids(redis, register(redis)) == [kept]
    assert store.get([regretted]) == []
    assert (outgoing(store), client(store.server).exists("{dlq:default}:relayed")) == (0, 0)


def test_what_nobody_has_relayed_is_relayed_by_a_service_in_its_order(
    store: MortalStore, redis: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlq_redis.outbox.BATCH", 3)
    monkeypatch.setattr("dlq_redis.relaying.BATCH", 3)
    monkeypatch.setattr(store, "_relay_soon", lambda ids: None)
    ids = [add(store) for _ in range(7)]
    later = add(store, run_after=after(1e8))
    assert redis.waiting() == []
    assert [job.state for job in store.get([later])] == [State.SCHEDULED]
    assert [(c.queue, c.states) for c in OutboxInspector(store).counts()] == [("default", {State.READY: 8})]
    relay_all(store)
    assert redis.waiting() == ["default"]
    assert sorted(claim_ids(redis, register(redis))) == sorted(ids)
    assert outgoing(store) == 0


@pytest.mark.parametrize("dies_at", [("relay", "before"), ("relay", "after"), ("relayed", "before")])
def test_a_relay_that_dies_anywhere_lets_no_job_run_twice_even_if_its_result_is_gone(
    store: MortalStore, redis: RedisStore, dies_at: tuple[str, str]
) -> None:
    verb, when = dies_at
    worker = register(redis)
    store.dies = lambda called: when if called == verb else None
    with pytest.raises(Died):
        add(store)
    ran = len(_run_and_forget(redis, worker))
    store.dies = lambda called: None
    relay_all(store)
    ran += len(_run_and_forget(redis, worker))
    assert (ran, outgoing(store)) == (1, 0)


def test_whoever_is_killed_whenever_each_committed_job_runs_once(
    store: MortalStore, redis: RedisStore
) -> None:
    chance = random.Random(7)
    store.dies = lambda verb: chance.choice(["before", "after", None, None])
    worker = register(redis)
    committed, ran = [], []
    for _ in range(150):
        job = new_job()
        try:
            with transaction.atomic(using=store.database):
                store.enqueue([job])
                committed.append(job.id)
                if chance.random() < 0.3:
                    committed.pop()
                    transaction.set_rollback(True, using=store.database)
        except Died:
            connections[store.database].close()
        try:
            relay_all(store)
        except Died:
            connections[store.database].close()
        if chance.random() < 0.5:
            ran += _run_and_forget(redis, worker)
    store.dies = lambda verb: None
    relay_all(store)
    ran += _run_and_forget(redis, worker)
    assert sorted(ran) == sorted(committed)
    assert outgoing(store) == 0


def test_a_mark_that_was_left_behind_is_removed_later(
    store: MortalStore, redis: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.dies = lambda verb: "before" if verb == "relayed" else None
    with pytest.raises(Died):
        add(store)
    assert client(store.server).zcard("{dlq:default}:relayed") == 1
    store.dies = lambda verb: None
    relay_all(store)
    assert client(store.server).zcard("{dlq:default}:relayed") == 1
    monkeypatch.setattr("dlq_redis.outbox.FORGOTTEN_AFTER", -1.0)
    relay_all(store)
    assert client(store.server).exists("{dlq:default}:relayed") == 0


def test_while_redis_is_away_jobs_are_enqueued_and_run_later(
    server: Server, database: str, redis: RedisStore
) -> None:
    away = OutboxStore("default", Server(url="redis://127.0.0.1:1/0"), database=database)
    with transaction.atomic(using=database):
        ids = add_many(away, 3)
    store = OutboxStore("default", server, database=database)
    relay_all(store)
    assert sorted(claim_ids(redis, register(redis))) == sorted(ids)
    store.close()


def test_a_database_that_fails_is_an_outage_of_the_relay_and_not_of_the_upkeep(
    store: MortalStore, redis: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(redis, run_after=after(1))

    def fail() -> Any:
        raise OperationalError("gone")

    monkeypatch.setattr(store, "_outgoing", fail)
    assert store.look("nobody", 100, now=after(1)).promoted == 1
    for ask in (partial(relay_all, store), partial(store.get, [new_job().id]), OutboxInspector(store).counts):
        with pytest.raises(StoreError, match=r"the outbox in the database .* did not answer: gone"):
            ask()


def test_a_runner_relays_for_each_backend_that_has_an_outbox_unless_it_leaves_that_to_others(
    server: Server, database: str, settings: Settings
) -> None:
    plain = {"BACKEND": "dlq_redis.backends.RedisBackend", "OPTIONS": {"url": server.url}}
    settings.TASKS = {
        "default": {"BACKEND": "dlq.MemoryBackend"},
        "plain": plain,
        "safe": plain | {"OPTIONS": {"url": server.url, "outbox": database, "poll_interval": 3}},
    }
    options = RunnerOptions(pools=[], aliases=["default", "plain", "safe"])
    (relay,) = relays_for(options)
    assert (relay.name, relay.step()) == ("outbox-safe", 3)
    assert isinstance(queue_backend("safe").inspector, OutboxInspector)
    assert list(relays_for(replace(options, upkeep=False))) == []
    relay.close()


def test_a_missing_table_is_named_with_the_remedy(store: MortalStore) -> None:
    with connections[store.database].schema_editor() as editor:
        editor.delete_model(Outgoing)
    try:
        with pytest.raises(StoreNotReady, match="Is 'dlq_redis' in INSTALLED_APPS"):
            add(store)
    finally:
        with connections[store.database].schema_editor() as editor:
            editor.create_model(Outgoing)


def _run_and_forget(redis: RedisStore, worker: Any) -> list[Any]:
    """Run what is there, and prune it at once; returns what it was."""
    found = claim(redis, worker)
    settle(redis, worker, *map(OUTCOMES["succeeded"], found), now=after(0))
    redis.prune(State.SUCCEEDED, 0, 100, now=after(0))
    connection.release(redis.server)
    return [held.id for held in found]
