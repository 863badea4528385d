"""The arguments of stored jobs, as today's code of their tasks takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.tasks.base import Task as DjangoTask

from dlq import payload
from dlq.errors import UnknownTask, UpcastFailed
from dlq.job import Claim, JobRecord
from dlq.overrides import version_of
from dlq.task import Task

__all__ = ["arguments_of", "refuse_newer"]


def arguments_of(task: DjangoTask[..., Any], job: Claim | JobRecord) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a job of this task.

    Raises UnknownTask when they are of a version that this code does not know, UpcastFailed when they are of an
    older one and cannot be brought up to date.
    """
    version = version_of(job.overrides)
    refuse_newer(task, version)
    args, kwargs = payload.decode(job.payload)
    if not isinstance(task, Task) or version == task.version:
        return args, kwargs
    return _upcast(task, version, args, kwargs)


def refuse_newer(task: DjangoTask[..., Any], version: int) -> None:
    """Raises UnknownTask when the code that runs here does not know this version of the task."""
    known = task.version if isinstance(task, Task) else 1
    if version > known:
        raise UnknownTask(
            f"The arguments are of version {version} of {task.module_path!r}; this code knows {known}."
        )


def _upcast(
    task: Task[..., Any], version: int, args: list[Any], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    what = f"Arguments of version {version} of {task.module_path!r} could not be brought up to {task.version}"
    assert task.upcast is not None
    try:
        upcast = task.upcast(version, args, kwargs)
    except Exception as error:
        raise UpcastFailed(f"{what}: its upcast raised {error!r}.") from error
    match upcast:
        case (Sequence() as new_args, Mapping() as new_kwargs) if not isinstance(new_args, str | bytes):
            return list(new_args), dict(new_kwargs)
    raise UpcastFailed(f"{what}: its upcast returned {upcast!r}, and not (args, kwargs).")
