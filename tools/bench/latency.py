"""How long a job waits for an idle worker: from the return of ``enqueue`` to the start of its task."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from statistics import quantiles
from typing import Any

from bench.runners import environment_for, manage, running
from bench.servers import fresh_database, fresh_file

__all__ = ["measure_latency"]


def measure_latency(jobs: int) -> None:
    """Print the median and the 99th percentile on each database, and without wake-ups."""
    for name, options in (("told at once", {}), ("looking only", {"listen_notify": False})):
        with fresh_database("dlq_bench_latency") as url:
            _report("PostgreSQL", name, _waits(url, jobs, options))
        with fresh_file() as url:
            _report("SQLite", name, _waits(url, jobs, options))


def _waits(url: str, jobs: int, options: Mapping[str, Any]) -> list[float]:
    manage(url, "django", "migrate", "-v0")
    with running(url, {"*": 1}, options):
        command = [sys.executable, "-m", "bench.one_by_one", str(jobs)]
        environment = environment_for(url, {"*": 1}, options)
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    # The first one waits for the runner to start.
    return [float(line) for line in done.stdout.split()][1:]


def _report(database: str, name: str, waits: list[float]) -> None:
    cuts = quantiles(waits, n=100)
    print(
        f"{database:<11} {name}: p50 {1000 * cuts[49]:7.1f} ms   p99 {1000 * cuts[98]:7.1f} ms   "
        f"max {1000 * max(waits):7.1f} ms   of {len(waits)} jobs",
        flush=True,
    )
