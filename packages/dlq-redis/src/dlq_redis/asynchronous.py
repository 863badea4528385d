"""``AsyncRedisStore``: the calls of clients by coroutines, with the scripts of ``RedisStore``."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from dlq.job import Enqueued, JobRecord, NewJob
from dlq.store import AsyncStore
from dlq_redis.replies import enqueued_of, records_of

if TYPE_CHECKING:
    from dlq_redis.store import RedisStore

__all__ = ["AsyncRedisStore"]


class AsyncRedisStore(AsyncStore):
    """On connections of the running event loop."""

    def __init__(self, store: RedisStore) -> None:
        """The same jobs as those of ``store``."""
        self._store = store

    async def enqueue(self, jobs: Sequence[NewJob], *, now: datetime | None = None) -> Enqueued:
        if self._store.is_durable(jobs):
            # It takes as long as a disk does: a thread is the least of it.
            return await asyncio.to_thread(partial(self._store.enqueue, jobs, now=now))
        return enqueued_of(await self._store.acall("enqueue", now, *self._store.packed(jobs)))

    async def get(self, ids: Collection[UUID]) -> list[JobRecord]:
        return list(records_of(await self._store.acall("get", None, 1, *(id.bytes for id in set(ids)))))
