"""``manage.py queue_worker``."""

from __future__ import annotations

import logging
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from dlq import conf
from dlq.discovery import load_all_tasks
from dlq.errors import ConfigError
from dlq.management.arguments import add_backend_argument, chosen_aliases
from dlq.management.command import QueueCommand
from dlq.pools import WorkerPool
from dlq.runtime.console import show_logs
from dlq.runtime.inprocess import InProcessRunner
from dlq.runtime.options import RunnerOptions
from dlq.selectors import Selector


class Command(QueueCommand):
    """One worker in the foreground, where a debugger works."""

    help = (
        "Run one worker in this process, for debugging. Jobs run in the main thread, one at a time, so breakpoint() "
        "and Ctrl-C work; upkeep runs beside them. A task that ignores its timeout is not killed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        parser.add_argument(
            "queue", metavar="QUEUE", help="the queue to serve, or a selector such as 'mail*'"
        )
        parser.add_argument(
            "number", metavar="NUMBER", type=int, nargs="?", default=1, help="shown in its name"
        )
        add_backend_argument(parser, "serve the queue of this backend")
        parser.add_argument("--burst", action="store_true", help="end when no job is ready")

    def handle(self, *args: Any, **options: Any) -> None:
        """Parse, start, and wait."""
        show_logs(logging.WARNING if options["verbosity"] == 0 else logging.INFO)
        try:
            pool = _pool(options["queue"], options["backend"])
            settings = conf.load()
        except ConfigError as error:
            raise CommandError(str(error)) from None
        load_all_tasks()
        assert pool.backend is not None
        runner = InProcessRunner(
            settings,
            RunnerOptions(pools=[pool], aliases=[pool.backend], burst=options["burst"], in_process=True),
            first_number=options["number"],
            in_main_thread=True,
        )
        if options["verbosity"]:
            self.stdout.write(f"Worker {runner.info.id}/{options['number']} serves {pool.selector.text}.")
            self.stdout.flush()
        sys.exit(runner.run())


def _pool(queue: str, backend: str | None) -> WorkerPool:
    """One worker for this selector, of the backend that was asked for, or that the queue has.

    Raises ConfigError, and CommandError when there is no such backend.
    """
    chosen_aliases(backend)
    pool = WorkerPool(selector=Selector(queue), backend=backend)
    return WorkerPool(selector=pool.selector, backend=conf.pool_alias(pool))
