"""``QueueCommand``: the base of the commands."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError
from django.tasks.exceptions import InvalidTaskBackend

from dlq import config_file
from dlq.errors import ConfigError
from dlq.management.arguments import add_config_argument

__all__ = ["QueueCommand"]


class QueueCommand(BaseCommand):
    """A command with ``--config``, that says in a line what is wrong with it and with ``TASKS``.

    The file is laid over the settings before anything else happens, and for as long as the command runs. A
    command that derives from this one has nothing to do for it: the parser and ``execute`` have it already.
    """

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """The parser of the command, with ``--config``."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        add_config_argument(parser)
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command under the settings of its file.

        Raises CommandError when the file cannot be used.
        """
        try:
            applied = config_file.applied(options.get("config"))
        except ConfigError as error:
            raise CommandError(str(error)) from None
        with applied:
            return super().execute(*args, **options)

    def check(self, *args: Any, **kwargs: Any) -> Any:
        """Run the system checks.

        Raises CommandError when a backend cannot be imported.
        """
        try:
            return super().check(*args, **kwargs)
        except InvalidTaskBackend as error:
            raise CommandError(f"TASKS: {error}") from None
        except (InterfaceError, OperationalError) as error:
            # Django asks MySQL for its version. What to do without it is for the command to say: a runner waits.
            self.stderr.write(f"The system checks were given up, for a database does not answer: {error}")
