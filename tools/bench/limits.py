"""What limits cost on PostgreSQL: a limit on everything, one key with one slot, and ten thousand jobs that wait for it.

``python -m bench.limits JOBS [KEY LIMIT]`` enqueues jobs, with a limit or without.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import django
import psycopg

from bench.runners import manage, running
from bench.servers import fresh_database

__all__ = ["measure_limits"]

BATCH = 1000
SLOTS = 1000
"""So many that they are never all taken: what is measured is the limit, and not how it holds jobs back."""
PATIENCE = 120.0
HELD = "hot"
"""The key whose one slot somebody keeps."""


def measure_limits(jobs: int, blocked: int, rounds: int) -> None:
    """Print rates, their medians and ratios."""
    plain = [_rate(jobs) for _ in range(rounds)]
    _print("no limit", plain)
    _print(f"one limit of {SLOTS} for all", [_rate(jobs, "all", SLOTS) for _ in range(rounds)], plain)
    _print("one key with one slot", [_rate(min(jobs, 3000), "one", 1) for _ in range(rounds)])
    beside = [_rate(jobs, before=lambda url: _block(url, blocked)) for _ in range(rounds)]
    _print(f"no limit, {blocked:,} jobs of a full key beside", beside, plain)


def _print(what: str, rates: list[float], plain: list[float] | None = None) -> None:
    ratio = "" if plain is None else f"   {median(rates) / median(plain):.2f} of it without"
    listed = " ".join(f"{rate:,.0f}" for rate in rates)
    print(f"{what:<48} {median(rates):>7,.0f} jobs/s ({listed}){ratio}", flush=True)


def _rate(jobs: int, key: str = "", limit: int = 0, before: Callable[[str], None] | None = None) -> float:
    with fresh_database("dlq_bench") as url:
        manage(url, "django", "migrate", "-v0")
        if before:
            before(url)
        manage(url, "bench.limits", str(jobs), *([key, str(limit)] if key else []))
        with running(url, {"default": 1}), psycopg.connect(url, autocommit=True) as connection:
            deadline = time.monotonic() + PATIENCE
            done, seconds = 0, 0.0
            while done < jobs:
                if time.monotonic() > deadline:
                    raise SystemExit(f"{jobs - done} of {jobs} jobs did not succeed.")
                time.sleep(0.05)
                row = connection.execute(
                    "SELECT count(*), extract(epoch FROM max(finished_at) - min(started_at)) "
                    "FROM dlq_job WHERE state = 5"
                ).fetchone()
                assert row is not None
                done, seconds = row
        return float(done) / float(seconds)


def _block(url: str, jobs: int) -> None:
    """Jobs that wait for a slot, in a queue that nobody serves: the first of them is ready and keeps it."""
    manage(url, "bench.limits", str(jobs), HELD, "1")


def fill(jobs: int, key: str = "", limit: int = 0) -> None:
    """Enqueue so many, and let the database know its tables."""
    from django.db import connection

    from bench.tasks import noop

    task = noop
    if key:
        task = noop.using(concurrency={"key": key, "limit": limit}, queue=HELD if key == HELD else "default")
    for first in range(0, jobs, BATCH):
        task.enqueue_many([((), {})] * min(BATCH, jobs - first))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE dlq_job, dlq_live")


if __name__ == "__main__":
    django.setup()
    jobs, *limits = sys.argv[1:]
    fill(int(jobs), limits[0] if limits else "", int(limits[1]) if limits else 0)
