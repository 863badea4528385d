"""The first steps of a forked process: what it must forget of its parent, and what it becomes."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from dlq.backend import queue_backend
from dlq.conf import Settings, WorkerPool
from dlq.job import RunnerInfo, WorkerInfo
from dlq.runtime.executor import executor_for
from dlq.runtime.page import Page
from dlq.runtime.service import Service
from dlq.runtime.worker import Worker
from dlq.runtime.workload import Workload

__all__ = ["fork", "serve_backends", "work"]

logger = logging.getLogger("dlq.worker")

DEFECT = 70
"""Exit code of a child that failed through a defect of ours (EX_SOFTWARE)."""


def fork(become: Callable[[], None]) -> int:
    """Fork a child that does ``become`` and exits; returns its process id to the parent.

    Signals wait until the child has forgotten what its parent does with them: none gets lost in between.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGQUIT})
    if pid := os.fork():
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid
    code = DEFECT
    try:
        _forget_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        become()
        code = 0
    except BaseException:
        logger.exception("The process %d ends because of a defect.", os.getpid())
    finally:
        logging.shutdown()
        # Not sys.exit: the parent's exit handlers and unwritten buffers are not this child's to run.
        os._exit(code)


def work(info: WorkerInfo, pool: WorkerPool, alias: str, settings: Settings, page: Page, parent: int) -> None:
    """Become a worker: the main thread runs jobs, another talks to the store."""
    backend = queue_backend(alias)
    workload = Workload(pool.slots)
    executor = executor_for(pool, workload, page, backend, settings.kill_after)
    orphan = _OrphanWatch(parent, settings.shutdown_timeout)
    worker = Worker(
        info, pool, backend.store, backend.config, workload, executor, supervise=lambda: orphan.look(worker)
    )
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    threading.Thread(target=_control, args=(worker, alias), name="control", daemon=True).start()
    executor.serve()


def _control(worker: Worker, alias: str) -> None:
    try:
        worker.run()
    except BaseException:
        # The jobs that run here cannot be settled any more: better to be replaced at once.
        logger.exception("The control thread of a worker ended because of a defect.")
        os._exit(DEFECT)


def serve_backends(runner: RunnerInfo, aliases: list[str], channel: socket.socket, parent: Page) -> None:
    """Become the service process, which ends when the parent says so or is gone, not by a signal."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Service(runner, aliases, channel, parent).run()


class _OrphanWatch:
    """Ends a worker that has lost its parent: nobody beats for it any more."""

    def __init__(self, parent: int, patience: float) -> None:
        self._parent = parent
        self._patience = patience
        self._lost_at: float | None = None

    def look(self, worker: Worker) -> None:
        if os.getppid() == self._parent:
            return
        now = time.monotonic()
        if self._lost_at is None:
            self._lost_at = now
            logger.error(
                "The worker %d has lost its runner; it finishes what it runs, and ends.", os.getpid()
            )
            worker.stop()
        elif now - self._lost_at > self._patience:
            self._exit()

    def _exit(self) -> NoReturn:
        os._exit(1)


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    # Ctrl-C reaches every process of a terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
