"""``InProcessRunner``: a runner whose workers and upkeep are threads of one process.

For development, and for sites that run jobs inside of their web server. Nothing starts before ``start``.
What a runner with processes of its own can do and this one cannot: kill a job that ignores its timeout, end
one that a task's crash takes down alone, and replace a worker for the memory that it holds.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, NoReturn, Self

from django.tasks import TaskResultStatus
from django.tasks.signals import task_finished

from dlq import conf
from dlq.backend import queue_backend
from dlq.conf import Settings, WorkerPool, pool_alias
from dlq.discovery import load_all_tasks
from dlq.hooks import Process, run_hooks
from dlq.logs import get_logger
from dlq.runtime.ear import Ear
from dlq.runtime.keeper import Keeper
from dlq.runtime.notify import Supervisor
from dlq.runtime.options import RunnerOptions, runner_options
from dlq.runtime.runner import LAST_WORDS, TICK, runner_info
from dlq.runtime.service_thread import ServiceThread
from dlq.runtime.signals import HEEDED
from dlq.runtime.solitude import Solitude
from dlq.runtime.thread_seat import MainThread, ThreadSeat
from dlq.runtime.threaded import ThreadedWorker
from dlq.runtime.titles import set_title
from dlq.runtime.touchfile import touch
from dlq.services import services_for
from dlq.workers import Sight, WorkerInfo

__all__ = ["InProcessRunner", "end_process"]

logger = get_logger("dlq.runner")

SOMETHING_CHANGED = 0
"""News that is no signal."""


class InProcessRunner:
    """All workers, one for each pool, and the upkeep of each backend, as threads of this process.

    ``start`` and ``stop`` embed it in a program; ``with`` does both. ``run`` is for a process that does nothing
    else: it heeds signals. A runner that was stopped cannot be started again: make another.
    """

    def __init__(
        self,
        settings: Settings,
        options: RunnerOptions,
        *,
        first_number: int = 1,
        in_main_thread: bool = False,
    ) -> None:
        """Make it in the process that it is to run in, not in one that will fork.

        ``first_number`` is that of the first worker, in its name. ``in_main_thread`` has ``run`` run the jobs of
        the one pool in the thread that calls it, which must be the main thread.
        """
        self.info = runner_info()
        self.pools = [
            (replace(pool, processes=1, max_jobs=0, max_memory=0), pool_alias(pool)) for pool in options.pools
        ]
        self.aliases = list(options.aliases)
        self._settings = settings
        self._options = options
        self._process = Process(name=self.info.id, kind="runner", pid=self.info.pid)
        self._service = Process(name=f"{self.info.id}/service", kind="service", pid=self.info.pid)
        self._numbers = itertools.count(first_number)
        self._main_thread = MainThread() if in_main_thread else None
        self._keepers = {alias: self._keeper(alias) for alias in self.aliases}
        self._ears = [Ear(alias, partial(self._wake, alias)) for alias in {alias for _, alias in self.pools}]
        self._seats = [
            ThreadSeat(
                pool,
                alias,
                make=self._worker,
                bury=self._keepers[alias].bury,
                ended=self._note_change,
                main_thread=self._main_thread,
            )
            for pool, alias in self.pools
        ]
        self._added: list[ServiceThread] = []
        """The services of apps."""
        self._solitude = Solitude()
        self._arbitrating = threading.Lock()
        self._drained: set[str] = set()
        """The backends whose queues have no job left; only looked for in a burst."""
        self._news: queue.SimpleQueue[int] = queue.SimpleQueue()
        """Signals and changes. Its put() may be called in a signal handler, whatever that interrupts."""
        self._supervisor: Supervisor | None = None
        self._changing = threading.RLock()
        self._ending = threading.Lock()
        self._has_started = False
        self._has_ended = False
        self._ends_at: float | None = None
        """When the shutdown's patience ends; None while there is no shutdown."""

    @classmethod
    def from_settings(cls, **arguments: Any) -> Self:
        """A runner as ``queue_runner`` would make it with these arguments, such as ``only_queue=["mail"]``.

        Raises ConfigError, and whatever a module with tasks raises.
        """
        settings = conf.load()
        load_all_tasks()
        return cls(settings, runner_options(arguments, settings))

    # --- Embedded ---

    def start(self) -> None:
        """Start the threads, and return. A store that is away is waited for there.

        Raises ConfigError for wrong ``OPTIONS``, RuntimeError when it was started before.
        """
        for alias in self.aliases:
            _ = queue_backend(alias).config
        with self._changing:
            if self._has_started:
                raise RuntimeError(f"The runner {self.info.id} was started before; make another one.")
            self._has_started = True
        self._say_what_differs()
        run_hooks("runner.start", self._process)
        run_hooks("service.start", self._service)
        if self._options.touchfile:
            task_finished.connect(self._touch)
        for keeper in self._keepers.values():
            keeper.start()
        for seat in self._seats:
            seat.start()
        for ear in self._ears:
            ear.start()
        self._added = [ServiceThread(service) for service in services_for(self._options)]
        for thread in self._added:
            thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Claim nothing more, wait for running jobs, hand back those that take too long, and say goodbye.

        Returns when that is done: some seconds after ``timeout``, which is in seconds and by default
        ``DLQ_SHUTDOWN_TIMEOUT``, at the latest. A job that was handed back may go on in its thread for as long as
        the process lives; nothing that it does counts. Of no effect when called again, or before ``start``.
        """
        if self._has_started:
            self._begin_end(self._settings.shutdown_timeout if timeout is None else timeout)
            self._end()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def is_busy(self) -> bool:
        """Whether a job runs, be it handed back or not."""
        return any(seat.is_busy for seat in self._seats)

    # --- As a process of its own ---

    def run(self) -> int:
        """Run until a signal says stop, or in a burst until no job is left; returns the exit code.

        Must be called in the main thread. When a job that was handed back goes on, the process is ended here.
        """
        set_title("runner")
        self._supervisor = Supervisor()
        with _signals_go_to(self._news.put):
            self.start()
            self._supervisor.ready()
            if self._options.burst and not self._seats:
                self._begin_end(0.0)  # Nobody is here who would finish a job.
            if self._main_thread is None:
                self._attend()
            else:
                self._attend_beside(self._main_thread)
        return 0

    def _attend(self) -> None:
        while self._ends_at is None:
            self._listen(TICK)
        self._end()
        if self.is_busy:
            end_process(0)

    def _attend_beside(self, main_thread: MainThread) -> None:
        attending = threading.Thread(target=self._attend, name="dlq-runner", daemon=True)
        attending.start()
        main_thread.serve()
        # It may have ended because an operator told its worker so.
        self._begin_end(self._settings.shutdown_timeout)
        attending.join()

    def _listen(self, longest: float) -> None:
        tick = min(TICK, longest)
        if self._supervisor is not None:
            self._supervisor.alive()
            tick = min(tick, self._supervisor.interval or tick)
        with contextlib.suppress(queue.Empty):
            self._heed(self._news.get(timeout=max(0.0, tick)))

    def _heed(self, news: int) -> None:
        if news == signal.SIGQUIT:
            end_process(128 + signal.SIGQUIT)
        elif news in HEEDED:
            # A second Ctrl-C is a person who does not want to wait; a second SIGTERM only a platform.
            at_once = news == signal.SIGINT and self._ends_at is not None
            self._begin_end(self._settings.shutdown_timeout)
            if at_once:
                self._ends_at = time.monotonic()

    def _note_change(self) -> None:
        self._news.put(SOMETHING_CHANGED)

    # --- The end ---

    def _begin_end(self, patience: float) -> None:
        with self._changing:
            if self._ends_at is not None:
                return
            self._ends_at = time.monotonic() + patience
        if self._supervisor is not None:
            self._supervisor.stopping()
        run_hooks("runner.stop", self._process)
        run_hooks("service.stop", self._service)
        logger.info("Stopping: running jobs have %g s to finish; then they are handed back.", patience)
        for seat in self._seats:
            seat.stop()
        for ear in self._ears:
            ear.close()
        for thread in self._added:
            thread.stop()
        self._note_change()

    def _end(self) -> None:
        with self._ending:  # Who calls this second returns when the first is done.
            if self._has_ended:
                return
            self._has_ended = True
            self._wait_for_workers(lambda: self._ends_at or 0.0)
            for seat in self._seats:
                seat.abandon()
            by = time.monotonic() + LAST_WORDS
            self._wait_for_workers(lambda: by)
            for keeper in self._keepers.values():
                keeper.leave(by)
            if not all(keeper.has_left(by) for keeper in self._keepers.values()):
                logger.warning("The store did not take everything back in time; other runners will.")
            for ear in self._ears:
                ear.join()
            for thread in self._added:
                thread.join(by - time.monotonic())
            task_finished.disconnect(self._touch)
            run_hooks("service.exit", self._service)
            run_hooks("runner.exit", self._process)
            logger.info("The runner %s has stopped.", self.info.id)

    def _wait_for_workers(self, until: Callable[[], float]) -> None:
        while any(seat.is_taken for seat in self._seats) and (left := until() - time.monotonic()) > 0:
            self._listen(left)

    # --- Its parts ---

    def _keeper(self, alias: str) -> Keeper:
        own = [pool.selector for pool, pools_alias in self.pools if pools_alias == alias]
        return Keeper(
            self.info,
            alias,
            upkeep=self._options.upkeep,
            entered=lambda: self._let_in(alias),
            saw=lambda sight: self._pass_on(alias, sight),
            burst=own if self._options.burst else [],
            drained=lambda: self._note_drained(alias),
        )

    def _worker(self, seat: ThreadSeat) -> ThreadedWorker:
        pool = seat.pool
        info = WorkerInfo(
            id=f"{self.info.id}/{next(self._numbers)}",
            runner=self.info.id,
            pid=self.info.pid,
            queues=pool.selector.text,
            slots=pool.slots,
            kind=self._kind_of(pool),
            order=seat.order,
        )
        return ThreadedWorker(
            info,
            pool,
            queue_backend(seat.alias),
            self._settings.kill_after,
            in_main_thread=self._main_thread is not None,
            gate=self._solitude.for_newcomers(),
            arbitrate=self._arbitrate,
        )

    def _arbitrate(self) -> None:
        with self._arbitrating:
            pages = [page for seat in self._seats if (page := seat.page) is not None]
            self._solitude.turn(pages, time.monotonic())

    def _kind_of(self, pool: WorkerPool) -> str:
        """One job at a time is a process of its own elsewhere; here it is a thread, unless it has the main one."""
        return "threads" if pool.kind == "process" and self._main_thread is None else pool.kind

    def _seats_of(self, alias: str) -> list[ThreadSeat]:
        return [seat for seat in self._seats if seat.alias == alias]

    def _let_in(self, alias: str) -> None:
        for seat in self._seats_of(alias):
            seat.let_in()

    def _pass_on(self, alias: str, sight: Sight) -> None:
        for seat in self._seats_of(alias):
            seat.hear(sight)

    def _wake(self, alias: str, queues: list[str]) -> None:
        for seat in self._seats_of(alias):
            seat.wake(queues)

    def _note_drained(self, alias: str) -> None:
        self._drained.add(alias)
        if self._ends_at is None and self._drained.issuperset(alias for _, alias in self.pools):
            logger.info("No job is left.")
            self._begin_end(self._settings.shutdown_timeout)

    def _touch(self, *, task_result: Any, **_: object) -> None:
        """Receiver of Django's signal ``task_finished``."""
        if task_result.status is TaskResultStatus.SUCCESSFUL and self._options.touchfile:
            touch(self._options.touchfile, task_result.task.queue_name)

    def _say_what_differs(self) -> None:
        if many := [pool.selector.text for pool in self._options.pools if pool.processes > 1]:
            logger.warning(
                "All workers are threads of one process here: there is one worker each for %s, not several.",
                ", ".join(many),
            )
        if worn := [pool.selector.text for pool in self._options.pools if pool.max_jobs or pool.max_memory]:
            logger.warning(
                "max_jobs and max_memory of %s count for nothing: threads give no memory back.",
                ", ".join(worn),
            )


def end_process(code: int) -> NoReturn:
    """End this process at once, whatever its threads do; what was logged and printed is written out."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


@contextlib.contextmanager
def _signals_go_to(tell: Callable[[int], object]) -> Iterator[None]:
    before = {number: signal.signal(number, lambda n, _: tell(n)) for number in HEEDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
