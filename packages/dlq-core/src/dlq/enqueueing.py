"""``enqueue`` and ``enqueue_on_commit``: for tasks that are known by name, and jobs that must wait for a commit."""

from __future__ import annotations

from typing import Any, ParamSpec, TypeVar, cast, overload

from django.tasks.base import Task as DjangoTask

from dlq.backend import QueueBackend
from dlq.errors import CallableRefused
from dlq.result import TaskResult
from dlq.task import Task

__all__ = ["enqueue", "enqueue_on_commit"]

P = ParamSpec("P")
R = TypeVar("R")


@overload
def enqueue(what: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> TaskResult[P, R]: ...


@overload
def enqueue(what: str, /, *args: Any, **kwargs: Any) -> TaskResult[..., Any]: ...


def enqueue(what: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Enqueue a task, or what a dotted path names: a task, or a callable that ``DLQ_CALLABLES`` allows.

    A callable that is not a task becomes a job of the task ``dlq.callables.call_path``, with its options: on the
    default backend and queue, tried once.

    Raises CallableRefused when the path names nothing that may be called, and what ``Task.enqueue`` raises.
    """
    from dlq.callables import resolve  # It declares a task, which needs the settings.

    if isinstance(what, DjangoTask):
        return what.enqueue(*args, **kwargs)
    if not isinstance(what, str):
        raise CallableRefused(f"{what!r} is neither a task nor a dotted path. Declare it with @task.")
    task, leading = resolve(what)
    return task.enqueue(*leading, *args, **kwargs)


def enqueue_on_commit(task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> TaskResult[P, R]:
    """Enqueue a task when the open transaction commits, even where its job could be part of the transaction.

    It is the transaction on the database that holds the jobs, else the one on ``default``, else any other that is
    open; without one the job is sent at once. Its id is known at once. A backend of Django's own, which a test has
    put in the place of ours, gets the job at once too.

    Raises EnqueueError; when the store refuses the job, the commit raises it.
    """
    backend = task.get_backend()
    if not isinstance(backend, QueueBackend):
        return task.enqueue(*args, **kwargs)
    return cast("TaskResult[P, R]", backend.enqueue_on_commit(task, args, kwargs))
