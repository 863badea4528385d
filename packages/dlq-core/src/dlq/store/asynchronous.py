"""``AsyncStore``: what a store offers to coroutines, if it can be asked without a thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from dlq.job import Enqueued, JobRecord, NewJob

__all__ = ["AsyncStore"]


class AsyncStore(ABC):
    """The calls of clients, of which many may wait for the store at once on one event loop.

    Each does what the verb of ``Store`` with the same name does.
    """

    @abstractmethod
    async def enqueue(self, jobs: Sequence[NewJob], *, now: datetime | None = None) -> Enqueued:
        """See ``Store.enqueue``. Whoever is cancelled while it waits does not know whether the jobs are stored."""

    @abstractmethod
    async def get(self, ids: Collection[UUID]) -> list[JobRecord]:
        """See ``Store.get``."""
