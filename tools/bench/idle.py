"""What a runner costs that has nothing to do: processor time, calls of its store, and memory."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psycopg

from bench.runners import manage, running
from bench.servers import fresh_database

__all__ = ["measure_idle"]

WARM_UP = 5.0
TICKS = os.sysconf("SC_CLK_TCK")


def measure_idle(seconds: float) -> None:
    """Print the share of a core, the store calls a second, and the proportional set size of each process."""
    with fresh_database("dlq_bench_idle") as url:
        manage(url, "django", "migrate", "-v0")
        with running(url, {"*": 1}) as runner, psycopg.connect(url, autocommit=True) as connection:
            time.sleep(WARM_UP)
            tree = [runner.pid, *_children(runner.pid)]
            before, busy = _calls(connection), sum(map(_processor_seconds, tree))
            time.sleep(seconds)
            calls = _calls(connection) - before - 1  # The first reading was a call too.
            busy = sum(map(_processor_seconds, tree)) - busy
            print(f"idle for {seconds:g} s, {len(tree)} processes:")
            print(f"  {100 * busy / seconds:.2f} % of a core, {calls / seconds:.2f} store calls a second")
            for pid in tree:
                name = "parent" if pid == runner.pid else "child"
                print(f"  {name}: PSS {_memory(pid, 'Pss'):.1f} MiB, RSS {_memory(pid, 'Rss'):.1f} MiB")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _calls(connection: psycopg.Connection) -> int:
    """Every call of the store is one transaction; a backend reports its own within a second."""
    connection.execute("SELECT pg_stat_clear_snapshot()")
    row = connection.execute(
        "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(row[0])


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _memory(pid: int, what: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"{what} is not in smaps_rollup")
