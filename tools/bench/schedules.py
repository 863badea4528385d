"""Many schedules of which some are due each second: how late they fire, and what that costs their scheduler."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg

from bench.idle import children_of, processor_seconds
from bench.runners import manage, running
from bench.servers import fresh_database

__all__ = ["measure_schedules"]

WARM_UP = 5.0
LATENESS = """
    SELECT count(*), count(DISTINCT (key, due_at)),
        percentile_cont(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (ORDER BY extract(epoch FROM at - due_at))
    FROM dlq_fire
    WHERE outcome = 'enqueued' AND due_at > now() - make_interval(secs => %s)
"""


def measure_schedules(count: int, period: int, seconds: float) -> None:
    """Print how late each due time was fired, and the share of a core that the service process took for it.

    There are ``count`` schedules, each due every ``period`` seconds, as many in one second as in the next. Nobody
    runs their jobs.
    """
    with fresh_database("dlq_bench_schedules") as url:
        manage(url, "django", "migrate", "-v0")
        manage(url, "bench.scheduling", str(count), str(period))
        with (
            running(url, {"nothing": 1}, DLQ_BENCH_APPS="dlq_cron") as runner,
            psycopg.connect(url, autocommit=True) as connection,
        ):
            time.sleep(WARM_UP)
            workers = {pid for (pid,) in connection.execute("SELECT pid FROM dlq_worker")}
            (service,) = set(children_of(runner.pid)) - workers
            busy = processor_seconds(service)
            time.sleep(seconds)
            busy = processor_seconds(service) - busy
            memory = int(Path(f"/proc/{service}/statm").read_text().split()[1]) // 256
            row = connection.execute(LATENESS, [seconds]).fetchone()
            assert row is not None
            fired, different, (median, most, last) = row
            print(f"{count:,} schedules, {count / period:g} due each second, for {seconds:g} s:")
            print(f"  {fired:,} fired, {different:,} of them different")
            print(
                f"  late by {1000 * median:.0f} ms (median), {1000 * most:.0f} ms (99 %), {1000 * last:.0f} ms (most)"
            )
            print(
                f"  {100 * busy / seconds:.1f} % of a core and {memory} MiB for the service process, upkeep included"
            )
