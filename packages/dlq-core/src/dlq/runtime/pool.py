"""Machine N of M: which workers of a deployment run on this machine, with no word between the machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dlq.errors import ConfigError
from dlq.pools import WorkerPool

__all__ = ["deal"]


def deal(pools: Sequence[WorkerPool], machine: int, of: int) -> list[WorkerPool]:
    """The pools of one machine, each with the number of processes that it gets; those with none are left out.

    The pools are taken by their selectors in alphabetical order, and their processes counted 1, 2, 3 and so
    on through all of them: process k goes to machine ``k % of + 1``. So every process goes to one machine, if
    the settings and the tasks are the same on all of them.

    Raises ConfigError for a machine that does not exist.
    """
    if not 1 <= machine <= of:
        raise ConfigError(
            f"--machine {machine} --of {of}: machines are counted from 1, and there are as many as --of says."
        )
    mine: list[WorkerPool] = []
    dealt = 0
    for pool in sorted(pools, key=lambda pool: pool.selector.text):
        numbers = range(dealt + 1, dealt + 1 + pool.processes)
        dealt += pool.processes
        if share := sum(k % of + 1 == machine for k in numbers):
            mine.append(replace(pool, processes=share))
    return mine
