"""What a transaction that is held open does to a steady load: no dead row or index entry can be removed beside it.

Dead entries count, not time: one worker process at full speed leaves in a few minutes as many as a load of some
hundred jobs a second does in half an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from bench.runners import manage, running
from bench.servers import fresh_database

__all__ = ["measure_held"]

SLICES = 10


def measure_held(load: int, minutes: float, before: int) -> None:
    """Print the rate before, and in each tenth of the jobs that are worked off beside the transaction."""
    jobs = int(load * minutes * 60)
    with fresh_database("dlq_bench_held") as url:
        manage(url, "django", "migrate", "-v0")
        with running(url, {"*": 1}):
            manage(url, "bench.feed", str(before))
            with held_open(url):
                manage(url, "bench.feed", str(jobs))
        with psycopg.connect(url) as connection:
            reference = _rate(connection, 0, before)
            rates = [_rate(connection, before + jobs * at // SLICES, jobs // SLICES) for at in range(SLICES)]
            whole = _rate(connection, before, jobs)
    print(f"before:  {before:>9,} jobs, {reference:>6,.0f} jobs/s")
    print(f"beside a transaction held open: {jobs:,} jobs, as {minutes:g} minutes of {load:,} jobs/s")
    for number, rate in enumerate(rates, 1):
        print(f"  {number:>2}/{SLICES}: {rate:>6,.0f} jobs/s, {rate / reference:.0%}")
    print(f"overall: {whole:,.0f} jobs/s, {whole / reference:.0%} of the rate before")


@contextmanager
def held_open(url: str) -> Iterator[None]:
    """A transaction with a snapshot, idle until the block ends."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT pg_current_xact_id()")
        yield
        connection.rollback()


def _rate(connection: psycopg.Connection, first: int, jobs: int) -> float:
    """Jobs per second, of so many in the order in which they ended."""
    row = connection.execute(
        "SELECT extract(epoch FROM max(finished_at) - min(finished_at))"
        " FROM (SELECT finished_at FROM dlq_job WHERE state = 5 ORDER BY finished_at LIMIT %s OFFSET %s) slice",
        (jobs, first),
    ).fetchone()
    assert row is not None
    return jobs / float(row[0])
