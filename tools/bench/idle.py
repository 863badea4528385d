"""What a runner costs that has nothing to do: processor time, calls of its store, and memory."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.runners import manage, running
from bench.servers import fresh_database

__all__ = ["measure_idle"]

WARM_UP = 5.0
TICKS = os.sysconf("SC_CLK_TCK")


def measure_idle(seconds: float) -> None:
    """Print the share of a core, the store calls a second, and the proportional set size of each process."""
    with fresh_database("dlq_bench_idle") as url, TemporaryDirectory() as folder:
        manage(url, "django", "migrate", "-v0")
        calls = Path(folder, "calls")
        with running(url, {"*": 1}, DLQ_BENCH_CALLS=str(calls)) as runner:
            time.sleep(WARM_UP)
            tree = [runner.pid, *_children(runner.pid)]
            before, busy = len(calls.read_text().split()), sum(map(_processor_seconds, tree))
            time.sleep(seconds)
            verbs = Counter(calls.read_text().split()[before:])
            busy = sum(map(_processor_seconds, tree)) - busy
            rate = verbs.total() / seconds
            print(f"idle for {seconds:g} s, {len(tree)} processes:")
            print(f"  {100 * busy / seconds:.2f} % of a core, {rate:.2f} store calls a second: {dict(verbs)}")
            for pid in tree:
                name = "parent" if pid == runner.pid else "child"
                print(f"  {name}: PSS {_memory(pid, 'Pss'):.1f} MiB, RSS {_memory(pid, 'Rss'):.1f} MiB")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _memory(pid: int, what: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"{what} is not in smaps_rollup")
