"""The relay of an outbox: a service of every runner, beside the upkeep, which a slow database must not hold up."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from django.db import connections

from dlq.backend import queue_backend
from dlq.errors import StoreError
from dlq.runtime.options import RunnerOptions
from dlq.services import Service
from dlq.states import State
from dlq.store import QueueCounts
from dlq_redis.backends import ReliableRedisBackend
from dlq_redis.inspector import RedisInspector
from dlq_redis.outbox import BATCH, OutboxStore

__all__ = ["OutboxInspector", "Relay", "relays_for"]


class Relay(Service):
    """Tells Redis what is in the outbox of a backend. As many may run as like, anywhere."""

    def __init__(self, store: OutboxStore, every: float) -> None:
        """``every`` are the seconds between two looks at the outbox."""
        self.name = f"outbox-{store.alias}"
        self._store = store
        self._every = every

    def step(self) -> float:
        """Relay a batch; returns 0 if there may be more, else the seconds until the next look."""
        connections[self._store.database].close_if_unusable_or_obsolete()
        if self._store.relay() == BATCH:
            return 0.0
        self._store.forget()
        return self._every

    def close(self) -> None:
        """Give the connections back."""
        with suppress(StoreError):
            self._store.close()


def relays_for(options: RunnerOptions) -> Iterator[Relay]:
    """One relay for each backend of a runner that has an outbox, unless the runner leaves upkeep to others."""
    for alias in options.aliases if options.upkeep else ():
        backend = queue_backend(alias)
        if isinstance(backend, ReliableRedisBackend) and isinstance(
            store := backend.make_store(), OutboxStore
        ):
            yield Relay(store, backend.config.poll_interval)


class OutboxInspector(RedisInspector):
    """Counts what is in the outbox too: a runner that works until nothing is left waits for it."""

    def __init__(self, store: OutboxStore) -> None:
        """Read the keys of ``store``, and its table."""
        super().__init__(store)
        self._outbox = store

    def counts(
        self, queues: Collection[str] | None = None, *, limit: int | None = None, now: datetime | None = None
    ) -> list[QueueCounts]:
        # First: what is relayed meanwhile is counted twice, and not passed over.
        outgoing = self._outbox.waiting_by_queue()
        counted = {counts.queue: counts for counts in super().counts(queues, limit=limit, now=now)}
        for queue, waiting in outgoing.items():
            if queues is None or queue in queues:
                known = counted.setdefault(queue, QueueCounts(queue=queue, states={}))
                ready = known.states.get(State.READY, 0) + waiting
                counted[queue] = replace(known, states={**known.states, State.READY: ready})
        return [counted[queue] for queue in sorted(counted)]
