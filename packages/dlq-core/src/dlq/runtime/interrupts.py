"""Interrupting a task from outside: TaskTimeout when its time is up, JobCancelled when its job is to be cancelled.

A job is interrupted once at most, whatever comes first. The interruption lands inside the task, where the task can
catch it, or nowhere: never in what the worker does before and after, never in the next job.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from dlq.errors import JobCancelled, TaskTimeout

if TYPE_CHECKING:
    from dlq.runtime.execution import Execution

__all__ = ["AlarmInterrupts", "CoroutineInterrupts", "Interrupts", "ThreadInterrupts", "Uninterrupted"]

NEVER = float("inf")
EARLY = 0.05
"""Seconds: an alarm that comes earlier than that was meant for another job."""


class Interrupts(Protocol):
    """A way to interrupt what a thread does."""

    def call[T](self, execution: Execution, function: Callable[[], T]) -> T:
        """Call the function for this execution, and let interruptions come until it has returned."""


class Uninterrupted:
    """For callers that see to time limits and cancelling themselves."""

    def call[T](self, execution: Execution, function: Callable[[], T]) -> T:
        """Call the function."""
        return function()


class _Watch(Protocol):
    def open(self) -> None:
        """Interruptions may come."""

    def close(self) -> None:
        """None can come any more when this has returned, and none is on its way. Harmless when repeated."""


def _call[T](execution: Execution, watch: _Watch, function: Callable[[], T]) -> T:
    value: list[T] = []
    try:
        try:
            watch.open()
            value.append(function())
        finally:
            watch.close()
    except (TaskTimeout, JobCancelled) as error:
        # It may have come while the watch was being closed, and there is but one.
        watch.close()
        if not value:
            # An asynchronous exception is made from a class alone: it comes without words.
            error.args = error.args or _interruption(execution, type(error)).args
            raise
    return value[0]


def _interruption(execution: Execution, kind: type[BaseException]) -> TaskTimeout | JobCancelled:
    if issubclass(kind, JobCancelled):
        return JobCancelled(execution.cancel_reason or "")
    return TaskTimeout(f"{execution.claim.task} ran for longer than its timeout of {execution.timeout:g} s.")


class AlarmInterrupts:
    """By SIGALRM, which interrupts even a blocking system call; only in the main thread of a process.

    A task that uses alarms itself goes without. The kill of its process does not depend on them.
    """

    def __init__(self) -> None:
        """To be made in the main thread, whose SIGALRM it takes."""
        self._thread = threading.get_ident()
        self._execution: Execution | None = None
        """That of the task that may be interrupted."""
        self._before = signal.signal(signal.SIGALRM, self._ring)

    def release(self) -> None:
        """Give SIGALRM back."""
        signal.signal(signal.SIGALRM, self._before)

    def call[T](self, execution: Execution, function: Callable[[], T]) -> T:
        """Call the function; the signal handler raises inside it."""
        return _call(execution, _AlarmWatch(self, execution), function)

    def open(self, execution: Execution) -> None:
        """Let alarms interrupt this execution."""
        execution.interrupt = self._alarm
        self._execution = execution
        if execution.cancel_reason is not None:
            self._raise(JobCancelled)
        if execution.timeout is not None:
            signal.setitimer(signal.ITIMER_REAL, execution.timeout)

    def close(self, execution: Execution) -> None:
        """Let alarms interrupt nothing."""
        self._execution = None
        if execution.timeout is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _alarm(self) -> None:
        signal.pthread_kill(self._thread, signal.SIGALRM)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if (execution := self._execution) is None:
            return
        if execution.cancel_reason is not None:
            self._raise(JobCancelled)
        if execution.ends_at <= time.monotonic() + EARLY:
            self._raise(TaskTimeout)

    def _raise(self, kind: type[BaseException]) -> None:
        execution, self._execution = self._execution, None
        if execution is not None:
            raise _interruption(execution, kind)


class _AlarmWatch:
    __slots__ = ("_alarms", "_execution")

    def __init__(self, alarms: AlarmInterrupts, execution: Execution) -> None:
        self._alarms = alarms
        self._execution = execution

    def open(self) -> None:
        self._alarms.open(self._execution)

    def close(self) -> None:
        self._alarms.close(self._execution)


class ThreadInterrupts:
    """By an asynchronous exception in the thread, which takes effect once the thread runs Python again."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        """``wake`` is called when ``ring`` must be called earlier than it said last."""
        self._wake = wake
        self._lock = threading.Lock()
        self._watched: dict[_ThreadWatch, None] = {}
        """Those that may be interrupted. Whoever takes one out of it decides: the interrupter, or its own thread."""
        self._next = NEVER

    def call[T](self, execution: Execution, function: Callable[[], T]) -> T:
        """Call the function; ``ring`` or ``Execution.interrupt`` raise inside it."""
        return _call(execution, _ThreadWatch(self, execution), function)

    def ring(self) -> float | None:
        """Interrupt the threads whose time is up; seconds until the next one's is, None when there is none."""
        now = time.monotonic()
        with self._lock:
            for watch in list(self._watched):
                if watch.ends_at <= now:
                    self._strike(watch, TaskTimeout)
            self._next = min((watch.ends_at for watch in list(self._watched)), default=NEVER)
            return None if self._next == NEVER else max(0.0, self._next - now)

    def watch(self, watch: _ThreadWatch) -> None:
        """Interrupt it from now on."""
        # Nobody strikes while the lock is held: its own thread, which holds it here, would never give it back.
        with self._lock:
            self._watched[watch] = None
            sooner, self._next = watch.ends_at < self._next, min(watch.ends_at, self._next)
        if sooner:
            self._wake()

    def release(self, watch: _ThreadWatch) -> bool:
        """Interrupt it no more, without a lock; returns False when that is too late."""
        return self._watched.pop(watch, watch) is None

    def interrupt(self, watch: _ThreadWatch) -> None:
        """Raise JobCancelled there."""
        with self._lock:
            self._strike(watch, JobCancelled)

    def _strike(self, watch: _ThreadWatch, kind: type[BaseException]) -> None:
        if self.release(watch):
            _set_exception(watch.thread, kind)
            watch.struck = True


class _ThreadWatch:
    __slots__ = ("_closed", "_execution", "_interrupts", "ends_at", "struck", "thread")

    def __init__(self, interrupts: ThreadInterrupts, execution: Execution) -> None:
        self._interrupts = interrupts
        self._execution = execution
        self._closed = False
        self.ends_at = execution.ends_at
        self.thread = threading.get_ident()
        self.struck = False
        """Whether the exception was set; it may still be on its way."""

    def open(self) -> None:
        self._execution.interrupt = partial(self._interrupts.interrupt, self)
        self._interrupts.watch(self)
        if self._execution.cancel_reason is not None and self._interrupts.release(self):
            self._closed = True
            raise _interruption(self._execution, JobCancelled)

    def close(self) -> None:
        if not self._closed and not self._interrupts.release(self):
            while not self.struck:
                os.sched_yield()
            _set_exception(self.thread, None)
        self._closed = True


def _set_exception(thread: int, kind: type[BaseException] | None) -> None:
    exception = ctypes.py_object(kind) if kind is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), exception)


class CoroutineInterrupts:
    """By cancelling a coroutine at what it awaits: ``asyncio.timeout``, whose error is ours."""

    def __init__(self, execution: Execution) -> None:
        """To be entered on the event loop that runs the coroutine."""
        self._execution = execution
        self._timeout = asyncio.timeout(execution.timeout)
        self._kind: type[BaseException] = TaskTimeout

    async def __aenter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._execution.interrupt = self._interrupt_soon
        if self._execution.cancel_reason is not None:
            raise _interruption(self._execution, JobCancelled)
        await self._timeout.__aenter__()

    async def __aexit__(self, *exception: object) -> None:
        try:
            await self._timeout.__aexit__(*exception)  # type: ignore[arg-type]
        except TimeoutError as error:
            # The cancellation that it was raised from shows what the coroutine waited for.
            raise _interruption(self._execution, self._kind) from error.__cause__

    def _interrupt_soon(self) -> None:
        with suppress(RuntimeError):  # The loop has ended.
            self._loop.call_soon_threadsafe(self._interrupt)

    def _interrupt(self) -> None:
        with suppress(RuntimeError):  # The time was up already, or the coroutine has ended.
            self._timeout.reschedule(self._loop.time())
            self._kind = JobCancelled
