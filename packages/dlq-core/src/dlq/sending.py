"""``Sending``: how prepared jobs get into the store, now or with the commit of a transaction, and who is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.tasks.signals import log_task_enqueued, task_enqueued

from dlq import payload
from dlq.errors import EnqueueError, EnqueueUnanswered, StoreError, StoreUnavailable, UnknownTask
from dlq.job import Enqueued, JobRecord, NewJob
from dlq.middleware import MiddlewareJob, chain
from dlq.on_commit import SendOnCommit, open_transaction
from dlq.result import TaskResult, reject, result_of
from dlq.states import State
from dlq.task import Task
from dlq.tracing import sending

if TYPE_CHECKING:
    from dlq.store.asynchronous import AsyncStore
    from dlq.store.instrumented import InstrumentedStore

__all__ = ["Prepared", "Sending"]

type Prepared = tuple[NewJob, TaskResult[..., Any]]
"""A job that is ready to be stored, and what its caller gets."""


class Sending:
    """The half of a backend that hands prepared jobs over."""

    alias: str

    if TYPE_CHECKING:

        @property
        def config(self) -> Any: ...

        @property
        def store(self) -> InstrumentedStore: ...

    def _by_transaction(self, prepared: list[Prepared]) -> dict[str | None, list[Prepared]]:
        """Which jobs wait for the commit on which database; None for those that are sent now."""
        database = open_transaction(self.store.database)
        elsewhere = None if database == self.store.database else database
        batches: dict[str | None, list[Prepared]] = {}
        for job, result in prepared:
            waits = result.task.enqueue_on_commit if isinstance(result.task, Task) else None
            if waits is None:
                waits = self.config.enqueue_on_commit
            batches.setdefault(elsewhere if waits else None, []).append((job, result))
        return batches

    def _dispatch(self, batches: dict[str | None, list[Prepared]]) -> None:
        chain()  # So that middleware that cannot be built is found before a job is stored.
        with sending(self.alias, _jobs_of(batches)) as jobs:
            batches = _as_traced(batches, jobs)
            # First: when the store refuses these, the others must not be sent either.
            if now := batches.pop(None, None):
                self._send(now)
            self._send_on_commit(batches)

    def _send_on_commit(self, batches: dict[str | None, list[Prepared]]) -> None:
        for database, batch in batches.items():
            results = [result for _, result in batch]
            transaction.on_commit(SendOnCommit(partial(self._send, batch), results), using=database)

    def _send(self, batch: list[Prepared]) -> None:
        try:
            enqueued = self._hand_over([job for job, _ in batch])
        except StoreError as error:
            raise self._refusal(batch, error) from error
        self._announce(batch, enqueued)

    def _hand_over(self, jobs: list[NewJob]) -> Enqueued:
        """Give jobs to the store."""
        return self.store.enqueue(jobs)

    def _refusal(self, batch: list[Prepared], error: StoreError) -> EnqueueError:
        if not isinstance(error, StoreUnavailable):
            return EnqueueError(f"Nothing was enqueued: {error}")
        return EnqueueUnanswered([result.id for _, result in batch], error, partial(self._send, batch))

    def _announce(self, batch: list[Prepared], enqueued: Enqueued) -> None:
        """Complete the results of jobs that the store has taken, and tell those who listen of those that may run."""
        enqueued_at = enqueued.at
        for job, result in batch:
            if (other := enqueued.duplicates.get(job.id)) is not None:
                reject(result, other, enqueued_at)
                continue
            later = job.run_after is not None and job.run_after > enqueued_at
            object.__setattr__(result, "enqueued_at", enqueued_at)
            waiting = State.READY if job.limits is None else State.BLOCKED
            object.__setattr__(result, "state", State.SCHEDULED if later else waiting)
            if job.expires_after is not None:
                expires_at = enqueued_at + timedelta(seconds=job.expires_after)
                object.__setattr__(result, "expires_at", expires_at)
            task_enqueued.send(type(self), task_result=result)
            if middleware := chain():
                created = MiddlewareJob(result.id, result.task, result.args, result.kwargs, enqueued_at)
                middleware.enqueued(created, job.queue)

    def announce(self, jobs: Iterable[NewJob], enqueued_at: datetime) -> None:
        """Tell signals and middleware of jobs that were stored in other ways than by ``enqueue``.

        They hear nothing of jobs whose task cannot be imported here.
        """
        for job in jobs:
            try:
                result = result_of(_record_of(job, enqueued_at), self.alias)
            except UnknownTask:
                continue
            self._announce([(job, result)], Enqueued(at=enqueued_at))

    # --- For coroutines ---

    async def _adispatch(self, store: AsyncStore, batches: dict[str | None, list[Prepared]]) -> None:
        chain()  # So that middleware that cannot be built is found before a job is stored.
        with sending(self.alias, _jobs_of(batches)) as jobs:
            batches = _as_traced(batches, jobs)
            if now := batches.pop(None, None):
                await self._asend(store, now)
            self._send_on_commit(batches)

    async def _asend(self, store: AsyncStore, batch: list[Prepared]) -> None:
        enqueued = await self._ahand_over(store, batch)
        if _is_heard():
            # Whoever listens may want a database, which coroutines cannot ask.
            await sync_to_async(self._announce, thread_sensitive=True)(batch, enqueued)
        else:
            self._announce(batch, enqueued)

    async def _ahand_over(self, store: AsyncStore, batch: list[Prepared]) -> Enqueued:
        try:
            return await store.enqueue([job for job, _ in batch])
        except StoreError as error:
            raise self._refusal(batch, error) from error


type _Batches = dict[str | None, list[Prepared]]


def _jobs_of(batches: _Batches) -> list[NewJob]:
    return [job for batch in batches.values() for job, _ in batch]


def _as_traced(batches: _Batches, jobs: Sequence[NewJob]) -> _Batches:
    """The batches with these jobs in the place of theirs, which are the same but for metadata."""
    following = iter(jobs)
    return {
        database: [_with_job(result, job, next(following)) for job, result in batch]
        for database, batch in batches.items()
    }


def _with_job(result: TaskResult[..., Any], job: NewJob, traced: NewJob) -> Prepared:
    if traced is not job:
        object.__setattr__(result, "metadata", payload.decode_value(traced.metadata) or {})
    return traced, result


def _is_heard() -> bool:
    """Whether anybody but Django's own log hears of enqueued jobs."""
    return bool(chain()) or any(key[0] != id(log_task_enqueued) for key, *_ in task_enqueued.receivers)


def _record_of(job: NewJob, enqueued_at: datetime) -> JobRecord:
    """A new job, as the store has it."""
    return JobRecord(
        id=job.id,
        state=State.READY,
        task=job.task,
        queue=job.queue,
        payload=job.payload,
        priority=job.priority,
        run_after=job.run_after,
        enqueued_at=enqueued_at,
        due_at=None,
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
