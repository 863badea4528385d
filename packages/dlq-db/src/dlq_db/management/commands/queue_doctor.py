"""``manage.py queue_doctor``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser
from django.db import Error, connections

from dlq.management.arguments import chosen_aliases
from dlq.management.operators import OperatorCommand
from dlq.management.terminal import printable
from dlq_db.databases import backends_by_database
from dlq_db.doctor import examine
from dlq_db.doctor.findings import Finding, Severity


class Command(OperatorCommand):
    """Examines the databases that hold jobs."""

    help = (
        "Examine the databases that hold jobs: migrations, indexes, dead rows, long transactions, clocks, connections. "
        "Exit with 1 if anything is wrong; each finding says what to do."
    )
    backend_help = "examine only the database of this backend"

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        super().add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="print a JSON object")

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Run no system checks: a site that has trouble is to be examined all the same."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine, say, and exit."""
        asked = chosen_aliases(options["backend"])
        found = {
            using: list(_findings(using))
            for using, backends in backends_by_database().items()
            if any(backend.alias in asked for backend in backends)
        }
        if options["json"]:
            self.stdout.write(json.dumps({using: [*map(asdict, some)] for using, some in found.items()}))
        else:
            self.stdout.write("\n".join(_lines(found)))
        if any(finding.severity is not Severity.NOTE for some in found.values() for finding in some):
            sys.exit(1)


def _findings(using: str) -> Iterator[Finding]:
    try:
        yield from examine(connections[using])
    except Error as error:
        yield Finding(
            subject="server",
            severity=Severity.ERROR,
            seen=f"does not answer: {' '.join(str(error).split())}",
            remedy=f"See that it runs, and that DATABASES[{using!r}] is right.",
        )


def _lines(found: dict[str, list[Finding]]) -> Iterator[str]:
    for using, findings in found.items():
        yield f"{using} ({connections[using].vendor})"
        for finding in findings:
            yield printable(f"  {finding.severity:<8} {finding.subject}: {finding.seen}")
            if finding.remedy:
                yield printable(f"           -> {finding.remedy}")
        if all(finding.severity is Severity.NOTE for finding in findings):
            yield "  nothing wrong"
