"""``manage.py queue_status``."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from dlq.backend import queue_backend
from dlq.errors import StoreError
from dlq.management.arguments import add_backend_argument, chosen_aliases
from dlq.management.command import QueueCommand
from dlq.states import State
from dlq.store import Inspector


class Command(QueueCommand):
    """Shows queues and runners."""

    help = "Show how many jobs are in which state, and which runners and workers are alive."

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        add_backend_argument(parser, "show only this backend")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read, and print."""
        try:
            status = {
                alias: _status(queue_backend(alias).inspector) for alias in chosen_aliases(options["backend"])
            }
        except StoreError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(status, indent=2))
            return
        for alias, shown in status.items():
            self.stdout.write("\n".join(_lines(alias, shown)))


def _status(inspector: Inspector) -> dict[str, Any]:
    return {
        "queues": {
            counts.queue: {state.label: count for state, count in counts.states.items()}
            for counts in inspector.counts()
        },
        "runners": {
            runner.id: {
                "beat_age": round(runner.beat_age, 3),
                "workers": {
                    worker.id: {"queues": worker.queues, "kind": worker.kind, "slots": worker.slots}
                    for worker in runner.workers
                },
            }
            for runner in inspector.runners()
        },
    }


def _lines(alias: str, status: dict[str, Any]) -> list[str]:
    states = [state.label for state in State]
    lines = [f"Backend {alias}", "", "  " + f"{'queue':<24}" + "".join(f"{state:>11}" for state in states)]
    for queue, counts in status["queues"].items():
        lines.append("  " + f"{queue:<24}" + "".join(f"{counts.get(state, 0):>11,}" for state in states))
    lines.append("")
    for runner, shown in status["runners"].items():
        lines.append(f"  runner {runner}, last beat {shown['beat_age']:.1f} s ago")
        for worker, its in shown["workers"].items():
            lines.append(f"    worker {worker}: {its['queues']} ({its['kind']}, {its['slots']} at a time)")
    if not status["runners"]:
        lines.append("  No runner is registered: start one with manage.py queue_runner.")
    return [*lines, ""]
