"""``manage.py queue_health``."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from dlq.backend import queue_backend
from dlq.errors import StoreError
from dlq.management.arguments import chosen_aliases
from dlq.management.operators import OperatorCommand, dedicated


class Command(OperatorCommand):
    """A probe for supervisors: exit code 0 when healthy, 1 with the reason when not."""

    help = "Exit with 0 if each backend's store answers and a runner has beaten lately, else with 1 and the reason."
    backend_help = "look only at this backend"

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        super().add_arguments(parser)
        parser.add_argument(
            "--max-age",
            type=float,
            metavar="S",
            help="how old in seconds the last beat may be (alive_threshold)",
        )

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Run no system checks: they load the site's URLs and more, and a probe may come every second."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, say, and exit."""
        limit = options["max_age"]
        if limit is not None and not limit >= 0:  # nor is NaN
            raise CommandError(f"--max-age {limit:g} must be 0 seconds or more.")
        reasons = [_reason(alias, limit) for alias in chosen_aliases(options["backend"])]
        if found := [reason for reason in reasons if reason]:
            self.stderr.write("\n".join(found))
            sys.exit(1)
        self.stdout.write("healthy")


def _reason(alias: str, max_age: float | None) -> str | None:
    """Why a backend is not healthy; None when it is."""
    backend = queue_backend(alias)
    limit = backend.config.alive_threshold if max_age is None else max_age
    try:
        with dedicated(alias):
            runners = backend.inspector.runners()
    except StoreError as error:
        return f"{alias}: {error}"
    if not runners:
        return f"{alias}: no runner is registered"
    youngest = min(runners, key=lambda runner: runner.beat_age)
    if youngest.beat_age > limit:
        return f"{alias}: the last beat, of {youngest.id}, is {youngest.beat_age:.1f} s old, over {limit:g} s"
    return None
