"""How far apart the clocks of this machine and of the server are."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.doctor.findings import Finding, Severity
from dlq_db.doctor.postgresql.reading import read

__all__ = ["FAR", "check", "judge"]

FAR = 2.0
"""Seconds."""


def check(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """Compare the server's time with the middle of the time that it took to ask for it."""
    before = time.time()
    [row] = read(connection, "SELECT extract(epoch FROM clock_timestamp())::float8 AS now")
    return judge(row["now"], before, time.time())


def judge(server: float, before: float, after: float) -> Iterator[Finding]:
    """Seconds since the epoch; what the question took makes the answer that much less exact."""
    skew, doubt = (before + after) / 2 - server, (after - before) / 2
    if abs(skew) - doubt > FAR:
        yield Finding(
            subject="clock",
            severity=Severity.WARNING,
            seen=f"this machine is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the server, so jobs for a "
            f"certain time, reckoned here, come too {'late' if skew > 0 else 'early'}",
            remedy="Have both keep time with NTP: timedatectl set-ntp true",
            figures={"skew": skew},
        )
