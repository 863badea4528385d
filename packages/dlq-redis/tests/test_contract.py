"""The contract of stores, on each kind of server; on a Cluster: see test_cluster.py.

A store knows nothing of delivery modes: both backends have this one, and all laws hold for it. What at-most-once
does not promise, that a lost job runs again, is decided in the runtime: see dlq-core's tests of the rescue.
"""

from __future__ import annotations

import pytest

from dlq.store import Store
from dlq.testing.contract import MakeStore, StoreContract
from dlq_redis.connection import Server
from dlq_redis.inspector import RedisInspector
from dlq_redis.store import RedisStore


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


class TestRedis(Fixtures, StoreContract):
    model_examples = 20


class OnAnotherServer(Fixtures, StoreContract):
    """All of it; what is drawn by chance or raced is drawn and raced less often."""

    model_examples, rounds, countings = 5, 2, 2


class TestValkey(OnAnotherServer):
    @pytest.fixture
    def server_kind(self) -> str:
        return "valkey"


class TestRedis8(OnAnotherServer):
    @pytest.fixture
    def server_kind(self) -> str:
        return "redis8"
