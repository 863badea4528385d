"""Which task wants to hear of which changes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from django.apps import apps
from django.db.models import Model, Q
from django.tasks.base import Task

__all__ = ["EVENTS", "Event", "Listener", "listeners", "on_change"]

type Event = Literal["insert", "update", "delete"]

EVENTS: tuple[str, ...] = get_args(Event.__value__)
T = TypeVar("T", bound="Task[..., Any]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A task, and one kind of change of one model's rows."""

    task: Task[..., Any]
    on: type[Model] | str
    event: str
    when: Q | None
    fields: tuple[str, ...] | None

    @property
    def model(self) -> type[Model]:
        """The model, which may have been given as ``"shop.Order"``.

        Raises LookupError when there is no such model.
        """
        model = apps.get_model(self.on) if isinstance(self.on, str) else self.on
        return model._meta.concrete_model or model

    def __str__(self) -> str:
        """As messages name it."""
        label = self.on if isinstance(self.on, str) else self.on._meta.label
        return f"{self.task.module_path} on {self.event} of {label}"


def on_change(
    model: type[Model] | str, *events: Event, when: Q | None = None, fields: Sequence[str] | None = None
) -> Callable[[T], T]:
    """Have a task run for every row of a model's table that is inserted, updated or deleted.

    Put it above ``@task``. The job is stored by a trigger, in the transaction of whoever writes: bulk updates, raw SQL
    and COPY included. The task is called with the keyword arguments ``old`` and ``new``: the row before and after, as
    a dict by ``attname``, or None. An update that changes nothing makes no job.

    ``when`` narrows it down, by names that begin with ``old__`` and ``new__``: ``Q(new__status="paid")``. ``fields``
    names those that the task gets, where it needs few of many.

    Raises TypeError for events that do not exist, for what is no task, and for a task that cannot be called so.
    """
    unknown = set(events).difference(EVENTS)
    if unknown or not events:
        raise TypeError(f"on_change: events={events!r} must be some of {', '.join(map(repr, EVENTS))}.")
    if when is not None and not isinstance(when, Q):
        raise TypeError(f"on_change: when={when!r} must be a Q, such as Q(new__status='paid').")

    def register(task: T) -> T:
        _refuse_what_cannot_be_called(task)
        for event in dict.fromkeys(events):
            _add(
                Listener(
                    task=task,
                    on=model,
                    event=event,
                    when=when,
                    fields=None if fields is None else tuple(fields),
                )
            )
        return task

    return register


def listeners() -> list[Listener]:
    """Those of all modules that have been imported."""
    return list(_listeners.values())


_listeners: dict[str, Listener] = {}


def _add(listener: Listener) -> None:
    before = _listeners.get(str(listener))
    # Another function under the same name is what a module leaves behind that is imported again.
    if before is not None and before.task.func is listener.task.func:
        raise TypeError(f"on_change: {listener} is declared twice; combine the conditions with |.")
    _listeners[str(listener)] = listener


def _refuse_what_cannot_be_called(task: Any) -> None:
    if not isinstance(task, Task):
        raise TypeError(f"on_change: {task!r} is no task. Put @on_change above @task.")
    if (concurrency := getattr(task, "concurrency", None)) is not None:
        raise TypeError(
            f"on_change: {task.module_path} has {concurrency!r}, whose key a trigger cannot make. "
            f"Have the task enqueue another one that has it."
        )
    try:
        inspect.signature(task.func).bind(*["context"] * task.takes_context, old=None, new=None)
    except TypeError as error:
        raise TypeError(
            f"on_change: {task.module_path} is called with old=… and new=…, and cannot be: {error}."
        ) from None
