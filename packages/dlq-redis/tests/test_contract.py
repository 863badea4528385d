"""The contract of stores, on every kind of server."""

from __future__ import annotations

import pytest

from dlq.store import Store
from dlq.testing.contract import MakeStore, StoreContract
from dlq_redis.connection import Server
from dlq_redis.inspector import RedisInspector
from dlq_redis.store import RedisStore


class RedisContract(StoreContract):
    @pytest.fixture
    def make_store(self, server: Server) -> MakeStore:
        return lambda alias="default": RedisStore(alias, server)

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        return make_store()

    @pytest.fixture
    def inspector(self, store: RedisStore) -> RedisInspector:
        return RedisInspector(store)


class TestRedis(RedisContract):
    pass
