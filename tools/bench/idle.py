"""What a runner costs that has nothing to do: processor time, calls of its store, and memory."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from bench.runners import manage, running
from bench.servers import fresh_database, fresh_file

__all__ = ["children_of", "measure_idle", "processor_seconds"]

WARM_UP = 5.0
STATISTICS_WITHIN = 2.0
"""Seconds after which sessions have reported what they did."""
TICKS = os.sysconf("SC_CLK_TCK")


def measure_idle(seconds: float, *, sqlite: bool = False) -> None:
    """Print the share of a core, the store calls a second, and the proportional set size of each process.

    What a store asks while it listens is none of its calls; of PostgreSQL it shows in the server's own count.
    """
    database = fresh_file() if sqlite else fresh_database("dlq_bench_idle")
    with database as url, TemporaryDirectory() as folder:
        manage(url, "django", "migrate", "-v0")
        calls = Path(folder, "calls")
        with running(url, {"*": 1}, DLQ_BENCH_CALLS=str(calls)) as runner:
            while not calls.exists() or "look" not in calls.read_text():
                time.sleep(0.1)
            time.sleep(WARM_UP)
            tree = [runner.pid, *children_of(runner.pid)]
            asked = _transactions(url)
            before, busy = len(calls.read_text().split()), sum(map(processor_seconds, tree))
            time.sleep(seconds)
            verbs = Counter(calls.read_text().split()[before:])
            busy = sum(map(processor_seconds, tree)) - busy
            rate = verbs.total() / seconds
            print(f"idle for {seconds:g} s, {len(tree)} processes:")
            print(f"  {100 * busy / seconds:.2f} % of a core, {rate:.2f} store calls a second: {dict(verbs)}")
            if not sqlite:
                asked = _transactions(url) - asked - 1  # This question is one, too.
                print(f"  {asked / seconds:.2f} transactions a second in the server's own count")
            for pid in tree:
                name = "parent" if pid == runner.pid else "child"
                print(f"  {name}: PSS {_memory(pid, 'Pss'):.1f} MiB, RSS {_memory(pid, 'Rss'):.1f} MiB")


def _transactions(url: str) -> int:
    """How many this database has seen; 0 on SQLite, which counts none."""
    if url.startswith("sqlite:"):
        return 0
    with psycopg.connect(url, autocommit=True) as connection:
        time.sleep(STATISTICS_WITHIN)
        row = connection.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        assert row is not None
        return int(row[0])


def children_of(pid: int) -> list[int]:
    """The processes that it has forked."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def processor_seconds(pid: int) -> float:
    """What it has used until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _memory(pid: int, what: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"{what} is not in smaps_rollup")
