"""The first steps of a forked process: what it must forget of its parent, and what it becomes."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from django.tasks import TaskResult, TaskResultStatus
from django.tasks.signals import logger as django_logger
from django.tasks.signals import task_finished

from dlq.backend import queue_backend
from dlq.conf import Settings, WorkerPool
from dlq.hooks import Process, report_error, run_hooks
from dlq.logs import get_logger, leave_out_unseen
from dlq.middleware import chain
from dlq.runtime.executor import executor_for
from dlq.runtime.messages import decode
from dlq.runtime.options import RunnerOptions
from dlq.runtime.page import Page
from dlq.runtime.service import Service
from dlq.runtime.titles import set_title
from dlq.runtime.touchfile import touch
from dlq.runtime.worker import Worker
from dlq.runtime.workload import Workload
from dlq.selectors import Selector
from dlq.services import services_for
from dlq.workers import RunnerInfo, WorkerInfo

__all__ = ["RECYCLED", "StopHooks", "fork", "serve_backends", "work"]

logger = get_logger("dlq.worker")

DEFECT = 70
"""Exit code of a child that failed through a defect of ours (EX_SOFTWARE)."""
RECYCLED = 75
"""Exit code of a worker that has done enough and is to be replaced (EX_TEMPFAIL)."""
LONGEST_MESSAGE = 1 << 18


def fork(become: Callable[[], int | None]) -> int:
    """Fork a child that does ``become`` and exits with the code that it returns, 0 for None.

    Returns its process id to the parent.

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
        code = become() or 0
    except BaseException as error:
        logger.exception("The process %d ends because of a defect.", os.getpid())
        report_error(error, "a process of the runner")
    finally:
        logging.shutdown()
        # Not sys.exit: the parent's exit handlers and unwritten buffers are not this child's to run.
        os._exit(code)


def work(
    info: WorkerInfo,
    pool: WorkerPool,
    alias: str,
    settings: Settings,
    options: RunnerOptions,
    page: Page,
    channel: socket.socket,
    parent: int,
) -> int:
    """Become a worker: the main thread runs jobs, another talks to the store; returns the exit code."""
    process = Process(name=info.id, kind="worker", pid=info.pid)
    set_title(f"worker {info.id} [{info.queues}]")
    backend = queue_backend(alias)
    workload = Workload(pool.slots, page)
    executor = executor_for(pool, workload, page, backend, settings.kill_after)
    orphan = _OrphanWatch(parent, settings.shutdown_timeout)
    told_to_stop = StopHooks(process)

    def supervise() -> None:
        orphan.look(worker)
        told_to_stop.look(worker)

    worker = Worker(
        info, pool, backend.store, backend.config, workload, executor, supervise=supervise, told=True
    )
    if options.touchfile:
        task_finished.connect(_toucher(options.touchfile), weak=False)
    chain()  # Middleware that cannot be built ends the worker here, not its first job.
    run_hooks("worker.start", process)
    leave_out_unseen(
        django_logger, logging.INFO
    )  # After the hooks, which may set up the logs of the process.
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    _TaskForks().watch()
    threading.Thread(target=_listen, args=(worker, channel), name="ear", daemon=True).start()
    threading.Thread(target=_control, args=(worker, alias), name="control", daemon=True).start()
    executor.serve()
    run_hooks("worker.exit", process)
    return RECYCLED if worker.is_worn else 0


class _TaskForks:
    """Forks by tasks: in their children, what tells the worker to stop must end them.

    The signals wait until the child has their default handlers: one that came in between would be lost.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self._masks = threading.local()  # A fork is finished in the thread that began it.

    def watch(self) -> None:
        """From now on, for as long as this process lives."""
        os.register_at_fork(before=self._hold, after_in_parent=self._release, after_in_child=self._forget)

    def _hold(self) -> None:
        self._masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, self.SIGNALS)

    def _release(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.before)

    def _forget(self) -> None:
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        self._release()


def _toucher(pattern: str) -> Callable[..., None]:
    """A receiver that touches the file of a job's queue when the job has succeeded."""

    def touch_file(*, task_result: TaskResult[..., Any], **_: object) -> None:
        if task_result.status is TaskResultStatus.SUCCESSFUL:
            touch(pattern, task_result.task.queue_name)

    return touch_file


def _listen(worker: Worker, channel: socket.socket) -> None:
    while heard := channel.recv(LONGEST_MESSAGE):
        worker.hear(decode(heard))


def _control(worker: Worker, alias: str) -> None:
    try:
        worker.run()
    except BaseException as error:
        # The jobs that run here cannot be settled any more: better to be replaced at once.
        logger.exception("The control thread of a worker ended because of a defect.")
        report_error(error, "the control thread of a worker")
        os._exit(DEFECT)


def serve_backends(
    runner: RunnerInfo,
    options: RunnerOptions,
    pools: Sequence[tuple[WorkerPool, str]],
    channel: socket.socket,
    parent: Page,
) -> None:
    """Become the service process, which ends when the parent says so or is gone, not by a signal."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    set_title(f"service {runner.id}")
    process = Process(name=f"{runner.id}/service", kind="service", pid=os.getpid())
    burst: dict[str, list[Selector]] = {}
    for pool, alias in pools if options.burst else ():
        burst.setdefault(alias, []).append(pool.selector)
    run_hooks("service.start", process)
    Service(
        runner,
        options.aliases,
        channel,
        parent,
        upkeep=options.upkeep,
        hearing={alias for _, alias in pools},
        burst=burst,
        stopping=lambda: run_hooks("service.stop", process),
        added=services_for(options),
    ).run()
    run_hooks("service.exit", process)


class StopHooks:
    """Runs the ``worker.stop`` hooks once, outside of the signal handler that told the worker to stop."""

    def __init__(self, process: Process) -> None:
        """``process`` is what the hooks get."""
        self._process = process
        self._done = False

    def look(self, worker: Worker) -> None:
        """To be called from time to time."""
        if worker.is_stopping and not self._done:
            self._done = True
            run_hooks("worker.stop", self._process)


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
