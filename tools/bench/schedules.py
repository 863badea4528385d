"""Many schedules of which some are due each second: how late they fire, and what that costs their scheduler."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import quantiles

import django
from redis import Redis

from bench.idle import children_of, processor_seconds
from bench.runners import environment_for, manage, running
from bench.servers import fresh_database

__all__ = ["measure_schedules"]

WARM_UP = 5.0


def measure_schedules(count: int, period: int, seconds: float, *, redis: bool) -> None:
    """Print how late each due time was fired, and the share of a core that the service process took for it.

    There are ``count`` schedules, each due every ``period`` seconds, as many in one second as in the next. Nobody
    runs their jobs.
    """
    with _fresh_redis() if redis else _fresh_tables() as url:
        manage(url, "bench.scheduling", str(count), str(period))
        os.environ |= environment_for(url, {})
        django.setup()
        from dlq import queue_backend

        backend = queue_backend()
        with running(url, {"nothing": 1}, DLQ_BENCH_APPS="dlq_cron") as runner:
            time.sleep(WARM_UP)
            (info,) = backend.inspector.runners()
            (service,) = set(children_of(runner.pid)) - {worker.pid for worker in info.workers}
            busy = processor_seconds(service)
            time.sleep(seconds)
            busy = processor_seconds(service) - busy
            memory = int(Path(f"/proc/{service}/statm").read_text().split()[1]) // 256
            since = backend.schedules.clock() - timedelta(seconds=seconds)
            fires = [fire for fire in backend.schedules.history(1_000_000) if fire.due_at > since]
        different = len({(fire.key, fire.due_at) for fire in fires})
        late = quantiles(
            [(fire.at - fire.due_at).total_seconds() for fire in fires], n=100, method="inclusive"
        )
        most = max((fire.at - fire.due_at).total_seconds() for fire in fires)
        print(f"{count:,} schedules, {count / period:g} due each second, for {seconds:g} s:")
        print(f"  {len(fires):,} fired, {different:,} of them different")
        print(
            f"  late by {1000 * late[49]:.0f} ms (median), {1000 * late[98]:.0f} ms (99 %), {1000 * most:.0f} ms (most)"
        )
        print(
            f"  {100 * busy / seconds:.1f} % of a core and {memory} MiB for the service process, upkeep included"
        )


@contextmanager
def _fresh_tables() -> Iterator[str]:
    with fresh_database("dlq_bench_schedules") as url:
        manage(url, "django", "migrate", "-v0")
        yield url


@contextmanager
def _fresh_redis() -> Iterator[str]:
    os.environ["DLQ_BENCH_REDIS_URL"] = os.environ["DLQ_TEST_REDIS_URL"]
    with Redis.from_url(os.environ["DLQ_TEST_REDIS_URL"]) as server:
        server.flushall()
        yield ""
        server.flushall()
