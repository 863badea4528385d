"""What ``queue_doctor`` examines: a module for each subject, with what is read apart from what is made of it.

A vendor is a package with ``CHECKS``: functions from a connection to findings, by subject. Those of ``EVERYWHERE`` are
for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.doctor import indexes, migrations
from dlq_db.doctor.findings import Finding, Severity

__all__ = ["EVERYWHERE", "VENDORS", "examine"]

type Check = Callable[[BaseDatabaseWrapper], Iterator[Finding]]

EVERYWHERE: Mapping[str, Check] = {"migrations": migrations.check, "indexes": indexes.check}
VENDORS = {
    "postgresql": "dlq_db.doctor.postgresql",
    "mysql": "dlq_db.doctor.mysql",
    "sqlite": "dlq_db.doctor.sqlite",
}


def examine(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """All findings about a database that holds jobs. A check that the database refuses is a finding too.

    Raises Django's OperationalError or InterfaceError when there is no connection.
    """
    connection.ensure_connection()
    checks = dict(EVERYWHERE)
    if connection.vendor in VENDORS:
        checks |= import_module(VENDORS[connection.vendor]).CHECKS
    for subject, check in checks.items():
        try:
            yield from check(connection)
        except Error as error:
            yield Finding(
                subject=subject,
                severity=Severity.WARNING,
                seen=f"could not be examined: {str(error).strip().partition(chr(10))[0]}",
                remedy="Give the role of the site the rights for it, or run the command as another.",
            )
