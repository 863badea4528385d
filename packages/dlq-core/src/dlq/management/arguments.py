"""Arguments that the commands share."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError

from dlq import conf
from dlq.errors import ConfigError
from dlq.runtime.options import RunnerOptions, runner_options

__all__ = [
    "add_backend_argument",
    "add_config_argument",
    "add_runner_arguments",
    "chosen_aliases",
    "given_runner_options",
]


def add_backend_argument(parser: ArgumentParser, help: str) -> None:
    """``--backend ALIAS``."""
    parser.add_argument(
        "--backend", metavar="ALIAS", help=f"{help}: an alias in TASKS. The default is all of DLQ's."
    )


def chosen_aliases(given: str | None) -> list[str]:
    """The backend that was asked for, or all of ours.

    Raises CommandError when there is none, or it is not ours.
    """
    try:
        return conf.chosen_aliases(given)
    except ConfigError as error:
        raise CommandError(str(error)) from None


def add_config_argument(parser: ArgumentParser) -> None:
    """``--config FILE``, which ``QueueCommand`` adds to every command."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--config", metavar="FILE", help="lay the settings in this file (.py or .toml) over those of the site"
    )
    group.add_argument("--extra-settings", metavar="FILE", dest="config", help="the same as --config")


def add_runner_arguments(parser: ArgumentParser) -> None:
    """What ``queue_runner`` understands; ``runner_options`` gives it its meaning."""
    add_backend_argument(parser, "serve only this backend")
    where = parser.add_argument_group("which workers")
    where.add_argument(
        "--machine", type=int, metavar="N", help="run the share of machine N, from 1; needs --of"
    )
    where.add_argument(
        "--of", type=int, metavar="M", help="how many machines share the workers; needs --machine"
    )
    where.add_argument(
        "--exact-configuration",
        action="store_true",
        help="run the workers of the --config file as they are: none is dealt or implied, and no schedule fires",
    )
    where.add_argument(
        "--only-queue", action="append", metavar="QUEUE", help="serve this queue alone; may be given again"
    )
    where.add_argument("--only-work", action="store_true", help="no upkeep, and no schedule fires")
    where.add_argument("--only-upkeep", action="store_true", help="no workers, and no schedule fires")
    where.add_argument("--skip-cron", action="store_true", help="no schedule fires")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--in-process", action="store_true", help="run workers as threads of this process: no hard kills"
    )
    how.add_argument("--burst", action="store_true", help="end when no job is ready")
    how.add_argument("--reload", action="store_true", help="start again when code changes, for development")
    how.add_argument("--pidfile", metavar="FILE", help="hold this file, and refuse to start where it is held")
    how.add_argument(
        "--touchfile", metavar="PATTERN", help="touch this file after a job that succeeded; %%s is its queue"
    )


def given_runner_options(arguments: Mapping[str, Any]) -> tuple[conf.Settings, RunnerOptions]:
    """The settings, and what a runner does with these arguments under them.

    Raises CommandError.
    """
    try:
        settings = conf.load()
        if arguments["exact_configuration"] and settings.config:
            _refuse_inexact()
        return settings, runner_options(arguments, settings)
    except ConfigError as error:
        raise CommandError(str(error)) from None


def _refuse_inexact() -> None:
    if not (overlay := conf.overlay()) or "workers" not in overlay.settings:
        raise CommandError(
            f"--exact-configuration: the configuration file {conf.load().config} names no workers, so none are "
            f"exact. Write DLQ_WORKERS into it."
        )
