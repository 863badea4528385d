"""``cron.py`` with a list ``CONFIG`` of management commands, as django-lightweight-queue reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from django.apps import apps
from django.utils.module_loading import module_has_submodule

from dlq import conf
from dlq_cron.definition import Definition, define
from dlq_cron.errors import ScheduleError

__all__ = ["config_modules", "definition_of_row", "rows_of"]

QUEUE = "cron"
"""Where rows put their jobs, if they do not say otherwise."""
TIMEZONE = "UTC"
"""Where the hours of a row are meant, if it does not say otherwise: that is how these rows have always been read."""
OF_THE_ROW = (
    *("command", "command_args", "command_kwargs", "days", "hours", "minutes"),
    *("queue", "timeout", "sigkill_on_stop"),
)
OF_SCHEDULES = (
    *("timezone", "start", "end", "repeat", "jitter", "missed", "missed_limit", "missed_window", "overlap"),
    *("priority", "description"),
)

_DAY_0 = re.compile(r"(?<![\d/])0+(?!\d)")
"""Cron text has it for Sunday, and these rows do not."""


def config_modules() -> Iterator[tuple[str, ModuleType | Exception]]:
    """The ``cron`` modules of the installed apps by name, or what their import raises.

    Those in ``DLQ_IGNORE_APPS`` are passed over. Raises ConfigError.
    """
    ignored = conf.load().ignore_apps
    modules = [config.module for config in apps.get_app_configs() if config.module is not None]
    for module in modules:
        if module.__name__ in ignored or not module_has_submodule(module, "cron"):
            continue
        name = f"{module.__name__}.cron"
        try:
            yield name, import_module(name)
        except Exception as error:
            yield name, error


def rows_of(module: ModuleType) -> Iterator[tuple[str, object]]:
    """The rows of a module's ``CONFIG``, each with a key of its own; none where there is no ``CONFIG``.

    The second row with a command has ``#2`` in its key, and so on.
    """
    seen: dict[object, int] = {}
    for row in getattr(module, "CONFIG", ()):
        command = row.get("command") if isinstance(row, Mapping) else None
        name = str(command)
        seen[name] = number = seen.get(name, 0) + 1
        yield f"{module.__name__}:{name}" + (f"#{number}" if number > 1 else ""), row


def definition_of_row(key: str, row: object) -> Definition:
    """The schedule that a row means.

    Raises ScheduleError, SpecError, InvalidTask.
    """
    from dlq_cron.commands import has_command, run_command  # It declares a task, which needs the settings.

    if not isinstance(row, Mapping):
        raise ScheduleError(f"{row!r} is no dict.")
    for name in row:
        if name not in OF_THE_ROW + OF_SCHEDULES:
            raise ScheduleError(f"{name!r} is unknown; a row has {', '.join(OF_THE_ROW + OF_SCHEDULES)}.")
    for name in ("command", "hours", "minutes"):
        if name not in row:
            raise ScheduleError(
                f"{name!r} is missing{'' if name == 'command' else "; write '*' for all of them"}."
            )
    command = row["command"]
    if not isinstance(command, str) or not has_command(command):
        raise ScheduleError(f"there is no management command {command!r}.")
    words = row.get("command_args", ())
    if not isinstance(words, list | tuple):
        raise ScheduleError(f"command_args={words!r} must be a list or tuple.")
    fields = [_field(row, name) for name in ("minutes", "hours", "days")]
    task = run_command.using(
        queue=row.get("queue", QUEUE),
        timeout=row.get("timeout"),
        sigkill_on_stop=row.get("sigkill_on_stop", False),
    )
    return define(
        key,
        task,
        f"{fields[0]} {fields[1]} * * {fields[2]}",
        args=[command, *words],
        kwargs=row.get("command_kwargs"),
        **{"timezone": TIMEZONE} | {name: row[name] for name in OF_SCHEDULES if name in row},
    )


def _field(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name, "*")
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value).split()) != 1:
        raise ScheduleError(
            f"{name}={value!r} must be '*', a number, or text such as '1,15', '8-17' or '*/5'."
        )
    if name == "days" and _DAY_0.search(str(value)):
        raise ScheduleError(f"days={value!r} must be from 1, Monday, to 7, Sunday.")
    return str(value)
