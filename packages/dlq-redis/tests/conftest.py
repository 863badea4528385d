"""A server for the tests of this package, empty at the start of each."""

from __future__ import annotations

import os

import pytest

from dlq_redis import connection
from dlq_redis.connection import Server


def server_at(name: str) -> Server:
    """The server that ``./tools/test`` has started under this name."""
    return Server(url=os.environ[f"DLQ_TEST_{name.upper()}_URL"])


@pytest.fixture
def server() -> Server:
    found = server_at("redis")
    connection.client(found).flushall()
    return found
