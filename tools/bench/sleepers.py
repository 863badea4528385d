"""How close one worker comes to the ideal with coroutines that sleep together on one event loop."""

from __future__ import annotations

import time

import psycopg

from bench.runners import manage, running
from bench.servers import fresh_database

__all__ = ["measure_sleepers"]

SLEEP = 0.1
"""Seconds that each job sleeps; see ``bench.tasks.sleeper``."""
PATIENCE = 60.0


def measure_sleepers(jobs: int, concurrency: int, rounds: int) -> None:
    """Print the time from the first start to the last end, beside the ideal."""
    ideal = jobs * SLEEP / concurrency
    for number in range(1, rounds + 1):
        with fresh_database("dlq_bench_sleepers") as url:
            manage(url, "django", "migrate", "-v0")
            manage(url, "bench.fill", str(jobs), "sleeper")
            with running(url, {"*": {"concurrency": concurrency}}):
                took = _took(url, jobs)
        print(
            f"round {number}: {jobs} jobs of {SLEEP:g} s, {concurrency} at a time: {took:.2f} s, "
            f"{took / ideal:.2f} times the ideal {ideal:g} s",
            flush=True,
        )


def _took(url: str, jobs: int) -> float:
    deadline = time.monotonic() + PATIENCE
    with psycopg.connect(url, autocommit=True) as connection:
        while time.monotonic() < deadline:
            row = connection.execute(
                "SELECT count(*), extract(epoch FROM max(finished_at) - min(started_at)) FROM dlq_job WHERE state = 5"
            ).fetchone()
            if row is not None and row[0] == jobs:
                return float(row[1])
            time.sleep(0.05)
    raise SystemExit(f"Not all {jobs} jobs succeeded within {PATIENCE:g} s.")
