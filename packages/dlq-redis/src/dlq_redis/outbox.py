"""``OutboxStore``: an enqueue is part of the caller's transaction, in a table that is relayed to Redis.

A job is relayed once. A relay deletes rows, tells Redis, and commits: whoever dies before the commit leaves the rows,
and the next one relays them again. That changes nothing, for Redis remembers what was relayed until it is told that the
rows are gone, longer than any result is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import Error, ProgrammingError, connections, transaction
from django.db.models import Count

from dlq.errors import StoreError, StoreNotReady, StoreUnavailable
from dlq.job import Enqueued, JobRecord, NewJob
from dlq.logs import get_logger
from dlq.states import State
from dlq_redis.clock import ticks_in
from dlq_redis.data import new_job_of, packed_data, packed_head
from dlq_redis.failures import translated
from dlq_redis.models import Outgoing
from dlq_redis.store import RedisStore

__all__ = ["BATCH", "OutboxStore"]

logger = get_logger("dlq.redis")

BATCH = 500
FORGOTTEN_AFTER = 60.0
"""Seconds after which somebody looks whether a job that was relayed has left the outbox."""


class OutboxStore(RedisStore):
    """Jobs in Redis, by way of a table in ``database``."""

    database: str

    def __init__(self, *args: Any, database: str, **kwargs: Any) -> None:
        """See RedisStore; ``database`` is an entry of ``DATABASES``."""
        super().__init__(*args, **kwargs)
        self.database = database

    # --- Clients ---

    @property
    def asynchronous(self) -> None:
        """Nothing: coroutines cannot ask the database."""

    def enqueue(self, jobs: Sequence[NewJob], *, now: datetime | None = None) -> Enqueued:
        """Whether a job is a duplicate is decided when it is relayed."""
        at = now or datetime.now(UTC)
        with translated(self.server.name):
            rows = [
                Outgoing(
                    id=job.id,
                    backend=self.alias,
                    queue=job.queue,
                    head=packed_head(job),
                    data=packed_data(job),
                    enqueued_at=at,
                )
                for job in jobs
            ]
        with self._database_errors():
            Outgoing.objects.using(self.database).bulk_create(rows, ignore_conflicts=True)
        soon = partial(self._relay_soon, [job.id for job in jobs])
        transaction.on_commit(soon, using=self.database, robust=True)
        return Enqueued(at=at)

    def get(self, ids: Collection[UUID]) -> list[JobRecord]:
        with self._database_errors():  # First: what leaves the outbox meanwhile is found in Redis.
            outgoing = list(self._outgoing().filter(pk__in=list(ids)))
        found = super().get(ids)
        known = {record.id for record in found}
        return found + [_record_of(row) for row in outgoing if row.pk not in known]

    def _relay_soon(self, ids: Collection[UUID]) -> None:
        """What was committed just now need not wait for a runner; if this fails, it does."""
        try:
            self.relay(ids)
        except StoreError as error:
            logger.info("A runner will relay %d jobs of %r: %s", len(ids), self.alias, error)

    # --- The relay ---

    def relay(self, ids: Collection[UUID] | None = None) -> int:
        """Tell Redis of these jobs, or of the oldest in the outbox; returns how many.

        Raises StoreError; nothing is lost then.
        """
        with self._database_errors(), transaction.atomic(using=self.database):
            chosen = self._outgoing() if ids is None else self._outgoing().filter(pk__in=list(ids))
            rows = list(self._locked(chosen.order_by("pk"))[:BATCH])
            if not rows:
                return 0
            # First: it is what keeps others away where rows cannot be locked.
            self._outgoing().filter(pk__in=[row.pk for row in rows]).delete()
            self.call("relay", None, *(part for row in rows for part in (bytes(row.head), bytes(row.data))))
        self.call("relayed", None, *(row.pk.bytes for row in rows))
        return len(rows)

    def forget(self) -> None:
        """Put right what a relay has left behind that died after its commit.

        Raises StoreError.
        """
        told = (ticks_in(FORGOTTEN_AFTER), BATCH)
        ids = [UUID(bytes=id) for id in self.call("relayed_before", None, *told)]
        if ids:
            with self._database_errors():
                there = set(self._outgoing().filter(pk__in=ids).values_list("pk", flat=True))
            self.call("relayed", None, *(id.bytes for id in ids if id not in there))

    def waiting_by_queue(self) -> dict[str, int]:
        """How many jobs of each queue are in the outbox.

        Raises StoreError.
        """
        with self._database_errors():
            return dict(self._outgoing().values_list("queue").annotate(Count("pk")).order_by("queue"))

    # --- The database ---

    def close(self) -> None:
        super().close()
        connections[self.database].close()

    def _outgoing(self) -> Any:
        return Outgoing.objects.using(self.database).filter(backend=self.alias)

    def _locked(self, rows: Any) -> Any:
        skip = connections[self.database].features.has_select_for_update_skip_locked
        return rows.select_for_update(skip_locked=skip)

    @contextmanager
    def _database_errors(self) -> Iterator[None]:
        where = f"the outbox in the database {self.database!r}"
        connection = connections[self.database]
        try:
            yield
        except Error as error:
            if not connection.in_atomic_block:
                connection.close()
            if isinstance(error, ProgrammingError) or "no such table" in str(error):
                raise StoreNotReady(
                    f"{where} failed ({error}). Is 'dlq_redis' in INSTALLED_APPS? Run: manage.py migrate --database "
                    f"{self.database}"
                ) from error
            raise StoreUnavailable(f"{where} did not answer: {error}") from error


def _record_of(row: Outgoing) -> JobRecord:
    job = new_job_of(bytes(row.head), bytes(row.data))
    waits = job.run_after is not None and job.run_after > row.enqueued_at
    return JobRecord(
        id=job.id,
        state=State.SCHEDULED if waits else State.READY,
        task=job.task,
        queue=job.queue,
        payload=job.payload,
        priority=job.priority,
        run_after=job.run_after,
        enqueued_at=row.enqueued_at,
        due_at=job.run_after if waits else None,
        started_at=None,
        finished_at=None,
        worker=None,
        token=0,
        attempts=0,
        interruptions=0,
        max_attempts=job.max_attempts,
        max_interruptions=job.max_interruptions,
        overrides=job.overrides,
        result=None,
        metadata=job.metadata,
    )
