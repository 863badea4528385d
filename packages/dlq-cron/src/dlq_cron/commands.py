"""The task that runs a management command, for the rows of ``cron.py``."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command, get_commands

from dlq import task
from dlq_cron.classic import QUEUE

__all__ = ["has_command", "run_command"]


@task(queue=QUEUE)
def run_command(command: str, /, *args: Any, **kwargs: Any) -> None:
    """Run a management command of the site, as ``call_command`` does."""
    call_command(command, *args, **kwargs)


def has_command(command: str) -> bool:
    """Whether the site has a management command of this name."""
    return command in get_commands()
