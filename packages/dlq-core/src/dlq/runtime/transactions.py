"""Whether a task runs in a transaction."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.core.signals import setting_changed
from django.tasks.base import Task as DjangoTask

from dlq import conf
from dlq.task import Task

__all__ = ["is_atomic"]


def is_atomic(task: DjangoTask[..., Any]) -> bool:
    """Whether a task that is a function runs in a transaction of the default database.

    As it says itself, else as ``DLQ_ATOMIC`` says, which is read once in each process. Coroutines never do.
    """
    chosen = task.atomic if isinstance(task, Task) else None
    return _is_default() if chosen is None else chosen


@cache
def _is_default() -> bool:
    return conf.load().atomic


def _setting_changed(*, setting: str, **kwargs: Any) -> None:
    if setting == "DLQ_ATOMIC":
        _is_default.cache_clear()


setting_changed.connect(_setting_changed)
