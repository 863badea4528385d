"""How a worker runs jobs: one at a time in the main thread, several in threads, or many on an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connections
from django.tasks.backends.base import BaseTaskBackend

from dlq.conf import WorkerPool
from dlq.job import Claim, Failure, Outcome
from dlq.logs import get_logger
from dlq.runtime.connections import tidy_connections
from dlq.runtime.event_loop import Footprint, prepared_loop
from dlq.runtime.execution import Execution, load
from dlq.runtime.failures import failure_of
from dlq.runtime.interrupts import AlarmInterrupts, CoroutineInterrupts, Interrupts, ThreadInterrupts
from dlq.runtime.isolation import OWN_THREADS, Home, ignore_timers, warn
from dlq.runtime.page import Page
from dlq.runtime.workload import Assignment, Workload

__all__ = ["CoroutineExecutor", "Executor", "InlineExecutor", "ThreadExecutor", "executor_for"]

logger = get_logger("dlq.worker")


def executor_for(
    pool: WorkerPool,
    workload: Workload,
    page: Page,
    backend: BaseTaskBackend,
    kill_after: float,
    *,
    main_thread: bool = True,
) -> Executor:
    """The executor that a pool of workers asks for.

    Without the ``main_thread``, whose process it shares with others, it uses no signals, and leaves what belongs to
    the whole process alone.
    """
    if pool.concurrency:
        return CoroutineExecutor(workload, page, backend, kill_after, pool.threads, owns_process=main_thread)
    if pool.threads > 1 or not main_thread:
        return ThreadExecutor(workload, page, backend, kill_after, owns_process=main_thread)
    return InlineExecutor(workload, page, backend, kill_after)


class Executor(ABC):
    """Takes claims from a workload, runs them, and leaves their outcomes there."""

    def __init__(
        self,
        workload: Workload,
        page: Page,
        backend: BaseTaskBackend,
        kill_after: float,
        *,
        owns_process: bool = True,
    ) -> None:
        """``kill_after`` is the time in seconds between an interruption of a task and the kill of this process.

        ``owns_process``: what tasks change in this process is put back.
        """
        self._workload = workload
        self._page = page
        self._backend = backend
        self._kill_after = kill_after
        self._owns_process = owns_process
        self._home: Home | None = None
        self._running: dict[tuple[UUID, int], tuple[Execution, int]] = {}
        """With their slots on the page."""
        self._lock = threading.Lock()

    @abstractmethod
    def serve(self) -> None:
        """Run jobs, from the main thread, until the workload is closed."""

    def ring(self) -> float | None:
        """Raise the soft timeouts that are due; seconds until the next is, None when that needs no call."""
        return None

    def cancel(self, id: UUID, token: int, reason: str) -> None:
        """Have a job that this worker holds end as cancelled; harmless when repeated, or when it has ended.

        If it runs, its task is told: ``should_stop`` turns true, and JobCancelled is raised in it. If it has not
        ended some seconds later, the parent kills this process.
        """
        if self._workload.cancel(id, token, reason):
            return
        with self._lock:
            execution, slot = self._running.get((id, token), (None, 0))
            if execution is None or execution.cancel_reason is not None:
                return
            execution.cancel_reason = reason
            self._page.limit(slot, time.monotonic() + self._kill_after, "cancelled")
            execution.interrupt()

    @contextmanager
    def _at_home(self) -> Iterator[None]:
        """Jobs in the block find the process as it is now."""
        if not self._owns_process:
            yield
            return
        if not isinstance(self, InlineExecutor):
            ignore_timers()
        self._home = Home(shared=self._workload.slots > 1)
        try:
            yield
        finally:
            self._home.close()

    # --- One job ---

    def _run(self, assignment: Assignment, interrupts: Interrupts) -> None:
        """Run one job in this thread."""
        claim = assignment.claim
        slot, began = self._page.start(claim), time.monotonic()
        try:
            tidy_connections()
            execution = load(claim, assignment.history, self._backend)
            if isinstance(execution, Outcome):
                outcome = execution
            else:
                self._begin(execution, slot)
                outcome = copy_context().run(execution.run, interrupts)
            tidy_connections()
        except BaseException as error:
            # Not the task, which Execution.run answers for: a defect of ours. Nothing here may raise again.
            outcome = _defect(claim, error)
        self._end(claim, slot, outcome, began)

    def _begin(self, execution: Execution, slot: int) -> None:
        """Let the parent, the control thread and the task know of each other."""
        claim = execution.claim
        execution.began = time.monotonic()
        execution.is_worker_stopping = lambda: self._workload.is_stopping
        execution.notebook.listen(self._workload.noted)
        if self._home is not None:
            execution.tidy = partial(self._restore, claim)
        if execution.is_coroutine:
            execution.limit = CoroutineInterrupts
        if execution.is_expendable:
            self._page.give_up_on_stop(slot)
        if execution.timeout is not None:
            self._page.limit(slot, execution.ends_at + self._kill_after)
        with self._lock:
            self._running[claim.id, claim.token] = execution, slot

    def _restore(self, claim: Claim) -> None:
        assert self._home is not None
        alone = self._workload.slots == 1 or self._workload.counts()[1] == 1
        self._home.restore(claim, alone=alone)

    def _end(self, claim: Claim, slot: int, outcome: Outcome, began: float) -> None:
        with self._lock:  # Whoever cancels must not meet the next job in this slot.
            self._running.pop((claim.id, claim.token), None)
            self._page.finish(slot)
        self._workload.done(claim, outcome, time.monotonic() - began)


class InlineExecutor(Executor):
    """One job at a time, in the main thread of the process, where signals can interrupt it."""

    def serve(self) -> None:
        interrupts = AlarmInterrupts()
        try:
            with self._at_home():
                while (assignment := self._workload.take()) is not None:
                    self._run(assignment, interrupts)
        finally:
            interrupts.release()


class ThreadExecutor(Executor):
    """As many jobs at a time as there are slots, each in a thread."""

    def __init__(
        self,
        workload: Workload,
        page: Page,
        backend: BaseTaskBackend,
        kill_after: float,
        *,
        owns_process: bool = True,
    ) -> None:
        super().__init__(workload, page, backend, kill_after, owns_process=owns_process)
        self._interrupts = ThreadInterrupts(workload.wake)

    def ring(self) -> float | None:
        return self._interrupts.ring()

    def serve(self) -> None:
        threads = [
            threading.Thread(target=self._serve_slot, name=f"{OWN_THREADS}-{number}", daemon=True)
            for number in range(self._workload.slots)
        ]
        with self._at_home():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _serve_slot(self) -> None:
        while (assignment := self._workload.take()) is not None:
            self._run(assignment, self._interrupts)
        connections.close_all()  # The process may go on without this thread.


class CoroutineExecutor(Executor):
    """Coroutine tasks together on one event loop; the others, beside it, in a few threads.

    A function that waits for one of these threads holds a slot meanwhile: where there are many, a pool of their own
    serves them better.
    """

    def __init__(
        self,
        workload: Workload,
        page: Page,
        backend: BaseTaskBackend,
        kill_after: float,
        threads: int,
        *,
        owns_process: bool = True,
    ) -> None:
        """``threads`` is how many tasks that are not coroutines run at a time."""
        super().__init__(workload, page, backend, kill_after, owns_process=owns_process)
        self._interrupts = ThreadInterrupts(workload.wake)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=OWN_THREADS)

    def ring(self) -> float | None:
        return self._interrupts.ring()

    def serve(self) -> None:
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            serving = loop.create_task(self._serve())
            while not serving.done():
                try:
                    loop.run_until_complete(serving)
                except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
                    # What a job has made exits, or stops the loop: asyncio lets that through, and its own future
                    # has it too. The other jobs are none the wiser.
                    if serving.done():
                        raise
                    logger.warning("A job wanted to end its event loop, which goes on: %r", error)

    async def _serve(self) -> None:
        loop, startable = asyncio.get_running_loop(), asyncio.Event()
        self._workload.on_startable = lambda: startable.is_set() or loop.call_soon_threadsafe(startable.set)
        running: set[asyncio.Task[None]] = set()
        startable.set()
        with prepared_loop(), self._at_home():
            while not self._workload.closed:
                await _patiently(startable)
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
            await loop.run_in_executor(self._threads, self._run, assignment, self._interrupts)
            return
        slot, began, footprint = self._page.start(claim), time.monotonic(), Footprint()
        try:
            if isinstance(execution, Execution):
                self._begin(execution, slot)
                outcome = await execution.arun()
            else:
                outcome = execution
        except BaseException as error:
            outcome = _defect(claim, error)  # As in _run.
        if footprint.used_thread:
            # Only there: all coroutines share its connections, and to look at them takes a while.
            with suppress(asyncio.CancelledError):
                await sync_to_async(tidy_connections)()
        if names := footprint.left():
            warn("Job %s %s left tasks running on the event loop: %s.", claim, ", ".join(names))
        self._end(claim, slot, outcome, began)


async def _patiently(startable: asyncio.Event) -> None:
    """Wait, even if a job cancels all that its loop runs."""
    while True:
        try:
            await startable.wait()
            return
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None:
                task.uncancel()


def _defect(claim: Claim, error: BaseException) -> Outcome:
    """The outcome of a job that we could not run, or not report on."""
    with suppress(Exception):
        logger.error("Job %s %s met a defect: %r", claim.id, claim.task, error)
    try:
        return Outcome.failed(claim, failure_of(error))
    except BaseException as worse:
        return Outcome.failed(
            claim, Failure(exception=type(error).__qualname__, traceback=type(worse).__qualname__)
        )
