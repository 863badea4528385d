"""What was enqueued: asked, and asserted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.tasks.base import Task as DjangoTask

from dlq import payload
from dlq.backend import queue_backend
from dlq.control import job_pages
from dlq.job import JobRecord
from dlq.on_commit import waiting_ids
from dlq.store import JobFilter

__all__ = ["assert_enqueued", "assert_not_enqueued", "enqueued"]


def enqueued(task: DjangoTask[..., Any] | None = None, *, backend: str | None = None) -> list[JobRecord]:
    """The jobs of a task, or of all tasks, whatever has become of them since, the oldest first.

    Those of one batch come in any order. ``backend`` is the one that the task names, or ``default``. Jobs that
    wait for a commit are not among them, and neither are duplicates.
    """
    alias = backend or (task.backend if task is not None else "default")
    chosen = JobFilter(tasks=None if task is None else {task.module_path})
    found = [job for page in job_pages(queue_backend(alias), chosen) for job in page]
    return sorted((job for job in found if job.duplicate_of is None), key=lambda job: job.enqueued_at)


def assert_enqueued(
    task: DjangoTask[..., Any],
    *,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    count: int | None = None,
    queue: str | None = None,
    backend: str | None = None,
) -> None:
    """Assert that there are jobs of the task, with these arguments and on this queue where they are given.

    At least one, or exactly ``count``. Jobs that have run count like those that wait.

    Raises AssertionError, which lists the jobs that there are.
    """
    found = len(_matching(task, args, kwargs, queue, backend))
    if found != count if count is not None else not found:
        wanted = "" if count is None else f", not {count}"
        raise AssertionError(
            f"{_there_are(found)} of {_described(task, args, kwargs, queue)}{wanted}.{_what_is_there(task, backend)}"
        )


def assert_not_enqueued(
    task: DjangoTask[..., Any],
    *,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    queue: str | None = None,
    backend: str | None = None,
) -> None:
    """Assert that there is no job of the task, with these arguments and on this queue where they are given.

    Raises AssertionError, which lists the jobs that there are.
    """
    if found := len(_matching(task, args, kwargs, queue, backend)):
        raise AssertionError(
            f"{_there_are(found)} of {_described(task, args, kwargs, queue)}.{_what_is_there(task, backend)}"
        )


def _matching(
    task: DjangoTask[..., Any],
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    queue: str | None,
    backend: str | None,
) -> list[JobRecord]:
    # As they travel: a tuple is a list there.
    _, wanted_args, wanted_kwargs = payload.encode(args or (), kwargs or {})
    found = []
    for job in enqueued(task, backend=backend):
        its_args, its_kwargs = payload.decode(job.payload)
        if (
            (args is None or its_args == wanted_args)
            and (kwargs is None or its_kwargs == wanted_kwargs)
            and queue in (None, job.queue)
        ):
            found.append(job)
    return found


def _there_are(found: int) -> str:
    return {0: "There is no job", 1: "There is 1 job"}.get(found, f"There are {found} jobs")


def _described(
    task: DjangoTask[..., Any],
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    queue: str | None,
) -> str:
    asked = {"args": None if args is None else list(args), "kwargs": kwargs, "queue": queue}
    given = [f"{name}={value!r}" for name, value in asked.items() if value is not None]
    return task.module_path + (f" with {', '.join(given)}" if given else "")


def _what_is_there(task: DjangoTask[..., Any], backend: str | None) -> str:
    alias = backend or task.backend
    jobs = enqueued(backend=alias)
    lines = [f"Backend {alias!r} has {len(jobs)} jobs{':' if jobs else '.'}", *map(_line, jobs)]
    if waiting := waiting_ids():
        lines.append(
            f"{len(waiting)} more are sent when the open transaction commits. In a TestCase, wrap what enqueues in "
            f"captureOnCommitCallbacks(execute=True)."
        )
    return "\n".join(["", *lines])


def _line(job: JobRecord) -> str:
    args, kwargs = payload.decode(job.payload)
    return f"  {job.task} args={args!r} kwargs={kwargs!r} queue={job.queue!r} ({job.state.label})"
