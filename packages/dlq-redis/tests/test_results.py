"""``max_results``: of succeeded jobs only so many are kept, the newest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlq.states import State
from dlq.testing.contract.builders import OUTCOMES, add, after, claim_one, register, settle
from dlq_redis.connection import Server
from dlq_redis.store import RedisStore


@pytest.mark.parametrize("older_than", [None, 98.0, 1000.0])
def test_the_oldest_beyond_the_number_go_whatever_their_age(server: Server, older_than: float | None) -> None:
    store = RedisStore("default", server, max_results=3)
    worker = register(store)
    ids = []
    for number in range(8):
        ids.append(add(store))
        settle(store, worker, OUTCOMES["succeeded"](claim_one(store, worker)), now=after(number))
    own = add(store)
    settle(
        store, worker, replace(OUTCOMES["succeeded"](claim_one(store, worker)), keep_for=1e6), now=after(0)
    )
    failed = add(store)
    settle(store, worker, OUTCOMES["failed"](claim_one(store, worker)), now=after(0))
    assert store.prune(State.SUCCEEDED, older_than, 2, now=after(100)) == 2
    assert store.prune(State.SUCCEEDED, older_than, 100, now=after(100)) == 3
    assert store.prune(State.SUCCEEDED, older_than, 100, now=after(100)) == 0
    assert store.prune(State.FAILED, None, 100, now=after(100)) == 0
    assert {job.id for job in store.get([*ids, own, failed])} == {*ids[5:], own, failed}
