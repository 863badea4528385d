"""Keeping a task's changes to its process from the next job.

Put back after each job, with a warning that names the task: the working directory, the umask, the locale, the
recursion limit, the standard streams, and of signals the handlers, masks and timers. Named in a warning and left
alone: threads, and tasks on an event loop, that outlive their job. Not looked after: ``os.environ``, modules and
their globals, which libraries set up once and rely on. Context variables, with them Django's language and time
zone, belong to the job.
"""

from __future__ import annotations

import contextlib
import locale
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from typing import NoReturn, TextIO, cast

from dlq.job import Claim
from dlq.logs import get_logger

__all__ = ["OWN_THREADS", "STRAY_FORK", "Home", "end_stray_fork", "ignore_timers", "warn"]

logger = get_logger("dlq.worker")

STRAY_FORK = 70
"""Exit code of a process that a task forked and that came back to the worker (EX_SOFTWARE)."""

HANDLERS = sorted(
    (number for number in signal.Signals if number < 32 and number not in (signal.SIGKILL, signal.SIGSTOP)),
    key=lambda number: number.name,
)
"""The signals whose handlers are put back: all but those for real-time use."""
TIMERS = {
    signal.ITIMER_REAL: signal.SIGALRM,
    signal.ITIMER_VIRTUAL: signal.SIGVTALRM,
    signal.ITIMER_PROF: signal.SIGPROF,
}
OWN_THREADS = "slot"
POOLS = (OWN_THREADS, "ThreadPoolExecutor-", "asyncio_")
"""Names of threads that serve one caller after another, and end when their pool is forgotten."""

type Restore = Callable[[], str | None]
"""Puts one thing back; returns what was wrong with it, or None."""


class Home:
    """The state of the process as jobs are to find it."""

    def __init__(self, *, shared: bool) -> None:
        """The state as it is now. ``shared``: several jobs run at a time, and what one sees others may have done."""
        self._copies = {number: os.dup(number) for number in (0, 1, 2) if _is_standard(number)}
        """Descriptors of the standard streams that no task knows of."""
        self._parts: list[Restore] = [
            _recursion_limit(),  # First: the others need room to be called.
            _standard_streams(self._copies, shared),  # Second: warnings need a place to go.
            _timers,
            _signal_mask(),
            _working_directory(),
            _umask(),
            _locale(),
        ]
        if threading.current_thread() is threading.main_thread():
            self._parts.append(_handlers())
        self._threads = _Threads()

    def close(self) -> None:
        """Give back what this holds; nothing can be restored any more."""
        for number in self._copies.values():
            os.close(number)

    def restore(self, claim: Claim, *, alone: bool = True) -> None:
        """Put back what has changed, in the thread that ran the job. ``alone``: no other job runs."""
        for part in self._parts:
            try:
                if wrong := part():
                    warn("Job %s %s changed %s, which is put back.", claim, wrong)
            except Exception:
                with contextlib.suppress(Exception):
                    logger.exception("What job %s %s changed cannot be put back.", claim.id, claim.task)
        if alone and (names := self._threads.left()):
            warn("Job %s %s left threads running: %s.", claim, ", ".join(names))


def warn(message: str, claim: Claim, names: str) -> None:
    """Log what a job has left behind."""
    fields = {"job_id": str(claim.id), "task_path": claim.task, "queue": claim.queue}
    with contextlib.suppress(
        Exception
    ):  # A log that cannot be written must not decide what becomes of a job.
        logger.warning(message, claim.id, claim.task, names, extra=fields)


def _working_directory() -> Restore:
    home = os.getcwd()  # noqa: PTH109  # Not Path.cwd, which takes three times as long.

    def restore() -> str | None:
        try:
            if os.getcwd() == home:  # noqa: PTH109
                return None
        except FileNotFoundError:
            pass  # It was removed.
        os.chdir(home)
        return "the working directory"

    return restore


def _umask() -> Restore:
    home = os.umask(0o077)
    os.umask(home)
    return lambda: None if os.umask(home) == home else "the umask"


def _locale() -> Restore:
    home = locale.setlocale(locale.LC_ALL)

    def restore() -> str | None:
        if locale.setlocale(locale.LC_ALL) == home:
            return None
        locale.setlocale(locale.LC_ALL, home)
        return "the locale"

    return restore


def _recursion_limit() -> Restore:
    home = sys.getrecursionlimit()

    def restore() -> str | None:
        if sys.getrecursionlimit() == home:
            return None
        sys.setrecursionlimit(home)
        return "the recursion limit"

    return restore


def _timers() -> str | None:
    """One that goes on would interrupt, or end, the next job."""
    left = [which for which in TIMERS if signal.getitimer(which) != (0.0, 0.0)]
    for which in left:
        signal.setitimer(which, 0)
    return f"the timers that send {', '.join(TIMERS[which].name for which in left)}" if left else None


def ignore_timers() -> None:
    """Where jobs run in threads, nobody waits for these signals, and their default is to end the process."""
    for number in TIMERS.values():
        signal.signal(number, signal.SIG_IGN)


def _signal_mask() -> Restore:
    """Each thread has its own; those that run jobs have begun with that of the main thread."""
    home = _mask(signal.SIG_BLOCK, ())

    def restore() -> str | None:
        if _mask(signal.SIG_BLOCK, ()) == home:
            return None
        _mask(signal.SIG_SETMASK, home)
        return "the signals that are blocked"

    return restore


def _handlers() -> Restore:
    """Only the main thread can change handlers, or put them back."""
    numbers = [int(number) for number in HANDLERS]
    home = list(map(_handler, numbers))

    def restore() -> str | None:
        if list(map(_handler, numbers)) == home or threading.current_thread() is not threading.main_thread():
            return None
        changed = [(n, was) for n, was in zip(HANDLERS, home, strict=True) if _handler(n) is not was]
        for number, was in changed:
            signal.signal(number, was)
        return f"the handlers of {', '.join(number.name for number, _ in changed)}"

    return restore


def _standard_streams(copies: dict[int, int], shared: bool) -> Restore:
    """A descriptor that a task closes is given to the next file, or connection, that is opened.

    Of several jobs at a time, one that puts another object in the place of ``sys.stdout`` may yet take it back.
    """
    home = [sys.stdin, sys.stdout, sys.stderr]

    def restore() -> str | None:
        now = [sys.stdin, sys.stdout, sys.stderr]
        if now == home or (shared and None not in now):
            try:  # Inlined, as all of this block: it is called for each job.
                if all(map(os.get_inheritable, copies)) and not any(s is not None and s.closed for s in now):
                    return None
            except OSError:
                pass
        for number, copy in copies.items():
            if not _is_standard(number):
                os.dup2(copy, number)
        for number, stream in enumerate(home):
            if stream is not None and stream.closed:
                home[number] = _reopened(number, stream)
        sys.stdin, sys.stdout, sys.stderr = home
        return "the standard streams"

    return restore


def _is_standard(number: int) -> bool:
    """Whether it is open, and still what the process was started with.

    A process inherits its standard streams; what Python opens, in a place that has become free, nobody inherits.
    """
    try:
        return os.get_inheritable(number)
    except OSError:
        return False


def _reopened(number: int, closed: TextIO) -> TextIO:
    mode = "w" if number else "r"
    # Not closed with the object: the number stays what it is, whatever a task does.
    stream = cast("TextIO", open(number, mode, 1, closed.encoding, closed.errors, closefd=False))  # noqa: SIM115
    for handler in _stream_handlers():
        if handler.stream is closed:
            handler.stream = stream  # Not setStream, which flushes the closed one.
    return stream


def _stream_handlers() -> Iterable[logging.StreamHandler[TextIO]]:
    for named in (logging.root, *logging.root.manager.loggerDict.values()):
        for handler in getattr(named, "handlers", ()):
            if isinstance(handler, logging.StreamHandler):
                yield handler


class _Threads:
    """The threads that were there before a job."""

    def __init__(self) -> None:
        self._known = threading.enumerate()

    def left(self) -> list[str]:
        """The names of those that have come since, and still run."""
        if (now := threading.enumerate()) == self._known:
            return []
        before, self._known = set(self._known), now
        return sorted(t.name for t in now if t not in before and not t.name.startswith(POOLS))


def end_stray_fork(claim: Claim) -> NoReturn:
    """End the copy of this process that a task has forked and let come back.

    The job is its parent's: the copy must not settle it, claim others, or commit on a connection that both hold.
    """
    logger.error(
        "A process that job %s %s forked has come back to the worker; it ends.", claim.id, claim.task
    )
    os._exit(STRAY_FORK)


try:
    # Those of the signal module make an enum of each answer, at twenty times the price.
    from _signal import getsignal as _handler  # type: ignore[import-not-found]
    from _signal import pthread_sigmask as _mask
except ImportError:
    _handler, _mask = signal.getsignal, signal.pthread_sigmask
