"""The ``OPTIONS`` that dlq-redis adds to those of every backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.cache import caches
from django.db import connections
from redis.connection import parse_url

from dlq.conf import BackendOptions, Delivery
from dlq.errors import ConfigError
from dlq_redis.connection import Server
from dlq_redis.durability import Durability

__all__ = ["RedisOptions", "ReliableRedisOptions"]

CACHE = "django.core.cache.backends.redis.RedisCache"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisOptions(BackendOptions):
    """``OPTIONS`` of ``RedisBackend``."""

    delivery: Delivery = Delivery.AT_MOST_ONCE
    url: str = "redis://localhost:6379/0"
    """The server: ``redis://``, ``rediss://`` for TLS, or ``unix://``, with user, password and database."""
    cache: str | None = None
    """An entry of ``CACHES`` with Django's ``RedisCache``, whose server and settings take the place of ``url``."""
    sentinels: Sequence[str] = ()
    """``host:port`` of the Sentinels, which say where the master is."""
    sentinel_service: str = "mymaster"
    """What the Sentinels call the master."""
    cluster: bool = False
    """Whether ``url`` is a node of a Cluster."""
    connection: Mapping[str, Any] = field(default_factory=dict)
    """What redis-py's connections are given beside, such as ``{"ssl_ca_certs": "/etc/ssl/ca.pem"}``."""
    socket_timeout: float = 10.0
    """How long a call may go without an answer until it has failed."""
    connect_timeout: float = 5.0
    """How long it may take to connect."""
    durability: Durability = Durability.SERVER
    """When an enqueue has succeeded: once the server has the job (``"server"``), or its disk has (``"aof"``)."""
    max_results: int | None = None
    """How many succeeded jobs are kept at most, the newest, even if their retention is not over."""
    outbox: str | None = None
    """An entry of ``DATABASES`` with a table for jobs on their way: to enqueue is then part of a transaction there."""
    prefix: str = "dlq"
    """What the names of all keys begin with, after the brace of their hash tag."""

    def __post_init__(self) -> None:
        """Check that these name one server.

        Raises ConfigError.
        """
        BackendOptions.__post_init__(self)
        if not self.prefix or set(self.prefix) & set("{}"):
            raise ConfigError(
                f"prefix={self.prefix!r} must be some text without braces, which mark the hash tag of keys."
            )
        if self.cluster and self.sentinels:
            raise ConfigError(
                "cluster and sentinels exclude each other: a Cluster looks after its masters by itself."
            )
        for name in ("socket_timeout", "connect_timeout"):
            if getattr(self, name) == 0:
                raise ConfigError(f"{name}=0 must be more than 0 seconds, or no call ever succeeds.")
        for sentinel in self.sentinels:
            if not sentinel.rpartition(":")[2].isdigit():
                raise ConfigError(f"sentinels has {sentinel!r}, which must be host:port.")
        if self.outbox is not None and self.outbox not in connections:
            raise ConfigError(
                f"outbox={self.outbox!r} is not in DATABASES, which has: {', '.join(connections)}."
            )
        self._check_url()

    def _check_url(self) -> None:
        url, _ = self._location()
        try:
            parse_url(url)  # type: ignore[no-untyped-call]
        except ValueError as error:
            raise ConfigError(f"url={url!r}: {error}") from None

    def server(self) -> Server:
        """The server that these options describe."""
        url, settings = self._location()
        return Server(
            url=url,
            sentinels=tuple(self.sentinels),
            service=self.sentinel_service,
            cluster=self.cluster,
            timeout=self.socket_timeout,
            connect_timeout=self.connect_timeout,
            settings=tuple(sorted({**settings, **self.connection}.items())),
        )

    def _location(self) -> tuple[str, dict[str, Any]]:
        if self.cache is None:
            return self.url, {}
        params = caches.settings.get(self.cache)
        if params is None or params.get("BACKEND") != CACHE:
            raise ConfigError(f"cache={self.cache!r} must be an entry of CACHES with the backend {CACHE}.")
        location = params.get("LOCATION", "")
        servers = location if isinstance(location, list | tuple) else location.replace(";", ",").split(",")
        # Of several the first is the one that Django writes to.
        own = {
            name: value for name, value in params.get("OPTIONS", {}).items() if not name.endswith("_class")
        }
        return servers[0].strip(), own


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliableRedisOptions(RedisOptions):
    """``OPTIONS`` of ``ReliableRedisBackend``."""

    delivery: Delivery = Delivery.AT_LEAST_ONCE
