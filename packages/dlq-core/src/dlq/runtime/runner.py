"""``Runner``: the parent of a ``queue_runner``. One thread, no user code after set-up, no store."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import secrets
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from dlq.backend import queue_backend
from dlq.conf import Settings, WorkerPool, pool_alias
from dlq.errors import StoreError
from dlq.job import RunnerInfo, WorkerInfo
from dlq.runtime.child import fork, serve_backends, work
from dlq.runtime.endings import describe_exit
from dlq.runtime.outage import Outage
from dlq.runtime.page import Page
from dlq.runtime.service import decode, encode

__all__ = ["Runner"]

logger = logging.getLogger("dlq.runner")

TICK = 1.0
"""Seconds between signs of life to the service, if nothing else happens."""
LAST_WORDS = 10.0
"""Seconds that the service is given to settle what dead workers held when the runner stops."""
LONGEST_PAUSE = 30.0
"""The longest wait in seconds before a child that keeps dying is started again."""
HEALTHY_AFTER = 10.0
"""A child that lived for so many seconds is started again at once."""


@dataclass(slots=True)
class _Seat:
    """A place for one child, which is filled again when it dies."""

    start: Callable[[_Seat], int]
    """Forks; returns the process id."""
    pool: WorkerPool | None = None
    """None for the service."""
    alias: str = ""
    pid: int = 0
    """0 while nobody sits here."""
    worker_id: str = ""
    page: Page = field(default_factory=Page)
    started_at: float = 0.0
    start_at: float = 0.0
    deaths: int = 0
    killed_for: str | None = None
    """Id of the job whose timeout it was killed for, or empty for the end of a shutdown."""


class Runner:
    """Starts the workers and the service, watches them, and stops them."""

    def __init__(self, settings: Settings, pools: Sequence[WorkerPool]) -> None:
        """One seat for each process of each pool, and one for the service."""
        host = socket.gethostname()
        self.info = RunnerInfo(id=f"{host}-{os.getpid()}-{secrets.token_hex(2)}", host=host, pid=os.getpid())
        self.pools = [(pool, pool_alias(pool)) for pool in pools]
        self.aliases = list(dict.fromkeys(alias for _, alias in self.pools))
        self._settings = settings
        self._page = Page()
        self._workers = [
            _Seat(self._start_worker, pool, alias)
            for pool, alias in self.pools
            for _ in range(pool.processes)
        ]
        self._service = _Seat(self._start_service)
        self._channel: socket.socket | None = None
        self._heard = b""
        self._unburied: dict[str, bytes] = {}
        """What the service must do and has not confirmed: told again to its successor."""
        self._names = iter(range(1, 1 << 62))
        self._signals: list[int] = []
        self._kill_workers_at: float | None = None
        """When the shutdown's patience ends; None while there is no shutdown."""

    # --- Life ---

    def run(self) -> int:
        """Run until a signal says stop; returns the exit code."""
        with _signal_pipe(self._signals) as wakeup:
            if not self._wait_for_stores(wakeup):
                return 0
            gc.collect()
            gc.freeze()  # Pages that the collector leaves alone stay shared with the children.
            while not self._is_done():
                self._page.touch()
                self._heed_signals()
                self._reap()
                self._kill_overdue()
                self._fill_seats()
                self._listen(wakeup)
            self._end_service(wakeup)
        logger.info("The runner %s has stopped.", self.info.id)
        return 0

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
                    select.select([wakeup], [], [], outage.failed(error))
                    if signal.SIGTERM in self._signals or signal.SIGINT in self._signals:
                        return False
        return True

    def _is_done(self) -> bool:
        return self._kill_workers_at is not None and not any(seat.pid for seat in self._workers)

    # --- Signals ---

    def _heed_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGQUIT:
                self._quit()
            elif number in (signal.SIGTERM, signal.SIGINT):
                # A second Ctrl-C is a person who does not want to wait; a second SIGTERM only a platform.
                self._stop(at_once=number == signal.SIGINT and self._kill_workers_at is not None)

    def _stop(self, at_once: bool) -> None:
        now = time.monotonic()
        if self._kill_workers_at is None:
            logger.info(
                "Stopping: running jobs have %g s to finish; then they are handed back.",
                self._settings.shutdown_timeout,
            )
            self._kill_workers_at = now + self._settings.shutdown_timeout
            for seat in self._workers:
                _send(seat.pid, signal.SIGTERM)
        if at_once:
            self._kill_workers_at = now

    def _quit(self) -> None:
        for seat in (*self._workers, self._service):
            _send(seat.pid, signal.SIGKILL)
        os._exit(128 + signal.SIGQUIT)

    # --- Children ---

    def _fill_seats(self) -> None:
        now = time.monotonic()
        for seat in self._to_fill():
            if not seat.pid and seat.start_at <= now:
                seat.started_at, seat.killed_for = now, None
                seat.pid = seat.start(seat)

    def _to_fill(self) -> list[_Seat]:
        """The seats that must not stay empty: while the runner stops, only the service's."""
        return [self._service] if self._kill_workers_at is not None else [self._service, *self._workers]

    def _start_worker(self, seat: _Seat) -> int:
        assert seat.pool is not None
        pool, seat.page, seat.worker_id = (
            seat.pool,
            Page(seat.pool.slots),
            f"{self.info.id}/{next(self._names)}",
        )

        def become() -> None:
            info = WorkerInfo(
                id=seat.worker_id,
                runner=self.info.id,
                pid=os.getpid(),
                queues=pool.selector.text,
                slots=pool.slots,
                kind=pool.kind,
            )
            self._forget_channel()
            work(info, pool, seat.alias, self._settings, seat.page, self.info.pid)

        return fork(become)

    def _start_service(self, seat: _Seat) -> int:
        self._forget_channel()
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(TICK)

        def become() -> None:
            self._forget_channel()
            serve_backends(self.info, self.aliases, theirs, self._page)

        pid = fork(become)
        theirs.close()
        for message in self._unburied.values():
            self._tell(message)
        return pid

    def _reap(self) -> None:
        for pid, status in _dead_children():
            for seat in (self._service, *self._workers):
                if seat.pid == pid:
                    self._clear(seat, status)

    def _clear(self, seat: _Seat, status: int) -> None:
        pid, lived = seat.pid, time.monotonic() - seat.started_at
        seat.pid = 0
        seat.deaths = 0 if lived > HEALTHY_AFTER else seat.deaths + 1
        pause = 0.0 if seat.deaths <= 1 else min(LONGEST_PAUSE, 0.1 * 2 ** min(seat.deaths, 16))
        seat.start_at = time.monotonic() + pause
        how = describe_exit(status)
        if seat.pool is not None:
            self._bury(seat, how)  # Also after code 0: a task may have called os._exit(0).
        if status or self._kill_workers_at is None:
            what = f"Worker {seat.worker_id}" if seat.pool else "The service process"
            logger.log(logging.WARNING if status else logging.INFO, "%s (pid %d) %s.", what, pid, how)

    def _bury(self, seat: _Seat, how: str) -> None:
        """Have the service take back what a dead worker held."""
        self._unburied[seat.worker_id] = message = encode(
            {
                "id": seat.worker_id,
                "alias": seat.alias,
                "reason": how,
                "started": [(str(job.id), job.token) for job in seat.page.started()],
                "overdue": seat.killed_for or None,
                "deliberate": seat.killed_for == "",
            }
        )
        seat.page.close()
        self._tell(message)

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for seat in self._workers:
            if not seat.pid or seat.killed_for is not None:
                continue
            if self._kill_workers_at is not None and self._kill_workers_at <= now:
                seat.killed_for = ""
                _send(seat.pid, signal.SIGKILL)
            elif overdue := next((job for job in seat.page.started() if job.kill_at <= now), None):
                logger.error(
                    "Job %s ignored its timeout; its worker %s is killed.", overdue.id, seat.worker_id
                )
                seat.killed_for = str(overdue.id)
                _send(seat.pid, signal.SIGKILL)

    # --- The service ---

    def _tell(self, message: bytes) -> None:
        if self._channel is None:
            return
        try:
            self._channel.sendall(message)
        except OSError:
            # It is dead, or hangs. What it has not confirmed is told to its successor.
            _send(self._service.pid, signal.SIGKILL)

    def _listen(self, wakeup: int) -> None:
        """Wait for a signal, a word from the service, or the next thing to do."""
        channel = self._channel
        sources = [wakeup] if channel is None else [wakeup, channel.fileno()]
        readable, _, _ = select.select(sources, [], [], self._patience())
        if wakeup in readable:
            os.read(wakeup, 4096)
        if channel is not None and channel.fileno() in readable:
            self._hear(channel)

    def _hear(self, channel: socket.socket) -> None:
        try:
            heard = channel.recv(65536)
        except OSError:
            heard = b""
        if not heard:
            self._forget_channel()
            return
        *lines, self._heard = (self._heard + heard).split(b"\n")
        for line in lines:
            self._unburied.pop(decode(line)["buried"], None)

    def _forget_channel(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel, self._heard = None, b""

    def _patience(self) -> float:
        now = time.monotonic()
        times = [now + TICK]
        times += [seat.start_at for seat in self._to_fill() if not seat.pid]
        watched = [seat for seat in self._workers if seat.pid and seat.killed_for is None]
        times += [job.kill_at for seat in watched for job in seat.page.started()]
        if self._kill_workers_at is not None and watched:
            times.append(self._kill_workers_at)
        return max(0.0, min(times) - now)

    def _end_service(self, wakeup: int) -> None:
        """Let the service settle what is open, say goodbye to the stores, and end."""
        self._tell(encode({"stop": True}))
        ends_at = time.monotonic() + LAST_WORDS
        while self._service.pid and (left := ends_at - time.monotonic()) > 0:
            self._page.touch()
            if select.select([wakeup], [], [], min(left, TICK))[0]:
                os.read(wakeup, 4096)
            self._reap()
        if self._service.pid:
            logger.warning("The store did not take everything back in time; other runners will.")
            _send(self._service.pid, signal.SIGKILL)


def _send(pid: int, number: int) -> None:
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _dead_children() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            yield pid, status


@contextlib.contextmanager
def _signal_pipe(received: list[int]) -> Iterator[int]:
    """A file descriptor that becomes readable when a signal arrives; those that ask for something are listed."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    before = {number: signal.signal(number, lambda n, _: received.append(n)) for number in _HEEDED}
    before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    try:
        yield readable
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(readable)
        os.close(writable)


_HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
