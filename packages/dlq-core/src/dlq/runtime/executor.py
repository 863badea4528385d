"""How a worker runs jobs: one at a time in the main thread, several in threads, or many on an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from functools import partial

from asgiref.sync import sync_to_async
from django.tasks.backends.base import BaseTaskBackend

from dlq.conf import WorkerPool
from dlq.job import Outcome
from dlq.runtime.connections import tidy_connections
from dlq.runtime.execution import Execution, Limiter, failure_of, load, run_job
from dlq.runtime.page import Page
from dlq.runtime.timeouts import AlarmTimeouts, CoroutineTimeout, ThreadTimeouts
from dlq.runtime.workload import Assignment, Workload

__all__ = ["CoroutineExecutor", "Executor", "InlineExecutor", "ThreadExecutor", "executor_for"]


def executor_for(
    pool: WorkerPool, workload: Workload, page: Page, backend: BaseTaskBackend, kill_after: float
) -> Executor:
    """The executor that a pool of workers asks for."""
    if pool.concurrency:
        return CoroutineExecutor(workload, page, backend, kill_after, pool.threads)
    if pool.threads > 1:
        return ThreadExecutor(workload, page, backend, kill_after)
    return InlineExecutor(workload, page, backend, kill_after)


class Executor(ABC):
    """Takes claims from a workload, runs them, and leaves their outcomes there."""

    def __init__(self, workload: Workload, page: Page, backend: BaseTaskBackend, kill_after: float) -> None:
        """``kill_after`` is the time in seconds between a task's timeout and the kill of this process."""
        self._workload = workload
        self._page = page
        self._backend = backend
        self._kill_after = kill_after

    @abstractmethod
    def serve(self) -> None:
        """Run jobs, from the main thread, until the workload is closed."""

    def ring(self) -> float | None:
        """Raise the soft timeouts that are due; seconds until the next is, None when that needs no call."""
        return None

    def _run(self, assignment: Assignment, limited: Limiter) -> None:
        """Run one job in this thread."""
        slot, began = self._page.start(assignment.claim), time.monotonic()
        tidy_connections()
        try:
            outcome = run_job(
                assignment.claim, assignment.history, self._backend, lambda e: self._limits(e, slot, limited)
            )
        except BaseException as error:
            # Not the task, which run_job answers for: a timeout that came a moment late, or a defect of ours.
            outcome = Outcome.failed(assignment.claim, failure_of(error))
        tidy_connections()
        self._page.finish(slot)
        self._workload.done(assignment.claim, outcome, time.monotonic() - began)

    @contextmanager
    def _limits(self, execution: Execution, slot: int, soft: Limiter) -> Iterator[None]:
        self._limit(execution, slot)
        # A coroutine has a limit of its own: its loop runs in another thread, which soft cannot interrupt.
        with nullcontext() if execution.is_coroutine else soft(execution):
            yield

    def _limit(self, execution: Execution, slot: int) -> None:
        if execution.timeout is not None:
            self._page.limit(slot, execution.began + execution.timeout + self._kill_after)
            execution.limit = partial(CoroutineTimeout, execution)


class InlineExecutor(Executor):
    """One job at a time, in the main thread of the process, where signals can interrupt it."""

    def serve(self) -> None:
        limited = AlarmTimeouts().limited
        while (assignment := self._workload.take()) is not None:
            self._run(assignment, limited)


class ThreadExecutor(Executor):
    """As many jobs at a time as there are slots, each in a thread."""

    def __init__(self, workload: Workload, page: Page, backend: BaseTaskBackend, kill_after: float) -> None:
        super().__init__(workload, page, backend, kill_after)
        self._timeouts = ThreadTimeouts(workload.wake)

    def ring(self) -> float | None:
        return self._timeouts.ring()

    def serve(self) -> None:
        threads = [
            threading.Thread(target=self._serve_slot, name=f"slot-{number}", daemon=True)
            for number in range(self._workload.slots)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _serve_slot(self) -> None:
        while (assignment := self._workload.take()) is not None:
            self._run(assignment, self._timeouts.limited)


class CoroutineExecutor(Executor):
    """Coroutine tasks together on one event loop; the others, beside it, in a few threads."""

    def __init__(
        self, workload: Workload, page: Page, backend: BaseTaskBackend, kill_after: float, threads: int
    ) -> None:
        """``threads`` is how many tasks that are not coroutines run at a time."""
        super().__init__(workload, page, backend, kill_after)
        self._timeouts = ThreadTimeouts(workload.wake)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="sync")

    def ring(self) -> float | None:
        return self._timeouts.ring()

    def serve(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop, startable = asyncio.get_running_loop(), asyncio.Event()
        self._workload.on_startable = partial(loop.call_soon_threadsafe, startable.set)
        running: set[asyncio.Task[None]] = set()
        startable.set()
        while not self._workload.closed:
            await startable.wait()
            startable.clear()
            while (assignment := self._workload.take_now()) is not None:
                task = loop.create_task(self._run_on_loop(assignment))
                running.add(task)
                task.add_done_callback(running.discard)
        self._workload.on_startable = lambda: None
        self._threads.shutdown()

    async def _run_on_loop(self, assignment: Assignment) -> None:
        claim = assignment.claim
        execution = load(claim, assignment.history, self._backend)
        if isinstance(execution, Execution) and not execution.is_coroutine:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, self._run, assignment, self._timeouts.limited)
            return
        slot, began = self._page.start(claim), time.monotonic()
        try:
            outcome = await self._await(execution, slot) if isinstance(execution, Execution) else execution
        except BaseException as error:
            outcome = Outcome.failed(claim, failure_of(error))  # As in _run.
        if outcome.failure is not None:
            # All coroutines share the connections of one thread; to look at them there takes a while.
            with suppress(asyncio.CancelledError):
                await sync_to_async(tidy_connections)()
        self._page.finish(slot)
        self._workload.done(claim, outcome, time.monotonic() - began)

    async def _await(self, execution: Execution, slot: int) -> Outcome:
        execution.start()
        self._limit(execution, slot)
        try:
            return execution.succeeded(await execution.acall())
        except BaseException as exception:
            # Also SystemExit and KeyboardInterrupt, which would end the loop, and a cancellation of its own.
            return execution.raised(exception)
