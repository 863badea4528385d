"""What a job costs PostgreSQL over its life, read from the write-ahead log: ``python -m bench.footprint 2000 100``.

Full images of pages, which the log holds after each checkpoint, are left out: how many there are depends on how often
the server makes checkpoints, and not on the job. The log is the whole server's, so nobody else should write to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import django
from django.db import connection

from bench.drain import ARGUMENTS
from bench.runners import manage
from bench.servers import fresh_database

if TYPE_CHECKING:
    from dlq.job import Claim

__all__ = ["measure_footprint"]

PRUNED = 500

HEAD = f"{'per job':<34}{'WAL bytes':>10}{'row versions':>14}{'dead rows':>11}{'index entries':>15}{'commits':>9}"
KINDS = {
    "Heap/INSERT": "versions",
    "Heap/INSERT+INIT": "versions",
    "Heap/UPDATE": "updates",
    "Heap/UPDATE+INIT": "updates",
    "Heap/HOT_UPDATE": "updates",
    "Heap/DELETE": "deletes",
    "Btree/INSERT_LEAF": "entries",
    "Btree/INSERT_POST": "entries",
    "Btree/SPLIT_L": "entries",
    "Btree/SPLIT_R": "entries",
    "Transaction/COMMIT": "commits",
}


def measure_footprint(jobs: int, batch: int) -> None:
    """Print it for each part of a job's life."""
    with fresh_database("dlq_bench_footprint") as url:
        manage(url, "django", "migrate", "-v0")
        manage(url, "bench.footprint", str(jobs), str(batch))


@dataclass(frozen=True)
class Cost:
    """Of so many jobs."""

    wal: int = 0
    versions: int = 0
    updates: int = 0
    deletes: int = 0
    entries: int = 0
    commits: int = 0

    def line(self, jobs: int) -> str:
        """Of one."""
        figures = [self.versions + self.updates, self.updates + self.deletes, self.entries, self.commits]
        wide = zip(figures, (14, 11, 15, 9), strict=True)
        return f"{self.wal / jobs:>10,.0f}" + "".join(
            f"{figure / jobs:>{width}.2f}" for figure, width in wide
        )


class _Lives:
    """Jobs that all go the same way, one part of it after the other."""

    def __init__(self, jobs: int, batch: int) -> None:
        from dlq.backend import queue_backend
        from dlq.workers import RunnerInfo, WorkerInfo

        self.jobs, self.batch = jobs, batch
        self.store = queue_backend().store
        self.store.register_runner(RunnerInfo(id="runner", host="bench", pid=1))
        self.worker = self.store.register_worker(
            WorkerInfo(id="worker", runner="runner", pid=1, queues="*", slots=1, kind="process")
        )
        self.held: list[Claim] = []

    def enqueue_each(self) -> None:
        from bench import tasks

        args, kwargs = ARGUMENTS
        for _ in range(self.jobs):
            tasks.noop.enqueue(*args, **kwargs)

    def enqueue_many(self) -> None:
        from bench import tasks

        for _ in range(0, self.jobs, self.batch):
            tasks.noop.enqueue_many([ARGUMENTS] * self.batch)

    def claim(self) -> None:
        self._exchange(settle=False, limit=self.batch)

    def settle(self) -> None:
        self._exchange(settle=True, limit=0)

    def exchange(self) -> None:
        self._exchange(settle=True, limit=self.batch)

    def _exchange(self, *, settle: bool, limit: int) -> None:
        from dlq.job import Outcome

        for _ in range(0, self.jobs, self.batch):
            ended = self.held[: self.batch] if settle else []
            self.held = self.held[len(ended) :]
            outcomes = [Outcome.succeeded(claim, "null", 0.001) for claim in ended]
            self.held += self.store.exchange(self.worker, outcomes, ["default"], limit).claims

    def prune(self) -> None:
        from dlq.states import State

        for _ in range(0, self.jobs, PRUNED):
            self.store.prune(State.SUCCEEDED, 0.0, PRUNED)


def main(jobs: int, batch: int) -> None:
    """Let jobs live, and look into the log after each part."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION pg_walinspect")
    lives = _Lives(jobs, batch)
    parts = {
        "enqueue, one by one": lives.enqueue_each,
        f"enqueue, {batch} at a time": lives.enqueue_many,
        f"claim, {batch} at a time": lives.claim,
        f"settle, {batch} at a time": lives.settle,
        f"exchange (both), {batch} at a time": lives.exchange,
        f"prune, {PRUNED} at a time": lives.prune,
    }
    print(HEAD)
    for name, part in parts.items():
        print(f"{name:<34}{_cost_of(part).line(jobs)}", flush=True)


def _cost_of(part: Callable[[], object]) -> Cost:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn()")
        (began,) = cursor.fetchone()
        part()
        cursor.execute("SELECT pg_current_wal_flush_lsn()")
        (ended,) = cursor.fetchone()
        cursor.execute(
            'SELECT "resource_manager/record_type", count, record_size FROM pg_get_wal_stats(%s, %s, true)',
            [began, ended],
        )
        rows = cursor.fetchall()
    counts: dict[str, int] = {}
    for kind, count, _ in rows:
        if name := KINDS.get(kind):
            counts[name] = counts.get(name, 0) + count
    return Cost(wal=int(sum(size for _, _, size in rows)), **counts)


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]), int(sys.argv[2]))
