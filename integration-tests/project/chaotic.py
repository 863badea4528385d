"""Tasks of the fault machine: each writes down that it begins and ends, under the claim that it runs for.

The lines go to the folder of the traces, outside of every store: see ``chaos.ledger``, which reads them.
"""

from __future__ import annotations

import asyncio
import os
import time

from dlq import JobContext, task
from project.tasks import traces


def write(event: str, context: JobContext[..., int]) -> int:
    """Append one line, whole even when several processes do so at a time; returns the claim's token."""
    token = context.notebook.token
    line = f"{event} {context.job_id} {token} {context.attempt} {os.getpid()} {time.monotonic()}\n"
    file = os.open(traces() / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
    return token


@task(takes_context=True)
def step(context: JobContext[..., int], seconds: float) -> int:
    write("begin", context)
    time.sleep(seconds)
    return write("end", context)


@task(takes_context=True)
async def pause(context: JobContext[..., int], seconds: float) -> int:
    write("begin", context)
    await asyncio.sleep(seconds)
    return write("end", context)


@task(takes_context=True)
def tell(context: JobContext[..., int], lines: int) -> int:
    write("begin", context)
    for number in range(lines):
        context.progress(number, lines, f"line {number}")
        context.log(f"line {number} of attempt {context.attempt}")
        time.sleep(0.01)
    return write("end", context)


@task(takes_context=True, max_attempts=3, backoff=0.1)
def falter(context: JobContext[..., int]) -> int:
    write("begin", context)
    if context.attempt < 3:
        raise ValueError(f"attempt {context.attempt} fails")
    return write("end", context)


@task(takes_context=True)
def fail(context: JobContext[..., int]) -> int:
    write("begin", context)
    raise ValueError("as always")
