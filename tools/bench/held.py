"""What a transaction that is held open does to a steady load: no dead row or index entry can be removed beside it.

Dead entries count, not time: one worker process at full speed leaves in some minutes as many as a load of some hundred
jobs a second does in half an hour. A second site, in a database of its own on the same server, has the same load at
the same time and no such transaction, and so the same share of whatever else the machine does.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psycopg

from bench.runners import manage, running
from bench.servers import fresh_database

__all__ = ["held_open", "measure_held"]

SLICES = 10
WARM_UP = 20_000
"""Jobs that both sites work off before one of them is held up."""


def measure_held(load: int, minutes: float) -> None:
    """Print the rates of both sites before, and in each tenth of the time for which they work side by side."""
    jobs = int(load * minutes * 60)
    with ExitStack() as stack:
        sites = [stack.enter_context(fresh_database(f"dlq_bench_{name}")) for name in ("free", "held")]
        for url in sites:
            manage(url, "django", "migrate", "-v0")
            stack.enter_context(running(url, {"*": 1}))
        _feed(sites, WARM_UP)
        before = _rates(sites, 0, 1)[0]
        with held_open(sites[1]):
            _feed(sites, jobs)
        slices = _rates(sites, WARM_UP, SLICES)
    print(f"{jobs:,} jobs beside a transaction held open, as {minutes:g} minutes of {load:,} jobs/s")
    for label, (free, held) in [("before", before), *enumerate(slices, 1)]:
        print(f"  {label:>6}: free {free:>6,.0f} jobs/s   held {held:>6,.0f} jobs/s   {held / free:.0%}")
    free, held = (sum(rates) for rates in zip(*slices, strict=True))
    print(
        f"overall: {held / free:.0%} of the rate of the other site; before it was {before[1] / before[0]:.0%}"
    )


@contextmanager
def held_open(url: str) -> Iterator[None]:
    """A transaction with a snapshot, idle until the block ends."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT pg_current_xact_id()")
        yield
        connection.rollback()


def _feed(sites: list[str], jobs: int) -> None:
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(manage, url, "bench.feed", str(jobs)) for url in sites]:
            done.result()


def _rates(sites: list[str], first: int, slices: int) -> list[tuple[float, ...]]:
    """Jobs per second of each site in slices of the time from the first of these jobs until one site has finished."""
    ends = [_ends(url)[first:] for url in sites]
    begins_at, ends_at = max(some[0] for some in ends), min(some[-1] for some in ends)
    width = (ends_at - begins_at) / slices
    bounds = [begins_at + width * at for at in range(slices)]
    return [tuple(sum(at <= end < at + width for end in some) / width for some in ends) for at in bounds]


def _ends(url: str) -> list[float]:
    """When the jobs ended, in seconds, in this order."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT extract(epoch FROM finished_at)::float8 FROM dlq_job WHERE state = 5 ORDER BY finished_at"
        )
        return [at for (at,) in rows]
