"""How fast one worker process drains no-op jobs from PostgreSQL, beside the raw yardstick in the same run.

The server keeps its production durability (fsync and synchronous_commit on); results are kept; a real queue_runner
with one worker process does the work, logging each job.
"""

from __future__ import annotations

import json
import time
from statistics import median

import psycopg

from bench.raw import drain_raw
from bench.runners import manage, running
from bench.servers import fresh_database

__all__ = ["drain", "measure_drain"]

ARGUMENTS: tuple[list[object], dict[str, object]] = ([1, "two"], {"three": 3})
PATIENCE = 120.0


def measure_drain(jobs: int, rounds: int) -> None:
    """Print both rates, their medians and the ratio."""
    ours, raw = [], []
    for number in range(1, rounds + 1):
        with fresh_database("dlq_bench_raw") as url:
            raw.append(drain_raw(url, jobs, json.dumps(ARGUMENTS)))
        with fresh_database("dlq_bench") as url:
            ours.append(drain(url, jobs))
        print(f"round {number}: DLQ {ours[-1]:>7,.0f} jobs/s   raw {raw[-1]:>7,.0f} jobs/s", flush=True)
    ratio = median(ours) / median(raw)
    print(f"median:  DLQ {median(ours):>7,.0f} jobs/s   raw {median(raw):>7,.0f} jobs/s   ratio {ratio:.2f}")


def drain(url: str, jobs: int, **environment: str) -> float:
    """Jobs per second of one worker process on an empty database, with this in its environment too."""
    manage(url, "django", "migrate", "-v0")
    manage(url, "bench.fill", str(jobs))
    with running(url, {"*": 1}, None, **environment):
        _wait_until_drained(url)
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*), extract(epoch FROM max(finished_at) - min(started_at)) FROM dlq_job WHERE state = 5"
        ).fetchone()
    assert row is not None
    done, seconds = row
    if done != jobs:
        raise SystemExit(f"{jobs - done} of {jobs} jobs did not succeed.")
    return float(done) / float(seconds)


def _wait_until_drained(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            row = connection.execute("SELECT EXISTS (SELECT FROM dlq_live)").fetchone()
            if row == (False,):
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"The queue is not empty after {PATIENCE:g} s.")
            time.sleep(0.05)
