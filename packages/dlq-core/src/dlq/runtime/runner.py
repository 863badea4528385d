"""``Runner``: the parent of a ``queue_runner``. One thread, no user code after set-up, no store."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import select
import signal
import socket
import time
from typing import Any

from dlq.backend import queue_backend
from dlq.conf import Settings, pool_alias
from dlq.errors import StoreError
from dlq.hooks import Process, run_hooks
from dlq.logs import get_logger
from dlq.middleware import chain
from dlq.runtime.child import RECYCLED, fork, serve_backends, work
from dlq.runtime.endings import describe_exit
from dlq.runtime.notify import Supervisor
from dlq.runtime.options import RunnerOptions
from dlq.runtime.outage import Outage
from dlq.runtime.page import Page
from dlq.runtime.seat import Kill, Seat, send_signal
from dlq.runtime.service_link import ServiceLink
from dlq.runtime.signals import dead_children, signal_pipe
from dlq.runtime.solitude import Solitude
from dlq.runtime.titles import set_title
from dlq.runtime.wear import MIB, resident_memory
from dlq.selectors import broadcast_queue
from dlq.workers import Order, RunnerInfo, WorkerInfo

__all__ = ["Runner", "runner_info"]

logger = get_logger("dlq.runner")

TICK = 1.0
"""Seconds between signs of life to the service, if nothing else happens."""
LAST_WORDS = 10.0
"""Seconds that the service is given to settle what dead workers held when the runner stops."""
MOST_MEMORY = 2
"""A worker is killed at so many times its pool's ``max_memory``: then the job that it runs would take the machine."""


def runner_info() -> RunnerInfo:
    """A runner of this process, under a name that no other has."""
    host = socket.gethostname()
    return RunnerInfo(id=f"{host}-{os.getpid()}-{secrets.token_hex(2)}", host=host, pid=os.getpid())


class Runner:
    """Starts the workers and the service, watches them, and stops them."""

    def __init__(self, settings: Settings, options: RunnerOptions) -> None:
        """One seat for each process of each pool, and one for the service."""
        self.info = runner_info()
        self.pools = [(pool, pool_alias(pool)) for pool in options.pools]
        self.aliases = list(options.aliases)
        self._settings = settings
        self._options = options
        self._process = Process(name=self.info.id, kind="runner", pid=os.getpid())
        self._supervisor = Supervisor()
        self._page = Page()
        self._workers = [
            Seat(self._start_worker, pool, alias) for pool, alias in self.pools for _ in range(pool.processes)
        ]
        self._service = Seat(self._start_service)
        self._link = ServiceLink(self._service)
        self._solitude = Solitude()
        self._names = iter(range(1, 1 << 62))
        self._signals: list[int] = []
        self._drained: set[str] = set()
        """The backends whose queues have no job left; only looked for in a burst."""
        self._kill_workers_at: float | None = None
        """When the shutdown's patience ends; None while there is no shutdown."""

    # --- Life ---

    def run(self) -> int:
        """Run until a signal says stop; returns the exit code."""
        set_title("runner")
        with signal_pipe(self._signals) as wakeup:
            if not self._wait_for_stores(wakeup):
                return 0
            chain()
            run_hooks("runner.start", self._process)
            gc.collect()
            gc.freeze()  # Pages that the collector leaves alone stay shared with the children.
            self._turn()
            self._supervisor.ready()
            if self._options.burst and not self._workers:
                self._stop()  # Nobody here could drain anything.
            while not self._is_done():
                self._listen(wakeup)
                self._turn()
            self._end_service(wakeup)
        run_hooks("runner.exit", self._process)
        logger.info("The runner %s has stopped.", self.info.id)
        return 0

    def _turn(self) -> None:
        self._page.touch()
        self._supervisor.alive()
        self._heed_signals()
        self._reap()
        self._kill_what_must_end()
        self._fill_seats()
        self._solitude.turn([seat.page for seat in self._workers if seat.pid], time.monotonic())

    def _wait_for_stores(self, wakeup: int) -> bool:
        """Make this runner known to its stores before anything is forked; False when told to stop first."""
        for alias in self.aliases:
            store, outage = queue_backend(alias).store, Outage(f"Backend {alias!r}", longest=10.0)
            while True:
                try:
                    store.dedicate()
                    store.ping()
                    store.register_runner(self.info)
                    store.close()
                    outage.over()
                    break
                except StoreError as error:
                    if select.select([wakeup], [], [], outage.failed(error))[0]:
                        os.read(wakeup, 4096)
                    if signal.SIGQUIT in self._signals:
                        self._quit()
                    if signal.SIGTERM in self._signals or signal.SIGINT in self._signals:
                        return False
        return True

    def _is_done(self) -> bool:
        return self._kill_workers_at is not None and not any(seat.pid for seat in self._workers)

    # --- Stopping ---

    def _heed_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGQUIT:
                self._quit()
            elif number in (signal.SIGTERM, signal.SIGINT):
                # A second Ctrl-C is a person who does not want to wait; a second SIGTERM only a platform.
                self._stop(at_once=number == signal.SIGINT and self._kill_workers_at is not None)

    def _stop(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if self._kill_workers_at is None:
            self._supervisor.stopping()
            run_hooks("runner.stop", self._process)
            logger.info(
                "Stopping: running jobs have %g s to finish; then they are handed back.",
                self._settings.shutdown_timeout,
            )
            self._kill_workers_at = now + self._settings.shutdown_timeout
            for seat in self._workers:
                send_signal(seat.pid, signal.SIGTERM)
        if at_once:
            self._kill_workers_at = now

    def _quit(self) -> None:
        for seat in (*self._workers, self._service):
            send_signal(seat.pid, signal.SIGKILL)
        os._exit(128 + signal.SIGQUIT)

    def _end_service(self, wakeup: int) -> None:
        """Let the service settle what is open, say goodbye to the stores, and end."""
        self._link.say_stop()
        ends_at = time.monotonic() + LAST_WORDS
        while self._service.pid and (left := ends_at - time.monotonic()) > 0:
            self._page.touch()
            self._supervisor.alive()
            if select.select([wakeup], [], [], min(left, self._tick()))[0]:
                os.read(wakeup, 4096)
            self._reap()
        if self._service.pid:
            logger.warning("The store did not take everything back in time; other runners will.")
            send_signal(self._service.pid, signal.SIGKILL)

    # --- Children ---

    def _fill_seats(self) -> None:
        now = time.monotonic()
        for seat in self._to_fill():
            seat.fill(now)

    def _to_fill(self) -> list[Seat]:
        """The seats that must not stay empty: while the runner stops, only the service's."""
        if self._kill_workers_at is not None:
            return [self._service]
        return [self._service, *(seat for seat in self._workers if seat.order is not Order.STOP)]

    def _start_worker(self, seat: Seat) -> int:
        assert seat.pool is not None
        pool, seat.page, theirs = seat.pool, Page(seat.pool.slots), seat.open_channel()
        seat.page.gate = self._solitude.for_newcomers()
        seat.worker_id = f"{self.info.id}/{next(self._names)}"

        def become() -> int:
            info = WorkerInfo(
                id=seat.worker_id,
                runner=self.info.id,
                pid=os.getpid(),
                queues=pool.selector.text,
                slots=pool.slots,
                kind=pool.kind,
                order=seat.order,
            )
            self._forget_channels()
            return work(
                info, pool, seat.alias, self._settings, self._options, seat.page, theirs, self.info.pid
            )

        pid = fork(become)
        theirs.close()
        return pid

    def _start_service(self, seat: Seat) -> int:
        theirs = self._link.open()

        def become() -> None:
            self._forget_channels()
            serve_backends(self.info, self._options, self.pools, theirs, self._page)

        pid = fork(become)
        theirs.close()
        self._link.repeat()
        return pid

    def _forget_channels(self) -> None:
        """In a child: the parent's ends are not its own."""
        self._link.close()
        for seat in self._workers:
            seat.hang_up()

    def _reap(self) -> None:
        for pid, status in dead_children():
            for seat in (self._service, *self._workers):
                if seat.pid == pid:
                    self._clear(seat, status)

    def _clear(self, seat: Seat, status: int) -> None:
        pid, how = seat.pid, describe_exit(status)
        worn = os.WIFEXITED(status) and os.WEXITSTATUS(status) == RECYCLED
        if seat.pool is not None:
            self._bury(seat, how)  # Also after code 0: a task may have called os._exit(0).
        seat.vacate(worn)
        what = f"Worker {seat.worker_id}" if seat.pool else "The service process"
        if worn:
            logger.info("%s (pid %d) has done enough, and is replaced.", what, pid)
        elif status or self._kill_workers_at is None:
            logger.log(logging.WARNING if status else logging.INFO, "%s (pid %d) %s.", what, pid, how)

    def _bury(self, seat: Seat, how: str) -> None:
        """Have the service take back what a dead worker held."""
        kill = seat.killed
        self._link.bury(
            seat.worker_id,
            {
                "alias": seat.alias,
                "reason": f"{how}: {kill.why}" if kill else how,
                "started": [(str(job.id), job.token) for job in seat.page.started()],
                "ended": [(str(id), token) for id, token in seat.page.ended()],
                "overdue": kill and kill.overdue,
                "deliberate": kill is not None and kill.deliberate,
            },
        )
        seat.page.close()

    def _kill_what_must_end(self) -> None:
        now = time.monotonic()
        for seat in self._workers:
            if seat.pid and seat.killed is None and (kill := self._reason_to_kill(seat, now)) is not None:
                logger.log(
                    logging.INFO if kill.deliberate else logging.ERROR,
                    "Worker %s is killed: %s.",
                    seat.worker_id,
                    kill.why,
                )
                seat.kill(kill)

    def _reason_to_kill(self, seat: Seat, now: float) -> Kill | None:
        running = seat.page.started()
        if self._kill_workers_at is not None:
            if self._kill_workers_at <= now:
                return Kill("the runner stops, and its patience is over", deliberate=True)
            if running and all(job.expendable for job in running):
                return Kill("the runner stops, and what runs here need not finish", deliberate=True)
        overdue = next((job for job in running if job.kill_at <= now), None)
        if overdue is not None and overdue.why == "cancelled":
            return Kill(f"job {overdue.id} went on after it was cancelled", deliberate=True)
        if overdue is not None:
            return Kill(f"job {overdue.id} ignored its timeout", overdue=str(overdue.id))
        most = seat.pool.max_memory * MOST_MEMORY * MIB if seat.pool else 0
        if most and running and (used := resident_memory(seat.pid)) > most:
            return Kill(f"it held {used // MIB} MiB, and {most // MIB} are the most")
        return None

    # --- Waiting ---

    def _listen(self, wakeup: int) -> None:
        """Wait for a signal, a word from the service, or the next thing to do."""
        channel = self._link.fileno()
        sources = [wakeup] if channel is None else [wakeup, channel]
        readable, _, _ = select.select(sources, [], [], self._patience())
        if wakeup in readable:
            os.read(wakeup, 4096)
        if channel in readable:
            for message in self._link.hear():
                self._pass_on(message)

    def _patience(self) -> float:
        now = time.monotonic()
        times = [now + self._tick()]
        times += [seat.start_at for seat in self._to_fill() if not seat.pid]
        watched = [seat for seat in self._workers if seat.pid and seat.killed is None]
        times += [job.kill_at for seat in watched for job in seat.page.started()]
        if self._kill_workers_at is not None and watched:
            times.append(self._kill_workers_at)
        return max(0.0, min(times) - now)

    def _tick(self) -> float:
        return min(TICK, self._supervisor.interval or TICK)

    # --- What the service sees ---

    def _pass_on(self, message: dict[str, Any]) -> None:
        """Tell the workers what concerns them."""
        if "drained" in message:
            self._drained.add(message["drained"])
            if self._kill_workers_at is None and self._drained.issuperset(alias for _, alias in self.pools):
                logger.info("No job is left.")
                self._stop()
            return
        seats = [seat for seat in self._workers if seat.pid and seat.alias == message["alias"]]
        if "said" in message:
            for seat in seats:
                self._wake(seat, message["said"])
            return
        for seat in seats:
            self._hint(seat, message["ready"], message["paused"])
        for worker, order, number in message["instructions"]:
            for seat in self._workers:
                if seat.worker_id == worker:
                    seat.order = Order(order)
                    seat.tell({"order": order, "number": number})
        for worker, id, token, reason in message["cancellations"]:
            for seat in self._workers:
                if seat.worker_id == worker:
                    seat.tell({"cancel": id, "token": token, "reason": reason})

    def _wake(self, seat: Seat, said: list[str]) -> None:
        if served := self._served(seat, said):
            seat.tell({"said": served})

    def _hint(self, seat: Seat, ready: list[str], paused: list[str]) -> None:
        seat.tell({"ready": self._served(seat, ready), "paused": self._served(seat, paused)})

    def _served(self, seat: Seat, queues: list[str]) -> list[str]:
        assert seat.pool is not None
        own, matches = broadcast_queue(self.info.id), seat.pool.selector.matches
        return [queue for queue in queues if queue == own or matches(queue)]
