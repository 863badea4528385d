"""Connections to a server: pools of the process for clients, one of its own for each thread of the runtime.

Nothing here repeats a command by itself. A command whose answer got lost may have been carried out, and to claim
twice loses jobs: what may be repeated is for the caller to say.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.connection import SSLConnection, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

__all__ = ["Client", "Server", "client", "dedicate", "listener", "release"]

type Client = Redis | RedisCluster

ANSWER_MARGIN = 5.0
"""Seconds that a blocking read may take longer than the server was told to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the jobs are, and how to get there. Equal ones share their pool."""

    url: str
    sentinels: tuple[str, ...] = ()
    """``host:port`` of each Sentinel; ``url`` then gives the user, the password and the number of the database."""
    service: str = "mymaster"
    """What the Sentinels call the master."""
    cluster: bool = False
    timeout: float = 10.0
    """Seconds until a call without an answer has failed."""
    connect_timeout: float = 5.0
    settings: tuple[tuple[str, Any], ...] = field(default=())
    """What redis-py's connections are given beside."""

    def __hash__(self) -> int:
        """Without the settings, which may be anything; equal ones still have equal hashes."""
        return hash((self.url, self.sentinels, self.service))

    @property
    def name(self) -> str:
        """For messages: without a password in it."""
        if self.sentinels:
            return f"the Redis master {self.service!r} of the Sentinels {', '.join(self.sentinels)}"
        where = self.url.rpartition("@")[2] if "@" in self.url else self.url.partition("://")[2]
        return f"the Redis {'Cluster' if self.cluster else 'server'} at {where.partition('?')[0]}"

    def connect(self, *, timeout: float | None = None, alone: bool = False) -> Client:
        """A client with connections of its own; ``alone`` gives it just one, for one thread."""
        options = {"retry": Retry(NoBackoff(), 0), **self.options(timeout or self.timeout)}
        if self.cluster:
            return RedisCluster.from_url(self.url, **options)
        if self.sentinels:
            return self._by_sentinel(options)
        return Redis.from_url(self.url, single_connection_client=alone, **options)

    def options(self, timeout: float) -> dict[str, Any]:
        """What each connection is given, but for how often it repeats, which is never."""
        return {
            "socket_timeout": timeout,
            "socket_connect_timeout": self.connect_timeout,
            "protocol": 2,
            **({} if self.url.startswith("unix:") else {"socket_keepalive": True}),
            **dict(self.settings),
        }

    def _by_sentinel(self, options: Mapping[str, Any]) -> Redis:
        asked: Any = Sentinel(  # type: ignore[no-untyped-call]
            self.sentinel_hosts, sentinel_kwargs=self.impatient
        )
        master: Redis = asked.master_for(self.service, **{**self.of_the_master, **options})
        return master

    @property
    def sentinel_hosts(self) -> list[tuple[str, int]]:
        """Where the Sentinels are."""
        parts = (each.rpartition(":") for each in self.sentinels)
        return [(host, int(port)) for host, _, port in parts]

    @property
    def impatient(self) -> dict[str, float]:
        """For connections to Sentinels, of which the next is asked when one says nothing."""
        return {"socket_timeout": self.connect_timeout, "socket_connect_timeout": self.connect_timeout}

    @property
    def of_the_master(self) -> dict[str, Any]:
        """What ``url`` says of connections to whatever server is the master."""
        own: dict[str, Any] = parse_url(self.url)  # type: ignore[no-untyped-call]
        own["ssl"] = own.pop("connection_class", None) is SSLConnection
        for of_one_server in ("host", "port", "path"):
            own.pop(of_one_server, None)
        return own


class _Clients:
    """The clients of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.shared: dict[Server, Client] = {}
        self.own = threading.local()


_clients = _Clients()


def _forget() -> None:
    # What a parent had open belongs to it, locks in whatever state included.
    global _clients
    _clients = _Clients()


os.register_at_fork(after_in_child=_forget)


def client(server: Server) -> Client:
    """The client of this thread, if it has one of its own, else that of the process."""
    if own := getattr(_clients.own, "clients", {}).get(server):
        found: Client = own
        return found
    with _clients.lock:
        if server not in _clients.shared:
            _clients.shared[server] = server.connect()
        return _clients.shared[server]


def dedicate(server: Server) -> None:
    """Give this thread a connection of its own."""
    clients = _own()
    if server not in clients:
        clients[server] = server.connect(alone=True)


def listener(server: Server, seconds: float) -> Client:
    """A client of this thread on which the server may take so many seconds for its answer."""
    kept: dict[Server, tuple[float, Client]] = _clients.own.__dict__.setdefault("listeners", {})
    if server not in kept or kept[server][0] < seconds:
        kept[server] = (seconds, server.connect(timeout=seconds + ANSWER_MARGIN, alone=True))
    return kept[server][1]


def release(server: Server) -> None:
    """Close what this thread has of its own."""
    if own := _own().pop(server, None):
        own.close()
    if kept := _clients.own.__dict__.get("listeners", {}).pop(server, None):
        kept[1].close()


def _own() -> dict[Server, Client]:
    own: dict[Server, Client] = _clients.own.__dict__.setdefault("clients", {})
    return own
