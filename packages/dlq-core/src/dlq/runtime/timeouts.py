"""Soft timeouts: TaskTimeout raised inside a task whose time is up, where the task can catch it."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from dlq.errors import TaskTimeout
from dlq.runtime.execution import Execution

__all__ = ["AlarmTimeouts", "CoroutineTimeout", "ThreadTimeouts"]

NEVER = float("inf")


def _time_is_up(execution: Execution) -> TaskTimeout:
    """The error for an execution that took too long."""
    return TaskTimeout(f"{execution.claim.task} ran for longer than its timeout of {execution.timeout:g} s.")


class AlarmTimeouts:
    """By SIGALRM, which interrupts even a blocking system call; only for the main thread of a process."""

    @contextmanager
    def limited(self, execution: Execution) -> Iterator[None]:
        """Raise TaskTimeout in the block when the execution's timeout is over."""
        if execution.timeout is None:
            yield
            return

        def ring(number: int, frame: FrameType | None) -> None:
            raise _time_is_up(execution)

        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, execution.timeout)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


class ThreadTimeouts:
    """By an asynchronous exception in the thread, which takes effect once the thread runs Python again."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        """``wake`` is called when ``ring`` must be called earlier than it said last."""
        self._wake = wake
        self._lock = threading.Lock()
        self._watched: dict[int, float] = {}
        self._next = NEVER

    @contextmanager
    def limited(self, execution: Execution) -> Iterator[None]:
        """Raise TaskTimeout in the block some time after the execution's timeout, when ``ring`` is called."""
        if execution.timeout is None:
            yield
            return
        thread, ends_at = threading.get_ident(), execution.began + execution.timeout
        with self._lock:
            self._watched[thread] = ends_at
            sooner, self._next = ends_at < self._next, min(ends_at, self._next)
        if sooner:
            self._wake()
        try:
            yield
        except TaskTimeout as error:
            # An asynchronous exception is made from a class alone: it comes without words.
            error.args = error.args or _time_is_up(execution).args
            raise
        finally:
            with self._lock:
                self._watched.pop(thread, None)

    def ring(self) -> float | None:
        """Interrupt the threads whose time is up; seconds until the next one's is, None when there is none."""
        now = time.monotonic()
        with self._lock:
            for thread, ends_at in list(self._watched.items()):
                if ends_at <= now:
                    del self._watched[thread]
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(thread), ctypes.py_object(TaskTimeout)
                    )
            self._next = min(self._watched.values(), default=NEVER)
            return max(0.0, self._next - now) if self._watched else None


class CoroutineTimeout:
    """By cancelling a coroutine at what it awaits: ``asyncio.timeout``, whose error is ours."""

    def __init__(self, execution: Execution) -> None:
        """To be entered on the event loop that runs the coroutine."""
        self._execution = execution
        self._timeout = asyncio.timeout(execution.timeout)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *exception: object) -> None:
        try:
            await self._timeout.__aexit__(*exception)  # type: ignore[arg-type]
        except TimeoutError as error:
            # The cancellation that it was raised from shows what the coroutine waited for.
            raise _time_is_up(self._execution) from error.__cause__
