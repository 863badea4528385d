"""What each verb takes with many dead entries before it: ``python -m bench.dead 1000000``, on a fresh database."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING

import django
from django.db import connection

from bench.held import held_open
from bench.runners import manage
from bench.servers import fresh_database

if TYPE_CHECKING:
    from dlq.store.base import Store
    from dlq.workers import WorkerRef

__all__ = ["measure_dead"]

LIVES = [
    """
    INSERT INTO dlq_live (
        id, backend, queue, priority, state, seq, due_at, expires_at, token, settled, attempts, interruptions
    )
    SELECT
        gen_random_uuid(), 'default', 'default', 0, 1, nextval('dlq_seq'), now(), now() + interval '1 ms', 0, 0, 0, 0
    FROM generate_series(1, %s)
    """,
    "UPDATE dlq_live SET state = 3, due_at = NULL WHERE %s > 0",
    "UPDATE dlq_live SET state = 4, worker = 'worker', token = 1 WHERE %s > 0",
    "DELETE FROM dlq_live WHERE %s > 0",
]
"""As many jobs were scheduled with an expiry, became due, were claimed, and finished."""


def measure_dead(entries: int) -> None:
    """Print how long each verb takes the first time, and from then on."""
    with fresh_database("dlq_bench_dead") as url:
        manage(url, "django", "migrate", "-v0")
        with held_open(url):
            manage(url, "bench.dead", str(entries))


def main(entries: int) -> None:
    """Leave so many dead entries in each index, and call the verbs that search them."""
    from dlq.backend import queue_backend
    from dlq.workers import RunnerInfo, WorkerInfo

    store = queue_backend().store
    store.dedicate()
    store.register_runner(RunnerInfo(id="runner", host="bench", pid=1))
    worker = store.register_worker(
        WorkerInfo(id="worker", runner="runner", pid=1, queues="*", slots=1, kind="process")
    )
    with connection.cursor() as cursor:
        for statement in LIVES:
            cursor.execute(statement, [entries])
    print(f"{entries:,} dead entries     first time   then (median of 20)")
    for name, verb in _verbs(store, worker).items():
        times = [_milliseconds(verb) for _ in range(21)]
        print(f"{name:<24}{times[0]:>8,.1f} ms{median(times[1:]):>10,.1f} ms", flush=True)


def _verbs(store: Store, worker: WorkerRef) -> dict[str, Callable[[], object]]:
    return {
        "exchange": lambda: store.exchange(worker, [], ["default"], 100),
        "waiting": store.waiting,
        "look": lambda: store.look("runner", 1000),
        "orphans": lambda: store.orphans(100),
        "held": lambda: store.held("worker", 100),
        "parked": store.parked,
    }


def _milliseconds(verb: Callable[[], object]) -> float:
    began = time.perf_counter()
    verb()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]))
