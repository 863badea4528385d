"""``RedisBackend`` and ``ReliableRedisBackend``: name one of them in ``TASKS``."""

from __future__ import annotations

from typing import Any, ClassVar

from dlq.backend import QueueBackend
from dlq_redis.durability import Durability
from dlq_redis.inspector import RedisInspector
from dlq_redis.options import RedisOptions, ReliableRedisOptions
from dlq_redis.schedules import RedisSchedules
from dlq_redis.store import RedisStore

__all__ = ["RedisBackend", "ReliableRedisBackend"]


class ReliableRedisBackend(QueueBackend):
    """Jobs on a Redis or Valkey server, each run at least once: what a lost worker had begun runs again."""

    options_class: ClassVar[type[RedisOptions]] = ReliableRedisOptions
    durabilities = tuple(Durability)

    def make_store(self) -> RedisStore:
        """The store on the server that ``OPTIONS`` describe."""
        options: RedisOptions = self.config
        settings: dict[str, Any] = {
            "prefix": options.prefix,
            "durability": options.durability,
            "max_results": options.max_results,
        }
        if options.outbox is None:
            return RedisStore(self.alias, options.server(), **settings)
        # Not before: Django makes backends while it imports tasks, when no model can be imported yet.
        from dlq_redis.outbox import OutboxStore

        return OutboxStore(self.alias, options.server(), database=options.outbox, **settings)

    def make_inspector(self) -> RedisInspector:
        """Reads the same keys."""
        store = self.make_store()
        if self.config.outbox is None:
            return RedisInspector(store)
        from dlq_redis.outbox import OutboxStore
        from dlq_redis.relaying import OutboxInspector

        assert isinstance(store, OutboxStore)
        return OutboxInspector(store)

    def make_schedules(self) -> RedisSchedules:
        """Fires into the same keys."""
        return RedisSchedules(self.make_store())


class RedisBackend(ReliableRedisBackend):
    """Jobs on a Redis or Valkey server, each run at most once: what a lost worker had begun has failed."""

    options_class = RedisOptions
