"""The job that is measured: it does nothing, so that only DLQ is measured."""

from typing import Any

from dlq import task


@task
def noop(*args: Any, **kwargs: Any) -> None:
    """Return at once."""
