"""``manage.py queue_configuration``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from django.core.management.base import CommandParser
from django.views.debug import SafeExceptionReporterFilter

from dlq import conf
from dlq.backend import queue_backend
from dlq.conf import Settings, WorkerPool
from dlq.implied import implied_queues
from dlq.management.arguments import add_runner_arguments, given_runner_options
from dlq.management.command import QueueCommand
from dlq.runtime.options import RunnerOptions


class Command(QueueCommand):
    """Shows the settings as a runner would see them."""

    help = (
        "Print what queue_runner would do with the same arguments: settings and where they come from, workers, "
        "middleware, implied queues and backends. Passwords are not printed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        add_runner_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Gather, and print."""
        settings, chosen = given_runner_options(options)
        sections = {
            "Settings": _settings(settings),
            "Workers": _workers(chosen),
            "This runner": _runner(chosen),
            "Middleware": settings.middleware,
            "Implied queues": (f"{queue}  (backend {alias})" for queue, alias in implied_queues()),
            "Backends": _backends(),
        }
        for title, lines in sections.items():
            self.stdout.write(f"{title}:")
            for line in list(lines) or ["none"]:
                self.stdout.write(f"  {line}")
            self.stdout.write("")


def _settings(settings: Settings) -> Iterator[str]:
    origins = conf.origins()
    for setting in fields(settings):
        name = f"DLQ_{setting.name.upper()}"
        shown = _without_secrets(name, getattr(settings, setting.name))
        yield f"{name} = {shown}  ({origins.get(setting.name, 'default')})"


def _workers(options: RunnerOptions) -> Iterator[str]:
    for pool in options.pools:
        yield f"{pool.selector.text}  {_kind(pool)}  (backend {pool.backend})"


def _kind(pool: WorkerPool) -> str:
    words = [f"processes: {pool.processes}"]
    if pool.threads > 1 or pool.concurrency:
        words.append(f"threads: {pool.threads}")
    words += [f"{name}: {value}" for name in _RARE if (value := getattr(pool, name))]
    return ", ".join(words)


_RARE = ("concurrency", "max_jobs", "max_memory")


def _runner(options: RunnerOptions) -> Iterator[str]:
    yield f"backends: {', '.join(options.aliases)}"
    for name in ("upkeep", "cron", "in_process", "burst", "reload"):
        yield f"{name.replace('_', '-')}: {'yes' if getattr(options, name) else 'no'}"
    for name in ("pidfile", "touchfile"):
        if (path := getattr(options, name)) is not None:
            yield f"{name}: {path}"


def _backends() -> Iterator[str]:
    for alias in conf.our_aliases():
        params = conf.tasks()[alias]
        queues = ", ".join(sorted(params.get("QUEUES", ()))) or "any"
        yield f"{alias}: {params['BACKEND']}, queues: {queues}"
        config = queue_backend(alias).config
        for option in fields(config):
            yield f"  {option.name} = {_without_secrets(option.name, getattr(config, option.name))}"


def _without_secrets(name: str, value: object) -> str:
    """A value as it may be shown: Django hides what is called like a secret, and URLs hide their passwords."""
    shown = repr(SafeExceptionReporterFilter().cleanse_setting(name, value))
    return _SECRET_PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1***@", shown))


_PASSWORD = re.compile(r"(://[^:/@\s]*:)\S+@")
_SECRET_PARAMETER = re.compile(r"((?:password|passwd|secret|token|key)=)[^&\s'\"]+", re.IGNORECASE)
