"""``ThreadedWorker``: a worker whose two sides are threads of a process that does other things as well."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import ClassVar

from dlq.backend import QueueBackend
from dlq.conf import WorkerPool
from dlq.hooks import Process, run_hooks
from dlq.logs import get_logger
from dlq.runtime.child import StopHooks
from dlq.runtime.executor import executor_for
from dlq.runtime.page import Gate, Page, Why
from dlq.runtime.rescue import DeadWorker
from dlq.runtime.worker import Worker
from dlq.runtime.workload import Workload
from dlq.workers import Order, Sight, WorkerInfo

__all__ = ["Abandoned", "ThreadedWorker"]

logger = get_logger("dlq.worker")

LOOK_EVERY = 1.0
"""Seconds between two looks for jobs that ignore their limits, and for those that want to run alone."""


class Abandoned(Exception):
    """The worker ends without waiting for what runs."""


class ThreadedWorker:
    """One worker, from its registration to its end. ``run`` talks to the store; ``serve`` runs jobs beside it."""

    def __init__(
        self,
        info: WorkerInfo,
        pool: WorkerPool,
        backend: QueueBackend,
        kill_after: float,
        *,
        in_main_thread: bool,
        gate: Gate = Gate.OPEN,
        arbitrate: Callable[[], object] = lambda: None,
    ) -> None:
        """``in_main_thread`` says that ``serve`` will be called in the main thread of the process.

        ``gate`` is what it may start at first; ``arbitrate`` is called about once a second, and may change that.
        """
        self.info = info
        self._page = _UnguardedPage(pool.slots)
        self._page.gate = gate
        self._workload = Workload(pool.slots, self._page)
        self._executor = executor_for(
            pool, self._workload, self._page, backend, kill_after, main_thread=in_main_thread
        )
        self._worker = Worker(
            info,
            pool,
            backend.store,
            backend.config,
            self._workload,
            self._executor,
            supervise=self._supervise,
            told=True,
        )
        self._process = Process(name=info.id, kind="worker", pid=os.getpid())
        self._told_to_stop = StopHooks(self._process)
        self._arbitrate = arbitrate
        self._store = backend.store
        self._ending: BaseException | None = None
        """What the control thread is to raise, once all that has ended is settled."""
        self._looked_at = 0.0
        self._overdue: set[tuple[object, int]] = set()
        """The jobs that were named because they ignore their limits."""

    # --- Its two threads ---

    def run(self) -> None:
        """Work until it is told to stop, and everything is settled or handed back.

        Raises Abandoned after ``abandon``, and whatever a defect of ours raised in one of its threads. ``remains``
        then says what is to be taken back.
        """
        run_hooks("worker.start", self._process)
        try:
            self._worker.run()
        except BaseException:
            self._workload.close()
            self._store.close()
            raise
        finally:
            run_hooks("worker.exit", self._process)

    def serve(self) -> None:
        """Run jobs until the worker has ended, and those that it left running have as well."""
        try:
            self._executor.serve()
        except BaseException as error:
            self._end(error)

    # --- Called from other threads ---

    def stop(self) -> None:
        """See ``Worker.stop``."""
        self._worker.stop()

    def abandon(self) -> None:
        """End without waiting for what runs."""
        self._end(Abandoned())

    def hear(self, sight: Sight) -> Order | None:
        """Take note of what concerns this worker; returns an order that holds for its successors too."""
        self._worker.hear({"ready": sight.ready, "paused": sight.paused})
        for job in sight.cancellations:
            if job.worker == self.info.id:
                self._worker.hear({"cancel": str(job.id), "token": job.token, "reason": job.reason})
        lasting = None
        for told in sight.instructions:
            if told.worker == self.info.id:
                lasting = told.order
                self._worker.hear({"order": told.order, "number": told.number})
        return lasting

    def wake(self, queues: list[str]) -> None:
        """Claim at once, if one of these queues is served here."""
        self._worker.hear({"said": queues})

    @property
    def page(self) -> Page:
        """What it shares with whoever watches it."""
        return self._page

    @property
    def is_busy(self) -> bool:
        """Whether a job runs."""
        return bool(self._page.started())

    # --- When it has ended before its jobs ---

    def remains(self, why: BaseException) -> DeadWorker:
        """What must be taken back after ``run`` raised this: whatever these jobs still do counts for nothing."""
        deliberate = isinstance(why, Abandoned)
        return DeadWorker(
            id=self.info.id,
            reason="ended before its jobs" if deliberate else f"failed through a defect: {why!r}",
            started=[(job.id, job.token) for job in self._page.started()],
            ended=self._page.ended(),
            deliberate=deliberate,
        )

    # --- In the control thread, at every step ---

    def _supervise(self) -> None:
        self._told_to_stop.look(self._worker)
        if self._worker.is_stopping and self._is_expendable():
            self.abandon()
        if self._ending is not None and not self._workload.counts()[2]:
            raise self._ending
        if time.monotonic() - self._looked_at >= LOOK_EVERY:
            self._looked_at = time.monotonic()
            self._name_the_overdue()
            self._arbitrate()

    def _end(self, why: BaseException) -> None:
        self._ending = self._ending or why
        self._workload.wake()

    def _is_expendable(self) -> bool:
        running = self._page.started()
        return bool(running) and all(job.expendable for job in running)

    def _name_the_overdue(self) -> None:
        running = {(job.id, job.token): job for job in self._page.started()}
        self._overdue &= running.keys()
        for key, job in running.items():
            if job.kill_at <= self._looked_at and key not in self._overdue:
                self._overdue.add(key)
                what = "went on after it was cancelled" if job.why == "cancelled" else "ignored its timeout"
                logger.error("Job %s %s; nothing can end it here before it ends itself.", job.id, what)


class _UnguardedPage(Page):
    """A page without a parent that kills what ignores its limits. It says so once in a process."""

    _has_said_so: ClassVar[bool] = False

    def limit(self, slot: int, kill_at: float, why: Why = "time") -> None:
        super().limit(slot, kill_at, why)
        if why == "time" and not _UnguardedPage._has_said_so:
            _UnguardedPage._has_said_so = True
            logger.warning(
                "A task with a timeout runs in a thread of this process: TaskTimeout is raised inside it, but if "
                "it ignores that, it is not killed. Only queue_runner without --in-process does so."
            )
