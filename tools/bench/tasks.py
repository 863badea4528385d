"""The jobs that are measured: they do nothing, so that only DLQ is measured."""

import asyncio
from typing import Any

from dlq import task


@task
def noop(*args: Any, **kwargs: Any) -> None:
    """Return at once."""


@task
async def sleeper() -> None:
    """Wait for a tenth of a second, as for an answer of somebody else."""
    await asyncio.sleep(0.1)
