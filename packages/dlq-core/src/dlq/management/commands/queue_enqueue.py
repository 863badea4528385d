"""``manage.py queue_enqueue``."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from dlq.callables import resolve
from dlq.management.arguments import chosen_aliases
from dlq.management.durations import parse_duration
from dlq.management.operators import OperatorCommand


class Command(OperatorCommand):
    """Enqueues one job."""

    help = "Enqueue a task, or a callable that DLQ_CALLABLES allows, by its dotted path, and print the id of the job."

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        parser.add_argument("path", metavar="PATH", help="such as shop.tasks.send_welcome")
        parser.add_argument(
            "--args",
            dest="positional",
            metavar="JSON",
            default="[]",
            help="positional arguments: '[42, \"ann\"]'",
        )
        parser.add_argument(
            "--kwargs", dest="named", metavar="JSON", default="{}", help='named arguments: \'{"to": "ann"}\''
        )
        parser.add_argument("--queue", metavar="NAME", help="the queue, instead of the task's own")
        parser.add_argument("--priority", type=int, metavar="N", help="from -100 to 100; higher runs first")
        parser.add_argument("--run-after", metavar="TIME", help="such as 2030-01-31T09:00:00+00:00")
        parser.add_argument("--delay", metavar="DURATION", help="such as 90s, 1h30m or 2d")
        parser.add_argument(
            "--backend", metavar="ALIAS", help="the backend, instead of the task's own: an alias in TASKS"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Parse, enqueue, and print the id."""
        positional = _json(options["positional"], "--args", list)
        named = _json(options["named"], "--kwargs", dict)
        if options["backend"] is not None:
            chosen_aliases(options["backend"])
        task, leading = resolve(options["path"])
        task = task.using(
            queue_name=options["queue"],
            priority=options["priority"],
            run_after=_run_after(options["run_after"], options["delay"]),
            backend=options["backend"],
        )
        self.stdout.write(task.enqueue(*leading, *positional, **named).id)


def _json(text: str, argument: str, kind: type[list[Any]] | type[dict[str, Any]]) -> Any:
    shown = "a list, such as '[42]'" if kind is list else "an object, such as '{\"user_id\": 42}'"
    try:
        value = json.loads(text)
    except ValueError as error:
        raise CommandError(f"{argument}: {text!r} is not JSON ({error}). It must be {shown}.") from None
    if not isinstance(value, kind):
        raise CommandError(f"{argument}: {text!r} must be {shown}.")
    return value


def _run_after(time: str | None, delay: str | None) -> datetime | None:
    if time is not None and delay is not None:
        raise CommandError("Give --run-after or --delay, not both.")
    try:
        if delay is not None:
            return timezone.now() + parse_duration(delay)
    except ValueError as error:
        raise CommandError(f"--delay: {error}") from None
    try:
        moment = None if time is None else datetime.fromisoformat(time)
    except ValueError:
        raise CommandError(
            f"--run-after: {time!r} is no time; write one such as 2030-01-31T09:00:00+00:00."
        ) from None
    # As everywhere in Django, a time without a zone is one of the site.
    return moment if moment is None or timezone.is_aware(moment) else timezone.make_aware(moment)
