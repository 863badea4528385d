"""System checks of the ``DLQ_*`` settings; backends check their own ``OPTIONS`` (``dlq.E002``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core import checks
from django.utils.module_loading import import_string

from dlq import conf, config_file, implied
from dlq.conf import Settings, WorkerPool
from dlq.errors import ConfigError
from dlq.selectors import Selector

__all__ = ["check_settings", "register_checks"]

MOST_MEMORY = 1024 * 1024
"""MiB. Whoever asks for more meant bytes."""


def register_checks() -> None:
    """Make ``manage.py check`` look at our settings."""
    checks.register(check_settings)


def check_settings(**kwargs: Any) -> list[checks.CheckMessage]:
    """Every mistake that the ``DLQ_*`` settings allow, with its remedy; a site without a backend of ours has none."""
    return list(_found()) if conf.our_aliases() else []


def _found() -> Iterator[checks.CheckMessage]:
    try:
        settings = conf.load()
        pools = settings.pools()
    except ConfigError as error:
        yield checks.Error(
            str(error), hint="Correct it, in the settings, the environment or the file named.", id="dlq.E001"
        )
        return
    for pool in pools:
        yield from _pool(pool)
    yield from _paths(settings)
    yield from _file()
    yield from _ignored_apps(settings)
    yield from _without_workers(pools)


# --- DLQ_WORKERS ---


def _pool(pool: WorkerPool) -> Iterator[checks.CheckMessage]:
    try:
        alias = conf.pool_alias(pool)
    except ConfigError as error:
        yield checks.Error(str(error), hint="Name one of these, or leave the backend out.", id="dlq.E003")
        return
    accepted = conf.tasks()[alias].get("QUEUES", ())
    for queue in pool.selector.expand([]):
        if accepted and queue not in accepted:
            yield checks.Error(
                f"DLQ_WORKERS serves {queue!r} on the backend {alias!r}, whose QUEUES do not have it: no job "
                f"can ever be there.",
                hint=f"Add it to TASKS[{alias!r}]['QUEUES'], correct its name, or name another backend.",
                id="dlq.E004",
            )
    if pool.max_memory > MOST_MEMORY:
        yield checks.Warning(
            f"DLQ_WORKERS gives {pool.selector.text!r} max_memory={pool.max_memory}, which is in MiB, and more "
            f"than any machine has.",
            hint="Divide the number of bytes by 1048576.",
            id="dlq.W002",
        )


def _without_workers(pools: list[WorkerPool]) -> Iterator[checks.CheckMessage]:
    """Queues of tasks that an entry with 0 processes takes away without naming them."""
    if all(pool.processes for pool in pools):
        return
    for queue, alias in implied.implied_queues():
        about = [pool for pool in pools if implied.stands_for(pool, queue, alias)]
        if about and not any(pool.processes or _names(pool.selector, queue) for pool in about):
            yield checks.Warning(
                f"A task uses the queue {queue!r}, which has no workers: DLQ_WORKERS gives "
                f"{about[0].selector.text!r} no processes.",
                hint=f"Add an entry for {queue!r} to DLQ_WORKERS; 0 there says that it is meant so.",
                id="dlq.W003",
            )


def _names(selector: Selector, queue: str) -> bool:
    return queue in selector.expand([])


# --- Paths ---


def _paths(settings: Settings) -> Iterator[checks.CheckMessage]:
    named: list[tuple[str, object]] = [("DLQ_MIDDLEWARE", path) for path in settings.middleware]
    named += [("DLQ_ON_ERROR", settings.on_error), ("DLQ_LOGGER_FACTORY", settings.logger_factory)]
    for name, path in named:
        if isinstance(path, str) and (why := _why_not_callable(path)):
            yield checks.Error(
                f"{name} names {path!r}, which {why}.",
                hint="Give the dotted path of a class or function, such as 'shop.queue.report'.",
                id="dlq.E005",
            )


def _why_not_callable(path: str) -> str | None:
    try:
        return None if callable(import_string(path)) else "cannot be called"
    except (Exception, SystemExit) as error:
        return f"cannot be imported: {error!r}"


def _file() -> Iterator[checks.CheckMessage]:
    try:
        if (named := conf.config_path()) is not None:
            config_file.read(*named)
    except ConfigError as error:
        yield checks.Error(
            str(error), hint="All commands of DLQ refuse to run until it is corrected.", id="dlq.E006"
        )


def _ignored_apps(settings: Settings) -> Iterator[checks.CheckMessage]:
    installed = {config.name for config in apps.get_app_configs()}
    for name in settings.ignore_apps:
        if name not in installed:
            yield checks.Warning(
                f"DLQ_IGNORE_APPS has {name!r}, which is no installed app, so it is without effect.",
                hint="Give the name of the app's module, such as 'shop' or 'django.contrib.auth'.",
                id="dlq.W001",
            )
