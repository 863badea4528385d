"""Enqueue jobs: ``python -m bench.fill 20000``, or ``python -m bench.fill 2000 sleeper``."""

from __future__ import annotations

import sys

import django
from django.db import connection

BATCH = 1000


def fill(jobs: int, name: str = "noop") -> None:
    """Enqueue so many, and let the database know its tables, as it would in a site that has run for a while."""
    from bench import tasks
    from bench.drain import ARGUMENTS

    task, arguments = (tasks.noop, ARGUMENTS) if name == "noop" else (tasks.sleeper, ([], {}))
    for first in range(0, jobs, BATCH):
        task.enqueue_many([arguments] * min(BATCH, jobs - first))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE dlq_job, dlq_live")


if __name__ == "__main__":
    django.setup()
    fill(int(sys.argv[1]), *sys.argv[2:])
