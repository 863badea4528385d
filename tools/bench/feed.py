"""A steady load: ``python -m bench.feed 20000`` enqueues jobs as fast as they are worked off, a few thousand ahead."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING:
    from dlq import TaskResult

CHUNK = 1000
AHEAD = 4
"""Chunks that wait or run; enough that no worker ever idles."""
PATIENCE = 300.0


def feed(jobs: int) -> None:
    """Enqueue so many, and return when the last has finished. All have the same priority, so the last ends last."""
    from bench import tasks
    from bench.drain import ARGUMENTS

    last = [tasks.noop.enqueue_many([ARGUMENTS] * CHUNK)[-1] for _ in range(AHEAD)]
    for number in range(AHEAD, jobs // CHUNK):
        _wait_for(last[number - AHEAD])
        last.append(tasks.noop.enqueue_many([ARGUMENTS] * CHUNK)[-1])
    for result in last[-AHEAD:]:
        _wait_for(result)


def _wait_for(result: TaskResult[..., Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        result.refresh()
        if result.is_finished:
            return
        time.sleep(0.02)
    raise SystemExit(f"A chunk of {CHUNK} jobs was not worked off within {PATIENCE:g} s.")


if __name__ == "__main__":
    django.setup()
    feed(int(sys.argv[1]))
