"""The memory of a runner does not grow with its queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlq.states import State
from processes import Process
from project import tasks
from sites import Site

WAITING = 60_000
MOST_GROWTH = 8.0
"""MiB that one process may grow by, for the batches that it handles while there is work."""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells what memory a process shares"
)


def test_sixty_thousand_waiting_jobs_cost_the_runner_no_memory(site: Site) -> None:
    runner = site.start({"*": 1})
    site.all_settled(site.enqueue_each(tasks.noop, [()] * 1000))
    empty = memory(runner)
    site.enqueue_each(tasks.noop, [()] * WAITING)
    most = empty
    while site.counts()[State.SUCCEEDED] < 4000:
        most = {pid: max(most[pid], now) for pid, now in memory(runner).items()}
    assert site.counts()[State.READY] > WAITING / 2

    for pid in empty:
        print(f"{role(site, runner, pid)}: {empty[pid]:.1f} MiB when empty, then at most {most[pid]:.1f} MiB")
    assert max(most[pid] - empty[pid] for pid in empty) < MOST_GROWTH


def role(site: Site, runner: Process, pid: int) -> str:
    if pid == runner.pid:
        return "parent"
    return "worker" if pid in site.worker_pids(runner) else "service"


def memory(runner: Process) -> dict[int, float]:
    """The memory of each process of a runner in MiB, what it shares counted in proportion."""
    return {pid: proportional_set_size(pid) for pid in (runner.pid, *runner.children())}


def proportional_set_size(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (kilobytes,) = [int(line.split()[1]) for line in lines if line.startswith("Pss:")]
    return kilobytes / 1024
