"""What a person at a terminal sees of a runner: its banner, and log lines where the site configured none."""

from __future__ import annotations

import logging
import platform
import sys
from importlib.metadata import version

import django

from dlq.runtime.inprocess import InProcessRunner
from dlq.runtime.runner import Runner

__all__ = ["banner", "show_logs"]


def banner(runner: Runner | InProcessRunner) -> str:
    """The set-up of a runner in a few lines."""
    lines = [
        f"DLQ {version('dlq-core')} · runner {runner.info.id}",
        f"Django {django.get_version()}, Python {platform.python_version()}",
        "",
    ]
    for pool, alias in runner.pools:
        what = {"process": "one job at a time", "threads": f"{pool.threads} threads"}
        how = what.get(pool.kind, f"{pool.concurrency} coroutines")
        lines.append(f"  {pool.selector.text:<24} {pool.processes} × {how:<20} backend {alias}")
    return "\n".join(
        [*lines, "", "Ctrl-C stops when running jobs have finished; a second one hands them back."]
    )


def show_logs(level: int) -> None:
    """Print the lines of ``dlq`` to standard error, unless the site's ``LOGGING`` handles them."""
    logger = logging.getLogger("dlq")
    if logger.hasHandlers():
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(level)
