"""``manage.py queue_workers``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from dlq.control import instruct, wait_until_heeded, workers
from dlq.management.arguments import chosen_aliases
from dlq.management.operators import OperatorCommand, labelled
from dlq.management.status import read_status, runner_lines
from dlq.workers import Order


class Command(OperatorCommand):
    """Lists workers, and tells them what to do, on whatever host they are."""

    help = (
        "List the workers of all runners, or tell some of them: quiet (claim nothing more), work (claim again), "
        "stop (claim nothing more, finish what runs, and end), ping (answer)."
    )
    backend_help = "only workers of this backend"

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        parser.add_argument(
            "action", nargs="?", default="list", choices=["list", *(order.value for order in Order)]
        )
        parser.add_argument(
            "targets", nargs="*", metavar="ID", help="a worker, or a runner for all workers of it"
        )
        super().add_arguments(parser)
        parser.add_argument("--all", action="store_true", help="tell all workers")
        parser.add_argument(
            "--timeout", type=float, default=10.0, metavar="S", help="how long to wait for answers (10)"
        )

    def act(self, options: dict[str, Any]) -> None:
        """List, or tell and wait."""
        aliases = chosen_aliases(options["backend"])
        if options["action"] == "list":
            self._list(aliases, bool(options["targets"] or options["all"]))
            return
        order = Order(options["action"])
        if bool(options["targets"]) == options["all"]:
            raise CommandError(f"Say who is to {order.value}: ids of workers or runners, or --all, not both.")
        if not 0 <= options["timeout"] <= 86_400:
            raise CommandError(f"--timeout {options['timeout']:g} must be 0 to 86400 seconds.")
        meant = _meant(aliases, None if options["all"] else options["targets"])
        self._tell(meant, order, options["timeout"])

    def _list(self, aliases: Sequence[str], is_more_given: bool) -> None:
        if is_more_given:
            raise CommandError("The list takes no ids and no --all. Use --backend for one backend alone.")
        for alias in aliases:
            self.stdout.write("\n".join([f"Backend {alias}", "", *runner_lines(read_status(alias)), ""]))

    def _tell(self, meant: Mapping[str, Sequence[str]], order: Order, timeout: float) -> None:
        ends_at = time.monotonic() + timeout
        told = {alias: instruct(ids, order, backend=alias) for alias, ids in meant.items()}
        silent: list[str] = []
        for alias, instructions in told.items():
            left = max(0.0, ends_at - time.monotonic())
            unheeded = {
                missed.worker for missed in wait_until_heeded(instructions, backend=alias, timeout=left)
            }
            gone = set(meant[alias]).difference(given.worker for given in instructions)
            for worker in meant[alias]:
                if worker in unheeded or (worker in gone and order is not Order.STOP):
                    silent.append(worker)
                else:
                    self.stdout.write(labelled(alias, f"{worker} has heard: {order.value}."))
        if silent:
            raise CommandError(f"No answer within {timeout:g} s from {', '.join(silent)}.")


def _meant(aliases: Sequence[str], targets: Sequence[str] | None) -> dict[str, list[str]]:
    """Ids of workers by backend; None stands for all.

    Raises CommandError, before anybody was told anything, for a target that is nobody.
    """
    found = [(alias, worker) for alias in aliases for worker in workers(alias)]
    if not found:
        raise CommandError("No worker is registered: start some with manage.py queue_runner.")
    known = {name for _, worker in found for name in (worker.id, worker.runner)}
    if unknown := [target for target in targets or () if target not in known]:
        raise CommandError(
            f"No worker or runner is registered as {', '.join(unknown)}; see manage.py queue_workers."
        )
    meant: dict[str, list[str]] = {}
    for alias, worker in found:
        if targets is None or worker.id in targets or worker.runner in targets:
            meant.setdefault(alias, []).append(worker.id)
    return meant
