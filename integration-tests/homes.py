"""Where a site's jobs live: how this process and the real ones get there."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from redis import Redis

from databases import known
from dlq.backend import QueueBackend
from dlq_db.backends import DatabaseBackend
from dlq_redis.backends import RedisBackend, ReliableRedisBackend

__all__ = ["Home", "home_at"]


class Home(Protocol):
    """A place for jobs, and the database of Django that goes with it."""

    alias: str
    """The database, as it is known in this process."""
    database: str
    """Its URL."""

    def backend(self, options: Mapping[str, Any]) -> QueueBackend:
        """The backend of this process."""

    def entry(self, options: Mapping[str, Any], url: str) -> dict[str, Any]:
        """The entry in ``TASKS`` of a process that gets to the jobs at ``url``."""


class _InDatabase:
    def __init__(self, alias: str, url: str) -> None:
        self.alias = alias
        self.database = url

    def backend(self, options: Mapping[str, Any]) -> QueueBackend:
        return DatabaseBackend("default", {"OPTIONS": {**options, "database_alias": self.alias}})

    def entry(self, options: Mapping[str, Any], url: str) -> dict[str, Any]:
        return {"BACKEND": "dlq_db.backends.DatabaseBackend", "OPTIONS": options}


class _InRedis:
    def __init__(self, alias: str, database: str, url: str) -> None:
        self.alias = alias
        self.database = database
        self._url = url
        self._prefix = f"site-{secrets.token_hex(4)}"

    def backend(self, options: Mapping[str, Any]) -> QueueBackend:
        own = {"outbox": self.alias} if "outbox" in options else {}
        return self._class(options)("default", {"OPTIONS": self._options({**options, **own}, self._url)})

    def entry(self, options: Mapping[str, Any], url: str) -> dict[str, Any]:
        name = self._class(options).__qualname__
        return {"BACKEND": f"dlq_redis.backends.{name}", "OPTIONS": self._options(options, url)}

    def _class(self, options: Mapping[str, Any]) -> type[QueueBackend]:
        return RedisBackend if options.get("delivery") == "at-most-once" else ReliableRedisBackend

    def _options(self, options: Mapping[str, Any], url: str) -> dict[str, Any]:
        return {**options, "url": url, "prefix": self._prefix}

    def leave(self) -> None:
        """Remove every key."""
        with Redis.from_url(self._url) as server:
            for key in server.scan_iter(f"{{{self._prefix}:*"):
                server.unlink(key)


@contextlib.contextmanager
def home_at(url: str, folder: Path) -> Iterator[Home]:
    """What belongs to a URL, as long as the context lasts."""
    if not url.startswith("redis"):
        with known(url) as alias:
            yield _InDatabase(alias, url)
        return
    database = f"sqlite:///{folder / 'beside-redis.sqlite3'}"
    with known(database) as alias:
        home = _InRedis(alias, database, url)
        try:
            yield home
        finally:
            home.leave()
