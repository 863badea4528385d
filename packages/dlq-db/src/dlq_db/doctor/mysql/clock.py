"""How far apart the clocks of this machine and of the server are."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.doctor.findings import Finding
from dlq_db.doctor.mysql.reading import read
from dlq_db.doctor.postgresql.clock import judge

__all__ = ["check"]


def check(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """Compare the server's time with the middle of the time that it took to ask for it."""
    before = time.time()
    [row] = read(connection, "SELECT UNIX_TIMESTAMP(NOW(6)) AS seconds")
    return judge(float(row["seconds"]), before, time.time())
