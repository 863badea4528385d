"""``manage.py queue_runner``."""

from __future__ import annotations

import logging
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.module_loading import autodiscover_modules

from dlq import conf
from dlq.errors import ConfigError
from dlq.management.arguments import add_backend_argument, chosen_aliases
from dlq.management.command import QueueCommand
from dlq.runtime.console import banner, show_logs
from dlq.runtime.runner import Runner


class Command(QueueCommand):
    """Runs jobs until it is told to stop."""

    help = "Run the workers that DLQ_WORKERS asks for, with their upkeep, until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        add_backend_argument(parser, "serve only this backend")

    def handle(self, *args: Any, **options: Any) -> None:
        """Parse, start, and wait."""
        show_logs(logging.WARNING if options["verbosity"] == 0 else logging.INFO)
        aliases = chosen_aliases(options["backend"])
        try:
            settings = conf.load()
            pools = [pool for pool in settings.pools() if conf.pool_alias(pool) in aliases]
        except ConfigError as error:
            raise CommandError(str(error)) from None
        if not pools:
            raise CommandError(f"DLQ_WORKERS has no workers for the backend {options['backend']!r}.")
        # In the parent, before it forks: what is loaded here is shared by all workers.
        autodiscover_modules("tasks")
        runner = Runner(settings, pools)
        if options["verbosity"]:
            self.stdout.write(banner(runner))
            self.stdout.flush()
        sys.exit(runner.run())
