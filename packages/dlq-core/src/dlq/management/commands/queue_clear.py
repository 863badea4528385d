"""``manage.py queue_clear``."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from dlq.management.operators import OneQueueCommand, labelled
from dlq.management.terminal import jobs


class Command(OneQueueCommand):
    """Discards the ready jobs of a queue."""

    help = (
        "Discard the ready jobs of a queue: they become cancelled, and can be retried until they are pruned. "
        "Jobs that are scheduled, blocked or running stay."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        super().add_arguments(parser)
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def act(self, options: dict[str, Any]) -> None:
        """Ask, discard, and say how many."""
        queues = self.chosen_queues(options)
        sizes = [queue.size for queue in queues]
        if sum(sizes) and not options["yes"]:
            _confirm(options["queue"], sum(sizes))
        for queue, size in zip(queues, sizes, strict=True):
            with self.progress(f"Clearing {queue.name}", size) as advance:
                count = queue.clear(advance)
            self.stdout.write(labelled(queue.backend, f"Cleared {jobs(count)} from queue {queue.name}."))


def _confirm(queue: str, size: int) -> None:
    if not sys.stdin.isatty():
        raise CommandError(
            f"{jobs(size)} would go, and there is no terminal to ask on whether to clear queue {queue}. "
            f"Add --yes."
        )
    try:
        answer = input(f"Clear {jobs(size)} from queue {queue}? [y/N] ")
    except (EOFError, KeyboardInterrupt):
        answer = ""
    if answer.strip().lower() != "y":
        raise CommandError("Aborted, nothing was cleared.")
