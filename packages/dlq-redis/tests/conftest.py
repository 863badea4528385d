"""A server for the tests of this package, empty at the start of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from dlq_redis import connection
from dlq_redis.connection import Server
from leftovers import django_db_setup  # noqa: F401  # pytest finds it here
from proxy import Proxy
from topologies import Nodes


def server_at(name: str) -> Server:
    """The server that ``./tools/test`` has started under this name."""
    variable = f"DLQ_TEST_{name.upper()}_URL"
    if variable not in os.environ:
        raise LookupError(f"{variable} names no server. Run the tests with ./tools/test, which brings one.")
    return Server(url=os.environ[variable])


@pytest.fixture
def server_kind() -> str:
    """The kind of server, by its name in tools/servers.py."""
    return "redis"


@pytest.fixture
def server(server_kind: str) -> Iterator[Server]:
    """A server without any key."""
    found = server_at(server_kind)
    connection.client(found).flushall()
    yield found
    connection.release(found)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    assert parts.port is not None
    with Proxy(parts.hostname, parts.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Starts servers for the tests of a module."""
    nodes = Nodes(tmp_path_factory.mktemp("nodes"))
    yield nodes
    nodes.close()
