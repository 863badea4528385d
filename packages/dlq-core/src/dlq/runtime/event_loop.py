"""Keeping jobs on one event loop apart: what each of them leaves there, and the threads that it uses."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from asgiref.sync import SyncToAsync

from dlq.runtime.connections import tidy_connections
from dlq.runtime.isolation import STRAY_FORK

__all__ = ["Footprint", "prepared_loop"]


class Footprint:
    """What a job has done on its loop. To be made in the asyncio task that runs the job."""

    __slots__ = ("_spawned", "used_thread")

    def __init__(self) -> None:
        self.used_thread = False
        """Whether it called ``sync_to_async``, for the thread that all jobs share."""
        self._spawned: set[asyncio.Task[Any]] = set()
        _footprint.set(self)

    def add(self, task: asyncio.Task[Any]) -> None:
        """The job has made a task."""
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)

    def left(self) -> list[str]:
        """The names of the tasks that it made, and that still run."""
        return sorted(_name_of(task) for task in self._spawned)


_footprint: ContextVar[Footprint] = ContextVar("dlq_footprint")

_loops: dict[int, asyncio.AbstractEventLoop] = {}
"""The loops that run jobs, by the ids of their threads."""


@contextmanager
def prepared_loop() -> Iterator[None]:
    """Watch what jobs do on the event loop that runs here."""
    loop, thread = asyncio.get_running_loop(), threading.get_ident()
    if not isinstance(SyncToAsync.single_thread_executor, _SharedThread):
        SyncToAsync.single_thread_executor = _SharedThread(1)
    loop.set_default_executor(_TidyThreads(thread_name_prefix="asyncio"))
    loop.set_task_factory(_make_task)
    _loops[thread] = loop
    try:
        yield
    finally:
        del _loops[thread]


def _make_task(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    **options: Any,
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)  # type: ignore[arg-type]
    if (footprint := _footprint.get(None)) is not None:
        footprint.add(task)
    return task


def _name_of(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    return getattr(coroutine, "__qualname__", task.get_name())


class _SharedThread(ThreadPoolExecutor):
    """The thread in which asgiref runs what must not run in several; it knows whom it serves."""

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if (footprint := _footprint.get(None)) is not None:
            footprint.used_thread = True
        return super().submit(fn, *args, **kwargs)


class _TidyThreads(ThreadPoolExecutor):
    """The other threads of a loop: each call leaves clean connections."""

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        def call() -> T:
            try:
                return fn(*args, **kwargs)
            finally:
                tidy_connections()

        return super().submit(call)


def _end_forked_loop() -> None:
    """A coroutine has forked: if it comes back to its loop, the child must not go on with the other jobs there."""
    if (loop := _loops.get(threading.get_ident())) is not None:
        loop.call_soon(os._exit, STRAY_FORK)
        if (ready := getattr(loop, "_ready", None)) is not None:
            ready.rotate(1)  # Before all that is due there already.


os.register_at_fork(after_in_child=_end_forked_loop)
