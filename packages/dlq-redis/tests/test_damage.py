"""Keys that somebody has damaged: what is whole goes on, and what is not is told or left, with no error but ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.errors import StoreError
from dlq.states import FINISHED, State
from dlq.store import JobFilter
from dlq.testing.contract.builders import OUTCOMES, add, after, claim, one_of_each, register, settle
from dlq_redis.connection import Server, client
from dlq_redis.inspector import RedisInspector
from dlq_redis.store import RedisStore
from fuzzing import fuzz

LATER = after(86_400)
PER_JOB = ("rows", "data", "ids", "due", "expiry", "asked", "reasons")
"""The keys in which each job has a member of its own."""


@pytest.fixture
def store(server: Server) -> RedisStore:
    return RedisStore("default", server)


def everything(store: RedisStore, victims: list[UUID]) -> list[Callable[[], Any]]:
    """What workers, upkeep, operators and dashboards do."""
    inspector = RedisInspector(store)
    return [
        lambda: store.get(victims),
        lambda: store.look("runner-1", 100, now=LATER),
        lambda: store.held("worker-1", 100),
        lambda: store.orphans(100),
        lambda: store.cancel(victims, "damaged", now=LATER),
        lambda: store.retry(victims, now=LATER),
        lambda: store.parked(),
        lambda: store.waiting(now=LATER),
        lambda: inspector.counts(now=LATER),
        lambda: inspector.runners(now=LATER),
        lambda: inspector.jobs(JobFilter(), limit=100),
        *(lambda state=state: store.prune(state, 0.0, 100, now=LATER) for state in FINISHED),
    ]


def remove(store: RedisStore, key: str, id: UUID) -> None:
    """Delete one member, of whatever kind the key is."""
    redis, name = client(store.server), f"{{dlq:default}}:{key}"
    kind = redis.type(name)
    {b"hash": redis.hdel, b"zset": redis.zrem, b"set": redis.srem}.get(kind, lambda *_: 0)(name, id.bytes)


def whole_jobs_still_run(store: RedisStore) -> None:
    worker = register(store, "worker-9", "runner-9")
    ids = [add(store, now=LATER, queue="whole"), add(store, now=LATER, queue="whole")]
    held = claim(store, worker, 10, queues=["whole"], now=LATER)
    assert [each.id for each in held] == ids
    assert settle(store, worker, *map(OUTCOMES["succeeded"], held), now=LATER).stale == []
    assert {job.state for job in store.get(ids)} == {State.SUCCEEDED}


@pytest.mark.parametrize("key", PER_JOB)
def test_with_half_of_its_jobs_deleted_a_store_serves_the_others(store: RedisStore, key: str) -> None:
    worker = register(store)
    for state, id in one_of_each(store, worker).items():
        remove(store, key, id)
        for verb in everything(store, [id]):
            verb()
        assert state
    whole_jobs_still_run(store)


@fuzz(25)
@given(
    st.lists(
        st.tuples(st.sampled_from(PER_JOB), st.integers(0, 6), st.none() | st.binary(max_size=40)), max_size=4
    )
)
def test_what_is_written_over_is_told_as_an_error_of_the_store_or_left(
    store: RedisStore, damage: list[tuple[str, int, bytes | None]]
) -> None:
    redis = client(store.server)
    redis.flushall()
    worker = register(store)
    ids = list(one_of_each(store, worker).values())
    for key, at, junk in damage:
        if junk is None or key not in ("rows", "data", "reasons"):
            remove(store, key, ids[at])
        else:
            redis.hset(f"{{dlq:default}}:{key}", ids[at].bytes, junk)
    for verb in everything(store, ids):
        try:
            verb()
        except StoreError as error:
            assert str(error)  # noqa: PT017
    whole_jobs_still_run(store)
