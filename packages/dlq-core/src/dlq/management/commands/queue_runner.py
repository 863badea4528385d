"""``manage.py queue_runner``."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from dlq.conf import Settings
from dlq.discovery import load_all_tasks
from dlq.errors import ConfigError
from dlq.implied import no_more_implied_queues
from dlq.management.arguments import add_runner_arguments, given_runner_options
from dlq.management.command import QueueCommand
from dlq.runtime.console import banner, show_logs
from dlq.runtime.inprocess import InProcessRunner
from dlq.runtime.options import RunnerOptions
from dlq.runtime.pidfile import pidfile
from dlq.runtime.reloading import run_reloading
from dlq.runtime.runner import Runner


class Command(QueueCommand):
    """Runs jobs until it is told to stop."""

    help = "Run the workers that DLQ_WORKERS asks for, with their upkeep, until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        add_runner_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Parse, start, and wait."""
        show_logs(logging.WARNING if options["verbosity"] == 0 else logging.INFO)
        settings, chosen = given_runner_options(options)
        # In the parent, before it forks: what is loaded here is shared by all workers.
        load_all_tasks()
        with no_more_implied_queues(), _pidfile(chosen):
            sys.exit(self._run(settings, chosen, quiet=not options["verbosity"]))

    def _run(self, settings: Settings, options: RunnerOptions, *, quiet: bool) -> int:
        def shown[R: Runner | InProcessRunner](runner: R) -> R:
            if not quiet:
                self.stdout.write(banner(runner))
                self.stdout.flush()
            return runner

        if options.reload:
            return run_reloading(lambda: shown(InProcessRunner(settings, options)))
        if options.in_process:
            return shown(InProcessRunner(settings, options)).run()
        return shown(Runner(settings, options)).run()


@contextlib.contextmanager
def _pidfile(options: RunnerOptions) -> Iterator[None]:
    try:
        with pidfile(options.pidfile) if options.pidfile else contextlib.nullcontext():
            yield
    except ConfigError as error:
        raise CommandError(str(error)) from None
