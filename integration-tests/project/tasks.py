"""Tasks for tests with real processes.

What they do they write to files outside of the store, in the folder that ``DLQ_PROJECT_TRACES`` names: so the
store cannot be wrong about it. A task that passes through a gate waits until the test has made a file of its
name.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

from django.tasks import TaskContext

from dlq import JobContext, Task, TaskTimeout, task

type AnyTask = Task[..., Any]


def traces() -> Path:
    return Path(os.environ["DLQ_PROJECT_TRACES"])


def trace(event: str, label: str) -> None:
    """Append one line, whole even when several processes do so at a time."""
    line = f"{event} {label} {os.getpid()} {threading.get_ident()} {time.monotonic()}\n"
    file = os.open(traces() / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def is_open(gate: str) -> bool:
    return (traces() / f"{gate}.open").exists()


# --- Short ones


@task(takes_context=True)
def mark_due_time(context: JobContext[..., Any]) -> None:
    """Writes down what it was due for: the key of its schedule, and seconds since 1970."""
    assert context.due_at is not None
    trace("due", f"{context.schedule}@{context.due_at.timestamp():.0f}")


@task
def add(a: Any, b: Any) -> Any:
    return a + b


@task
def fail(reason: str) -> None:
    """Raises, whenever it runs."""
    raise ValueError(reason)


@task
def noop(*args: Any, **kwargs: Any) -> None:
    return None


@task
def mark(label: str) -> int:
    trace("ran", label)
    return os.getpid()


@task
def nap(label: str, seconds: float) -> None:
    trace("ran", label)
    time.sleep(seconds)


# --- Those that take as long as the test wants


@task
def hold(gate: str) -> int:
    trace("began", gate)
    while not is_open(gate):
        time.sleep(0.005)
    trace("ended", gate)
    return os.getpid()


@task
async def hold_on_loop(gate: str) -> int:
    trace("began", gate)
    while not is_open(gate):  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    trace("ended", gate)
    return os.getpid()


# --- Those that raise


@task(takes_context=True, max_attempts=3, backoff=0.3)
def raise_twice(context: TaskContext[..., int], label: str) -> int:
    trace("ran", label)
    if context.attempt < 3:
        raise ValueError(f"attempt {context.attempt} of {label} fails")
    return context.attempt


# --- Those that run for too long


@task(timeout=0.3)
def notice_timeout(label: str) -> str:
    trace("began", label)
    try:
        while True:
            time.sleep(0.005)
    except TaskTimeout as error:
        trace("caught", label)
        return str(error)


@task(timeout=0.3)
async def notice_timeout_on_loop(label: str) -> str:
    trace("began", label)
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        trace("cancelled", label)
        raise
    return label


@task(timeout=0.3)
def spin(label: str) -> None:
    trace("began", label)
    while True:
        pass


@task(timeout=0.3, max_attempts=2, backoff=0.1)
def spin_for_ever(label: str) -> None:
    trace("began", label)
    while True:
        with contextlib.suppress(TaskTimeout):
            while True:
                pass


@task(timeout=0.3, max_attempts=2, backoff=0.1)
def sleep_for_ever(label: str) -> None:
    trace("began", label)
    while True:
        with contextlib.suppress(TaskTimeout):
            time.sleep(3600)


@task(timeout=0.3, max_attempts=2, backoff=0.1)
async def block_loop_for_ever(label: str) -> None:
    trace("began", label)
    while True:
        time.sleep(3600)  # noqa: ASYNC251


# --- Those that harm the process they run in


@task
def end_process(code: int) -> None:
    trace("ran", f"end-{code}")
    os._exit(code)


@task
def crash_process() -> None:
    trace("ran", "crash")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


@task
def leave() -> None:
    trace("ran", "leave")
    sys.exit("enough")
