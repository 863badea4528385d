"""``manage.py queue_triggers``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.db import connections

from dlq.management.command import QueueCommand
from dlq_db.databases import backends_by_database


class Command(QueueCommand):
    """Shows the triggers that make jobs of changes, and installs or removes them."""

    help = (
        "Show the triggers with which changes of rows become jobs, of every PostgreSQL database that holds jobs: those "
        "that are installed, missing, or left over. migrate installs and removes them by itself."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--install", action="store_true", help="install what is missing, remove what is left over"
        )
        what.add_argument(
            "--remove", action="store_true", help="remove all, as before dlq_db leaves INSTALLED_APPS"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it in each database, and say what was done."""
        for using in backends_by_database():
            if connections[using].vendor == "postgresql":
                self._handle(using, install=options["install"], remove=options["remove"])

    def _handle(self, using: str, *, install: bool, remove: bool) -> None:
        from dlq_db.triggers import installing  # It needs psycopg.

        if remove:
            for gone in installing.remove(using):
                self._say(using, "removed", gone.table, gone.mark)
            return
        plan = installing.install(using) if install else installing.compare(using)
        for kept in plan.keep:
            self._say(using, "installed", kept.table, kept.mark)
        for old in plan.drop:
            self._say(using, "removed" if install else "left over", old.table, old.mark)
        for new in plan.create:
            self._say(using, "new" if install else "missing", new.table, new.mark)

    def _say(self, using: str, what: str, table: str, mark: str) -> None:
        task = mark.split()[-1] if mark else "unknown"
        self.stdout.write(f"{using}: {what:<9} {table} -> {task}")
