"""The one door in front of every store: whoever wants to count or time its calls listens here."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from dlq.job import Cancelled, Claim, Edit, Enqueued, Exchanged, JobRecord, NewJob, Note, Outcome
from dlq.signals import store_called
from dlq.states import State
from dlq.store.asynchronous import AsyncStore
from dlq.store.base import CANCELLABLE, Store, Version
from dlq.workers import Order, RunnerInfo, Sight, WorkerInfo, WorkerRef

__all__ = ["InstrumentedStore"]


class InstrumentedStore(Store):
    """A store that reports each of its calls through ``dlq.signals.store_called``."""

    def __init__(self, store: Store) -> None:
        """Wrap ``store``; nothing else may call it."""
        self.wrapped = store
        self.alias = store.alias
        self.database = store.database

    def _report[**P, R](self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        if not store_called.receivers:
            return call(*args, **kwargs)
        began = time.monotonic()
        reply, error = None, None
        try:
            reply = call(*args, **kwargs)
            return reply
        except Exception as raised:
            error = raised
            raise
        finally:
            self._tell(call.__name__, args, reply, error, time.monotonic() - began)

    def _tell(
        self, verb: str, arguments: tuple[Any, ...], reply: object, error: Exception | None, seconds: float
    ) -> None:
        store_called.send_robust(
            type(self.wrapped),
            alias=self.alias,
            verb=verb,
            arguments=arguments,
            reply=reply,
            error=error,
            seconds=seconds,
        )

    async def _areport[**P, R](self, call: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        if not store_called.receivers:
            return await call(*args, **kwargs)
        began = time.monotonic()
        reply, error = None, None
        try:
            reply = await call(*args, **kwargs)
            return reply
        except Exception as raised:
            error = raised
            raise
        finally:
            self._tell(call.__name__, args, reply, error, time.monotonic() - began)

    @property
    def asynchronous(self) -> AsyncStore | None:
        wrapped = self.wrapped.asynchronous
        return None if wrapped is None else _InstrumentedAsync(wrapped, self._areport)

    def enqueue(self, jobs: Sequence[NewJob], *, now: datetime | None = None) -> Enqueued:
        return self._report(self.wrapped.enqueue, jobs, now=now)

    def get(self, ids: Collection[UUID]) -> list[JobRecord]:
        return self._report(self.wrapped.get, ids)

    def exchange(
        self,
        worker: WorkerRef,
        outcomes: Sequence[Outcome],
        queues: Sequence[str],
        limit: int,
        *,
        now: datetime | None = None,
    ) -> Exchanged:
        return self._report(self.wrapped.exchange, worker, outcomes, queues, limit, now=now)

    def waiting(self, *, now: datetime | None = None) -> list[str]:
        return self._report(self.wrapped.waiting, now=now)

    def listen(self, timeout: float) -> frozenset[str] | None:
        """Reported only when it has heard something, or has failed, and as if it had taken no time.

        Waiting is no work of the store's: it must show up neither as calls of a runner that idles, nor as a slow store.
        """
        heard, error = None, None
        try:
            heard = self.wrapped.listen(timeout)
            return heard
        except Exception as raised:
            error = raised
            raise
        finally:
            if heard or error:
                self._tell("listen", (timeout,), heard, error, 0.0)

    def reconcile(
        self, worker: WorkerRef, held: Collection[tuple[UUID, int]], *, now: datetime | None = None
    ) -> WorkerRef:
        return self._report(self.wrapped.reconcile, worker, held, now=now)

    def annotate(self, notes: Sequence[Note], *, now: datetime | None = None) -> list[UUID]:
        return self._report(self.wrapped.annotate, notes, now=now)

    def unpark(self, tasks: Collection[Version], *, now: datetime | None = None) -> int:
        return self._report(self.wrapped.unpark, tasks, now=now)

    def parked(self) -> list[Version]:
        return self._report(self.wrapped.parked)

    def register_runner(self, runner: RunnerInfo, *, now: datetime | None = None) -> None:
        return self._report(self.wrapped.register_runner, runner, now=now)

    def register_worker(self, worker: WorkerInfo, *, now: datetime | None = None) -> WorkerRef:
        return self._report(self.wrapped.register_worker, worker, now=now)

    def unregister_worker(self, worker: str) -> None:
        return self._report(self.wrapped.unregister_worker, worker)

    def beat(self, runner: str, *, now: datetime | None = None) -> dict[str, int]:
        return self._report(self.wrapped.beat, runner, now=now)

    def retire(self, runner: str, beat: int | None = None) -> bool:
        return self._report(self.wrapped.retire, runner, beat)

    def held(self, worker: str, limit: int) -> list[Claim]:
        return self._report(self.wrapped.held, worker, limit)

    def orphans(self, limit: int) -> list[Claim]:
        return self._report(self.wrapped.orphans, limit)

    def pause(self, queue: str, until: datetime | None = None, *, now: datetime | None = None) -> None:
        return self._report(self.wrapped.pause, queue, until, now=now)

    def resume(self, queue: str) -> bool:
        return self._report(self.wrapped.resume, queue)

    def cancel(
        self,
        ids: Collection[UUID],
        reason: str,
        *,
        states: Collection[State] = CANCELLABLE,
        now: datetime | None = None,
    ) -> Cancelled:
        return self._report(self.wrapped.cancel, ids, reason, states=states, now=now)

    def retry(
        self,
        ids: Collection[UUID],
        *,
        edits: Mapping[UUID, Edit] | None = None,
        now: datetime | None = None,
    ) -> list[UUID]:
        return self._report(self.wrapped.retry, ids, edits=edits, now=now)

    def instruct(self, worker: str, order: Order) -> int | None:
        return self._report(self.wrapped.instruct, worker, order)

    def heed(self, worker: str, number: int) -> None:
        return self._report(self.wrapped.heed, worker, number)

    def look(self, runner: str, limit: int, *, now: datetime | None = None) -> Sight:
        return self._report(self.wrapped.look, runner, limit, now=now)

    def admit(self, limit: int, *, now: datetime | None = None) -> int:
        return self._report(self.wrapped.admit, limit, now=now)

    def prune(
        self,
        state: State,
        older_than: float | None,
        limit: int,
        *,
        task: str | None = None,
        now: datetime | None = None,
    ) -> int:
        return self._report(self.wrapped.prune, state, older_than, limit, task=task, now=now)

    def ping(self) -> None:
        return self._report(self.wrapped.ping)

    # These two ask the store nothing: there is no call to report.

    def dedicate(self) -> None:
        self.wrapped.dedicate()

    def close(self) -> None:
        self.wrapped.close()


class _InstrumentedAsync(AsyncStore):
    """The same door for coroutines."""

    def __init__(self, wrapped: AsyncStore, report: Any) -> None:
        self._wrapped = wrapped
        self._report = report

    async def enqueue(self, jobs: Sequence[NewJob], *, now: datetime | None = None) -> Enqueued:
        enqueued: Enqueued = await self._report(self._wrapped.enqueue, jobs, now=now)
        return enqueued

    async def get(self, ids: Collection[UUID]) -> list[JobRecord]:
        records: list[JobRecord] = await self._report(self._wrapped.get, ids)
        return records
