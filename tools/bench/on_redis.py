"""What DLQ costs on Redis: draining, enqueuing, and keeping a job that waits, each beside a yardstick in the same run.

The server writes its log to disk every second; results are kept; a real queue_runner with one worker process does the
work at least once, logging each job.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import django
from redis import Redis

from bench.drain import ARGUMENTS, PATIENCE
from bench.raw_redis import drain_raw
from bench.runners import running

__all__ = ["measure_redis"]

URL = "DLQ_TEST_REDIS_URL"
ONE_BY_ONE = 3_000


def measure_redis(jobs: int, rounds: int) -> None:
    """Print rates, medians, ratios, and bytes."""
    os.environ |= {
        "DLQ_BENCH_REDIS_URL": os.environ[URL],
        "DLQ_BENCH_DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "bench.settings",
    }
    django.setup()
    server = Redis.from_url(os.environ[URL])
    drained: list[tuple[float, float]] = []
    for number in range(1, rounds + 1):
        server.flushall()
        raw = drain_raw(server, jobs, json.dumps(ARGUMENTS))
        server.flushall()
        drained.append((_drain(server, jobs), raw))
        print(f"round {number}: DLQ {drained[-1][0]:>7,.0f} jobs/s   raw {raw:>7,.0f} jobs/s", flush=True)
    ours, raws = (median(rates) for rates in zip(*drained, strict=True))
    print(f"median:  DLQ {ours:>7,.0f} jobs/s   raw {raws:>7,.0f} jobs/s   ratio {ours / raws:.2f}")
    _enqueue(server)
    _weigh(server, jobs)
    server.flushall()


def _drain(server: Any, jobs: int) -> float:
    _fill(jobs)
    ended = "{dlq:default}:ended:5"
    with running("", {"*": 1}):
        deadline = time.monotonic() + PATIENCE
        while server.zcard(ended) < jobs:
            if time.monotonic() > deadline:
                raise SystemExit(f"{jobs - server.zcard(ended)} of {jobs} jobs have not succeeded.")
            time.sleep(0.05)
    ends = [server.zrange(ended, at, at, withscores=True)[0][1] for at in (0, -1)]
    return float(jobs / (ends[1] - ends[0]) * 1e6)


def _fill(jobs: int) -> None:
    from bench.tasks import noop

    for first in range(0, jobs, 1000):
        noop.enqueue_many([ARGUMENTS] * min(1000, jobs - first))


def _enqueue(server: Any) -> None:
    from bench.tasks import noop

    args, kwargs = ARGUMENTS
    payload = json.dumps(ARGUMENTS)
    pushed = _rate(lambda: server.lpush("bench:list", payload))
    enqueued = _rate(lambda: noop.enqueue(*args, **kwargs))
    print(
        f"one by one: DLQ {enqueued:>7,.0f} jobs/s   bare LPUSH {pushed:>7,.0f}/s   ratio {enqueued / pushed:.2f}"
    )


def _rate(call: Callable[[], object]) -> float:
    """Calls per second, by the median of the time that one takes."""
    took = []
    for _ in range(ONE_BY_ONE):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return 1 / median(took)


def _weigh(server: Any, jobs: int) -> None:
    server.flushall()
    empty = server.info("memory")["used_memory"]
    _fill(jobs)
    each = (server.info("memory")["used_memory"] - empty) / jobs
    payload = len(json.dumps(ARGUMENTS))
    print(f"a waiting job: {each:,.0f} bytes, of which its arguments are {payload}")
