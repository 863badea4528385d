"""``manage.py queue_health``."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser

from dlq.backend import queue_backend
from dlq.errors import StoreError
from dlq.management.arguments import add_backend_argument, chosen_aliases
from dlq.management.command import QueueCommand


class Command(QueueCommand):
    """A probe for supervisors: exit code 0 when healthy, 1 with the reason when not."""

    help = "Exit with 0 if each backend's store answers and a runner has beaten lately, else with 1 and the reason."

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        add_backend_argument(parser, "look only at this backend")
        parser.add_argument(
            "--max-age",
            type=float,
            metavar="S",
            help="how old in seconds the last beat may be (alive_threshold)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, say, and exit."""
        reasons = [_reason(alias, options["max_age"]) for alias in chosen_aliases(options["backend"])]
        if found := [reason for reason in reasons if reason]:
            self.stderr.write("\n".join(found))
            sys.exit(1)
        self.stdout.write("healthy")


def _reason(alias: str, max_age: float | None) -> str | None:
    """Why a backend is not healthy; None when it is."""
    backend = queue_backend(alias)
    limit = backend.config.alive_threshold if max_age is None else max_age
    try:
        runners = backend.inspector.runners()
    except StoreError as error:
        return f"{alias}: {error}"
    if not runners:
        return f"{alias}: no runner is registered"
    youngest = min(runners, key=lambda runner: runner.beat_age)
    if youngest.beat_age > limit:
        return f"{alias}: the last beat, of {youngest.id}, is {youngest.beat_age:.1f} s old, over {limit:g} s"
    return None
