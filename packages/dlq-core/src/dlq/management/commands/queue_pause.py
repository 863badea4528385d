"""``manage.py queue_pause``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from dlq.management.durations import parse_duration
from dlq.management.operators import OneQueueCommand, labelled


class Command(OneQueueCommand):
    """Pauses a queue."""

    help = "Have a queue give no jobs to workers, until a time, for a while, or until queue_resume."

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        super().add_arguments(parser)
        parser.add_argument("--until", metavar="TIME", help="such as 2030-01-31T09:00:00+00:00")
        parser.add_argument("--for", dest="duration", metavar="DURATION", help="such as 90s, 1h30m or 2d")

    def act(self, options: dict[str, Any]) -> None:
        """Parse, and pause."""
        until = _until(options["until"], options["duration"])
        for queue in self.chosen_queues(options):
            try:
                until = queue.pause(until)  # the same moment for all of them
            except ValueError as error:
                raise CommandError(str(error)) from None
            when = until.isoformat() if until else "it is resumed"
            self.stdout.write(labelled(queue.backend, f"Paused queue {queue.name} until {when}."))


def _until(time: str | None, duration: str | None) -> datetime | timedelta | None:
    if time is not None and duration is not None:
        raise CommandError("Give --until or --for, not both.")
    try:
        if duration is not None:
            return parse_duration(duration)
    except ValueError as error:
        raise CommandError(f"--for: {error}") from None
    try:
        return None if time is None else datetime.fromisoformat(time)
    except ValueError:
        raise CommandError(
            f"--until: {time!r} is no time; write one such as 2030-01-31T09:00:00+00:00."
        ) from None
