"""Tasks that somebody cancels, watches or recycles their worker for; see ``project.tasks`` for traces and gates."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import Any

from dlq import JobCancelled, JobContext, task
from project.tasks import is_open, trace

# --- Those that are cancelled


@task
def sleep(label: str) -> None:
    trace("began", label)
    time.sleep(3600)


@task
def spin(label: str) -> None:
    trace("began", label)
    while True:
        pass


@task
async def wait_on_loop(label: str) -> None:
    trace("began", label)
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        trace("cleaned", label)
        raise


@task
def refuse_to_end(label: str) -> None:
    trace("began", label)
    while True:
        with contextlib.suppress(JobCancelled):
            while True:
                pass


@task
def end_well(label: str) -> str:
    trace("began", label)
    try:
        while True:
            time.sleep(0.005)
    except JobCancelled:
        return "ended well"


# --- Those that a stop need not wait for, and those that enqueue others


@task(sigkill_on_stop=True)
def hold_until_killed(gate: str) -> None:
    trace("began", gate)
    while not is_open(gate):
        time.sleep(0.005)


@task
def split(label: str) -> None:
    trace("ran", label)
    if len(label) < 4:
        split.enqueue(label + "a")
        split.enqueue(label + "b")


# --- Those that talk


@task(takes_context=True, metadata={"source": "upload"})
def report(context: JobContext[..., None], gate: str) -> None:
    context.progress(1, 4, "reads rows")
    context.metadata["rows"] = 400
    context.log("first line\nsecond line")
    trace("began", gate)
    while not is_open(gate):
        time.sleep(0.005)
    context.progress(4, 4, "has read all")
    context.log("last line")


# --- Those that hold memory

_kept: list[Any] = []


@task
def keep(mebibytes: int) -> int:
    _kept.append(b"\1" * (mebibytes << 20))
    return os.getpid()


@task
def keep_for_ever(label: str, mebibytes: int) -> None:
    trace("began", label)
    _kept.append(b"\1" * (mebibytes << 20))
    time.sleep(3600)
