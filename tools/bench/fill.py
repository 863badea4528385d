"""Enqueue no-op jobs: ``python -m bench.fill 20000``."""

from __future__ import annotations

import sys

import django
from django.db import connection

BATCH = 1000


def fill(jobs: int) -> None:
    """Enqueue so many, and let the database know its tables, as it would in a site that has run for a while."""
    from bench.drain import ARGUMENTS
    from bench.tasks import noop

    for first in range(0, jobs, BATCH):
        noop.enqueue_many([ARGUMENTS] * min(BATCH, jobs - first))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE dlq_job, dlq_live")


if __name__ == "__main__":
    django.setup()
    fill(int(sys.argv[1]))
