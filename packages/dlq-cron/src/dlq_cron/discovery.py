"""The static schedules of a site: of ``@cron``, of ``DLQ_SCHEDULES``, and of the ``cron.py`` of its apps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.tasks.base import Task as DjangoTask
from django.tasks.exceptions import InvalidTask

from dlq import conf
from dlq.discovery import load_all_tasks
from dlq.errors import DlqError
from dlq_cron.classic import config_modules, definition_of_row, rows_of
from dlq_cron.definition import Definition, define
from dlq_cron.expression import Expression

__all__ = ["Found", "Problem", "cron", "discover", "queues_of_settings_and_rows"]


class Decorator(Protocol):
    """Gives back the task that it is put on."""

    def __call__[T: DjangoTask[..., Any]](self, task: T, /) -> T: ...


@dataclass(frozen=True, slots=True)
class Problem:
    """A schedule that cannot be used."""

    where: str
    """Where it stands, such as ``DLQ_SCHEDULES['nightly']``."""
    what: str


@dataclass(slots=True)
class Found:
    """What there is."""

    definitions: list[Definition] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Declared:
    task: DjangoTask[..., Any]
    spec: str | Expression
    key: str
    options: Mapping[str, Any]


_declared: list[_Declared] = []


def cron(spec: str | Expression, *, key: str | None = None, **options: Any) -> Decorator:
    """Decorator above ``@task``: have the task enqueued whenever it is due, for as long as this stands in the code.

    ``key`` is by default the path of the task; a second schedule of one task needs a key of its own. ``options`` are
    those of ``schedule``. What is wrong with them is named by ``manage.py check``, and harms no other schedule.

    Raises TypeError when it is not put on a task.
    """

    def declare[T: DjangoTask[..., Any]](task: T, /) -> T:
        if not isinstance(task, DjangoTask):
            raise TypeError(f"@cron must stand above @task: {task!r} is not a task.")
        _declared.append(_Declared(task, spec, key or task.module_path, options))
        return task

    return declare


def discover() -> Found:
    """Every static schedule, of whatever backend, and everything that is wrong with one.

    Raises ConfigError, and whatever a module with tasks raises.
    """
    load_all_tasks()
    found, where = Found(), dict[tuple[str, str], str]()
    for place, make in (*_of_modules(found), *_of_decorators(), *_of_settings()):
        try:
            definition = make()
        except (DlqError, InvalidTask, TypeError, ValueError) as error:
            found.problems.append(Problem(place, str(error)))
            continue
        name = (definition.backend, definition.key)
        if name in where:
            text = f"the key {definition.key!r} is already that of {where[name]}; give each a key of its own."
            found.problems.append(Problem(place, text))
        else:
            where[name] = place
            found.definitions.append(definition)
    return found


type _Maker = tuple[str, Callable[[], Definition]]


def _of_modules(found: Found) -> Iterator[_Maker]:
    for name, module in config_modules():
        if isinstance(module, Exception):
            found.problems.append(Problem(name, f"it cannot be imported: {module!r}"))
            continue
        try:
            rows = list(rows_of(module))
        except TypeError as error:
            found.problems.append(Problem(name, f"CONFIG must be a list of dicts: {error}"))
            continue
        for number, (key, row) in enumerate(rows):
            yield f"{name}.CONFIG[{number}]", lambda key=key, row=row: definition_of_row(key, row)  # type: ignore[misc]


def _of_decorators() -> Iterator[_Maker]:
    for each in tuple(_declared):
        yield (
            f"@cron on {each.task.module_path}",
            lambda each=each: define(each.key, each.task, each.spec, **each.options),  # type: ignore[misc]
        )


def _of_settings() -> Iterator[_Maker]:
    for key, row in conf.load().schedules.items():
        yield f"DLQ_SCHEDULES[{key!r}]", lambda key=key, row=row: _of_row(key, row)  # type: ignore[misc]


def _of_row(key: str, row: object) -> Definition:
    if not isinstance(row, Mapping):
        raise TypeError(f"{row!r} must be a mapping with 'task' and 'spec'.")
    options = dict(row)
    for name in ("task", "spec"):
        if name not in options:
            raise TypeError(f"{name!r} is missing.")
    return define(key, options.pop("task"), options.pop("spec"), **options)


def queues_of_settings_and_rows() -> Iterator[str]:
    """The queues that schedules name beside their tasks, where they can be read at all."""
    for _, module in config_modules():
        rows = [] if isinstance(module, Exception) else getattr(module, "CONFIG", [])
        for row in rows if isinstance(rows, list | tuple) else ():
            if isinstance(row, Mapping):
                yield row.get("queue", "cron")
    for row in conf.load().schedules.values():
        if isinstance(row, Mapping) and "queue" in row:
            yield row["queue"]
