"""Tasks that tell where they run."""

from __future__ import annotations

import os
import threading

from dlq import task
from project.tasks import trace


@task
def is_in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@task
def environment(name: str) -> str | None:
    return os.environ.get(name)


@task
def stop_at_breakpoint() -> int:
    answer = 41
    breakpoint()  # noqa: T100
    return answer


@task(timeout=0.2)
def outlast_timeout(label: str) -> str:
    trace("began", label)
    try:
        threading.Event().wait(3600)
    finally:
        trace("ended", label)
    return label
