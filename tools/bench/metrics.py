"""What dlq-metrics costs: a worker that counts while somebody scrapes it, and a scrape of a store with many jobs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from statistics import median
from urllib.request import urlopen

import django
import psycopg

from bench.backlog import FINISHED, WAITING
from bench.drain import drain
from bench.runners import environment_for, manage
from bench.servers import fresh_database

__all__ = ["measure_metrics"]

URL = "http://127.0.0.1:9808/metrics"
SCRAPES = 20


def measure_metrics(jobs: int, rounds: int, many: int) -> None:
    """Print rates without and with dlq-metrics, in turn, and how long scrapes take."""
    without, with_metrics = [], []
    for number in range(1, rounds + 1):
        with fresh_database("dlq_bench") as url:
            without.append(drain(url, jobs))
        with fresh_database("dlq_bench") as url, _scraped():
            with_metrics.append(drain(url, jobs, DLQ_BENCH_APPS="dlq_metrics"))
        print(
            f"round {number}: without {without[-1]:,.0f} jobs/s   with {with_metrics[-1]:,.0f} jobs/s",
            flush=True,
        )
    ratio = median(with_metrics) / median(without)
    print(
        f"median: without {median(without):,.0f} jobs/s   with {median(with_metrics):,.0f} jobs/s   {ratio:.1%}"
    )
    _scrape(many)


@contextmanager
def _scraped() -> Iterator[None]:
    """Somebody scrapes the runner every second."""
    done = threading.Event()

    def scrape() -> None:
        while not done.wait(1.0):
            with suppress(OSError), urlopen(URL, timeout=5) as response:
                response.read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _scrape(many: int) -> None:
    """In this process, as the site's view does it: what the store takes, and what the text takes."""
    with fresh_database("dlq_bench_many") as url:
        manage(url, "django", "migrate", "-v0")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(WAITING, [many // 2])
            connection.execute(FINISHED, [many // 2])
            connection.execute("VACUUM ANALYZE")
        os.environ |= environment_for(url, {"*": 1})
        django.setup()
        from dlq.backend import queue_backend
        from dlq_metrics.exposition import exposed
        from dlq_metrics.fleet import Seen
        from dlq_metrics.gauges import read

        queue_backend().store.dedicate()
        read_in, told_in = [], []
        for _ in range(SCRAPES):
            began = time.perf_counter()
            snapshot = read("default")
            read_in.append(time.perf_counter() - began)
            exposed("", [Seen("default", snapshot, up=True)])
            told_in.append(time.perf_counter() - began - read_in[-1])
        queue_backend().store.close()
    print(
        f"{many:,} jobs: a snapshot takes {median(read_in) * 1000:.0f} ms, its text {median(told_in) * 1000:.1f} ms; "
        f"a runner that is scraped reads in the background, so a scrape takes the text alone"
    )
