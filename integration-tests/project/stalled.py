"""A task whose worker is stopped while it runs, and goes on when the job is somebody else's; see ``project.tasks``."""

from __future__ import annotations

import os
import time

from dlq import JobContext, Snooze, task
from project.tasks import is_open, trace


@task(takes_context=True, max_attempts=3)
def speak(context: JobContext[..., int], label: str, end: str) -> int:
    """Passes through ``first`` or, when its worker was lost before, through ``again``, and speaks then."""
    gate = "again" if context.task_result.interruptions else "first"  # type: ignore[attr-defined]
    trace(gate, label)
    while not is_open(gate):
        time.sleep(0.005)
    context.progress(1, 2, f"says {gate}")
    context.log(f"says {gate}")
    context.metadata["said"] = gate
    if gate == "first" and end == "snooze":
        raise Snooze(3600)
    if gate == "first" and end == "raise":
        raise ValueError("too late")
    return os.getpid()
