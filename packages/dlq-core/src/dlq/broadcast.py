"""``broadcast``: run a task once on every runner."""

from __future__ import annotations

from typing import ParamSpec, TypeVar, cast

from dlq.backend import QueueBackend
from dlq.errors import TaskRefused
from dlq.result import TaskResult
from dlq.task import Task

__all__ = ["BROADCAST_EXPIRES_AFTER", "broadcast"]

P = ParamSpec("P")
R = TypeVar("R")

BROADCAST_EXPIRES_AFTER = 300.0
"""Seconds after which a runner that has not run its job of a broadcast never will, unless the task says otherwise."""


def broadcast(task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> list[TaskResult[P, R]]:
    """Enqueue one job for each runner that lives now, which that runner alone will run; by the ids of the runners.

    For what each host or process tree has to do by itself, such as dropping a cache. All of the jobs are stored or
    none, and they expire: after the task's ``expires_after``, or five minutes. A runner lives while its beat is
    younger than the backend's ``alive_threshold``. One that starts later is not asked, and where none lives, the
    list is empty. A worker of the runner runs it, whatever queues that serves.

    Raises EnqueueError; nothing is stored then.
    """
    backend = task.get_backend()
    if not isinstance(backend, QueueBackend):
        raise TaskRefused(
            f"{task.module_path}: the backend {task.backend!r} is not one of DLQ and has no runners to broadcast to."
        )
    if task.expires_after is None:
        task = task.using(expires_after=BROADCAST_EXPIRES_AFTER)
    alive = [
        runner.id
        for runner in backend.inspector.runners()
        if runner.workers and runner.beat_age < backend.config.alive_threshold
    ]
    return cast("list[TaskResult[P, R]]", backend.enqueue_for_runners(task, args, kwargs, alive))
