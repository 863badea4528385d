"""The bases of the commands with which operators look at queues, jobs and workers, and control them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TextIO

from django.core.management.base import CommandError, CommandParser
from django.db import connections
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist

from dlq import conf
from dlq.backend import queue_backend
from dlq.control import Advance
from dlq.errors import DlqError
from dlq.management.arguments import add_backend_argument, chosen_aliases
from dlq.management.command import QueueCommand
from dlq.management.progress import progress
from dlq.queue import QueueInfo
from dlq.selectors import QUEUE_NAMES, is_queue_name

__all__ = ["OneQueueCommand", "OperatorCommand", "dedicated", "labelled"]


class OperatorCommand(QueueCommand):
    """A command with ``--backend`` that says in a line what the store did not do."""

    backend_help = "act on this backend alone"
    out: TextIO
    """Standard output or what a caller has put in its place, without Django's wrapper; ``err`` likewise."""
    err: TextIO

    def add_arguments(self, parser: CommandParser) -> None:
        """``--backend``."""
        super().add_arguments(parser)
        add_backend_argument(parser, self.backend_help)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command.

        Raises CommandError for every error of DLQ.
        """
        self.out = options.get("stdout") or sys.stdout
        self.err = options.get("stderr") or sys.stderr
        try:
            return super().execute(*args, **options)
        except (DlqError, InvalidTask, TaskResultDoesNotExist) as error:
            raise CommandError(" ".join(str(error).split())) from error

    def handle(self, *args: Any, **options: Any) -> None:
        """``act``, with an end to every call of a store."""
        with ExitStack() as connections:
            for alias in chosen_aliases(options["backend"]):
                connections.enter_context(dedicated(alias))
            self.act(options)

    def act(self, options: dict[str, Any]) -> None:
        """Do what the command is for."""
        raise NotImplementedError

    def progress(self, label: str, total: int | None) -> AbstractContextManager[Advance]:
        """Show on standard error how far something has come."""
        return progress(label, total, self.err)


class OneQueueCommand(OperatorCommand):
    """A command that acts on one queue, on every backend that has it or would take it."""

    backend_help = "act on the queue of this backend alone"

    def add_arguments(self, parser: CommandParser) -> None:
        """``QUEUE`` and ``--backend``."""
        parser.add_argument("queue", metavar="QUEUE", help="the name of the queue")
        super().add_arguments(parser)

    def chosen_queues(self, options: dict[str, Any]) -> list[QueueInfo]:
        """The queue on each backend that holds a job of it, or whose ``QUEUES`` do not rule it out.

        Raises CommandError when there is no such backend.
        """
        name, aliases = options["queue"], chosen_aliases(options["backend"])
        if not is_queue_name(name):
            raise CommandError(f"No queue can be called {name!r}: names are {QUEUE_NAMES}.")
        known = {alias for alias in aliases if queue_backend(alias).inspector.counts([name])}
        queues = [QueueInfo(name, alias) for alias in aliases if alias in known or _takes(alias, name)]
        if not queues:
            raise CommandError(f"{name!r} is not among the QUEUES of {', '.join(aliases)} in TASKS.")
        if not known:
            held = sorted({queue.name for alias in aliases for queue in QueueInfo.all(alias)})
            self.stderr.write(
                f"No job is stored for the queue {name!r}, in any state. "
                f"There are jobs for: {', '.join(held) or 'no queue'}."
            )
        return queues


def _takes(alias: str, queue: str) -> bool:
    queues = queue_backend(alias).queues
    return not queues or queue in queues


def labelled(alias: str, text: str) -> str:
    """The text, with the backend's alias in front where there are several."""
    return text if len(conf.our_aliases()) == 1 else f"{alias}: {text}"


@contextmanager
def dedicated(alias: str) -> Iterator[None]:
    """Give this thread connections on which every call has an end, while the block runs.

    Inside a transaction, as in a test, everything stays as it is: the store's connection may be the one with
    the transaction on it.
    """
    if any(opened.in_atomic_block for opened in connections.all(initialized_only=True)):
        yield
        return
    store = queue_backend(alias).store
    try:
        store.dedicate()
        yield
    finally:
        store.close()
