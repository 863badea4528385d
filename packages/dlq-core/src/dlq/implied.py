"""Implied queues: those that tasks name. One that no entry of ``DLQ_WORKERS`` stands for gets one worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dlq import conf
from dlq.discovery import known_tasks
from dlq.errors import ConfigError
from dlq.pools import WorkerPool
from dlq.selectors import QUEUE_NAMES, Selector, is_queue_name

__all__ = [
    "contribute_implied_queue_name",
    "implied_pools",
    "implied_queues",
    "no_more_implied_queues",
    "stands_for",
]

_contributed: dict[str, None] = {}
_closed = False


def contribute_implied_queue_name(queue: str) -> None:
    """Have a worker for this queue, unless ``DLQ_WORKERS`` says otherwise. For apps, in ``AppConfig.ready()``.

    Raises RuntimeError when a runner has already made its pools, ConfigError when no queue can be called so.
    """
    if _closed:
        raise RuntimeError(
            f"The queue {queue!r} comes too late: this process has already decided on its workers. Call "
            f"contribute_implied_queue_name during set-up, such as in AppConfig.ready()."
        )
    if not is_queue_name(queue):
        raise ConfigError(f"The implied queue {queue!r} must be {QUEUE_NAMES}.")
    _contributed[queue] = None


@contextmanager
def no_more_implied_queues() -> Iterator[None]:
    """From here on, contributing a queue is an error, in this process and those that it forks."""
    global _closed
    before, _closed = _closed, True
    try:
        yield
    finally:
        _closed = before


def implied_queues() -> list[tuple[str, str]]:
    """Every implied queue with the alias of its backend, sorted; tasks of backends that are not ours imply none.

    Raises ConfigError, and whatever a module with tasks raises.
    """
    ours = conf.our_aliases()
    declared = {(task.queue_name, task.backend) for task in known_tasks() if task.backend in ours}
    contributed = {(queue, conf.pool_alias(WorkerPool(selector=Selector(queue)))) for queue in _contributed}
    return sorted(declared | contributed)


def implied_pools(pools: Sequence[WorkerPool]) -> list[WorkerPool]:
    """One worker for each implied queue that none of the pools stands for."""
    return [
        WorkerPool(selector=Selector(queue), backend=alias)
        for queue, alias in implied_queues()
        if not any(stands_for(pool, queue, alias) for pool in pools)
    ]


def stands_for(pool: WorkerPool, queue: str, alias: str) -> bool:
    """Whether the pool says what becomes of this queue of this backend.

    A pool without workers that names no backend says it for every backend.
    """
    everywhere = not pool.processes and pool.backend is None
    return pool.selector.matches(queue) and (everywhere or conf.pool_alias(pool) == alias)
