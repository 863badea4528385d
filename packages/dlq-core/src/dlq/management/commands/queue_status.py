"""``manage.py queue_status``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, TextIO

from django.core.management.base import CommandParser

from dlq.errors import StoreError
from dlq.management.arguments import chosen_aliases
from dlq.management.operators import OperatorCommand, dedicated
from dlq.management.status import Status, as_json, as_lines, read_status


class Command(OperatorCommand):
    """Shows queues, runners and workers, and what runs."""

    help = (
        "Show how many jobs are in which state, which runners and workers are alive, and what they run: live in a "
        "terminal where rich is installed (pip install 'dlq-core[cli]'), else once."
    )
    backend_help = "show only this backend"

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        super().add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="print one JSON document")
        parser.add_argument("--once", action="store_true", help="print plain lines, once, also in a terminal")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read, and print."""
        aliases = chosen_aliases(options["backend"])
        watch = None if options["json"] or options["once"] else _live_view(self.out)
        with ExitStack() as connections:
            for alias in aliases:
                connections.enter_context(dedicated(alias))
            if watch is not None:
                watch(partial(_look, aliases), self.out)
                return
            found = [read_status(alias) for alias in aliases]
        if options["json"]:
            self.stdout.write(json.dumps({status.alias: as_json(status) for status in found}, indent=2))
            return
        for status in found:
            self.stdout.write("\n".join(as_lines(status)))


def _live_view(stream: TextIO) -> Callable[[Callable[[], Sequence[Status | str]], TextIO], None] | None:
    """What shows it live; None where nobody looks, or rich is not installed."""
    if not stream.isatty():
        return None
    try:
        from dlq.management.live import watch
    except ImportError:
        return None
    return watch


def _look(aliases: Sequence[str]) -> list[Status | str]:
    """A status each, or why there is none at the moment: the view outlasts an outage."""
    found: list[Status | str] = []
    for alias in aliases:
        try:
            found.append(read_status(alias))
        except StoreError as error:
            found.append(f"Backend {alias}: {error}")
    return found
