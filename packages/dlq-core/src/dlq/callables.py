"""Calls by dotted path, for functions that are not tasks: those that ``DLQ_CALLABLES`` allows.

An entry is the path of one callable, or ``pkg.mod.*`` for every name of that module that does not begin with an
underscore: also for those that it imports.
"""

from __future__ import annotations

from collections.abc import Iterable
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import async_to_sync
from django.tasks.base import Task as DjangoTask
from django.utils.module_loading import import_string

from dlq import conf
from dlq.errors import CallableRefused
from dlq.task import task

__all__ = ["call_path", "resolve"]


@task
def call_path(path: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call what the path names.

    Raises CallableRefused when ``DLQ_CALLABLES`` does not, or not any more, allow it here.
    """
    _refuse_unless_allowed(path)
    found = _imported(path)
    function = found.func if isinstance(found, DjangoTask) else found
    return (
        async_to_sync(function)(*args, **kwargs)
        if iscoroutinefunction(function)
        else function(*args, **kwargs)
    )


def resolve(path: str) -> tuple[DjangoTask[..., Any], tuple[str, ...]]:
    """The task to be enqueued for a dotted path, and the arguments to be put in front of the caller's.

    Raises CallableRefused when there is nothing to be called under the path, or it is neither a task nor allowed.
    """
    found = _imported(path)
    if isinstance(found, DjangoTask):
        return found, ()
    _refuse_unless_allowed(path)
    return call_path, (path,)


def _imported(path: str) -> Any:
    try:
        found = import_string(path)
    except (Exception, SystemExit) as error:
        # A module that raises or exits while it is imported is as good as none.
        raise CallableRefused(
            f"{path!r} cannot be imported here: {error!r}. Give the dotted path of a task, or of a callable at the "
            f"top level of a module."
        ) from error
    if not callable(found):
        raise CallableRefused(f"{path!r} is a {type(found).__qualname__}, which cannot be called.")
    return found


def _refuse_unless_allowed(path: str) -> None:
    patterns = conf.load().callables
    if not _is_allowed(path, patterns):
        raise CallableRefused(
            f"{path!r} is not a task, and may not be called by its path. Declare it with @task, or allow it in the "
            f"settings: DLQ_CALLABLES = {[*patterns, path]!r}"
        )


def _is_allowed(path: str, patterns: Iterable[str]) -> bool:
    module, _, name = path.rpartition(".")
    return path in patterns or (not name.startswith("_") and f"{module}.*" in patterns)
