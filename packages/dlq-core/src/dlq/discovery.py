"""The tasks that a site has: those in the ``tasks`` modules of its installed apps."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from django.apps import apps
from django.tasks.base import Task
from django.utils.module_loading import module_has_submodule

from dlq import conf

__all__ = ["known_tasks", "load_all_tasks"]


def load_all_tasks() -> list[ModuleType]:
    """Import ``<app>.tasks`` of every installed app that has one, but for those in ``DLQ_IGNORE_APPS``.

    Raises whatever such a module raises: only one that does not exist is passed over.
    """
    ignored = conf.load().ignore_apps
    modules = [config.module for config in apps.get_app_configs() if config.module is not None]
    return [
        import_module(f"{module.__name__}.tasks")
        for module in modules
        if module.__name__ not in ignored and module_has_submodule(module, "tasks")
    ]


def known_tasks() -> list[Task[..., Any]]:
    """Every task, Django's own kind included, that is an attribute of one of those modules; each once."""
    found = [
        value for module in load_all_tasks() for value in vars(module).values() if isinstance(value, Task)
    ]
    # By identity: the same function with another queue, made by using(), is another task here.
    return list({id(task): task for task in found}.values())
