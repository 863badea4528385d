"""The contract of stores: all of it on Redis, and on other servers what hangs on their ways with scripts.

A store knows nothing of delivery modes: both backends have this one, and all laws hold for it. What at-most-once
does not promise, that a lost job runs again, is decided in the runtime: see dlq-core's tests of the rescue.
"""

from __future__ import annotations

import pytest

from dlq.store import Store
from dlq.testing.contract import MakeStore, StoreContract
from dlq.testing.contract.claiming import Claiming
from dlq.testing.contract.fencing import Fencing
from dlq.testing.contract.inspecting import Inspecting
from dlq.testing.contract.liveness import Liveness
from dlq.testing.contract.looking import Looking
from dlq.testing.contract.model import Modelled
from dlq.testing.contract.payloads import Payloads
from dlq.testing.contract.reconciling import Reconciling
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


@pytest.mark.parametrize("server_kind", ["valkey", "redis8"])
class TestOtherServers(
    Fixtures, Fencing, Claiming, Reconciling, Payloads, Liveness, Looking, Inspecting, Modelled
):
    worker, other_worker = StoreContract.worker, StoreContract.other_worker
