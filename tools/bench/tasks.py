"""The jobs that are measured: they do nothing, so that only DLQ is measured."""

import asyncio
import time
from pathlib import Path
from typing import Any

from dlq import task


@task
def noop(*args: Any, **kwargs: Any) -> None:
    """Return at once."""


@task
def tell_start(pipe: str) -> None:
    """Write into a named pipe when this was called."""
    started = time.monotonic()
    with Path(pipe).open("w") as file:
        file.write(f"{started}\n")


@task
async def sleeper() -> None:
    """Wait for a tenth of a second, as for an answer of somebody else."""
    await asyncio.sleep(0.1)
