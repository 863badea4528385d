"""``WorkerPool``: one entry of ``DLQ_WORKERS``, and how the entries are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dlq.errors import ConfigError
from dlq.parsing import entry_of, parse
from dlq.selectors import Selector

__all__ = ["WorkerPool", "is_about", "parse_workers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPool:
    """Which queues are worked on, and by how many workers of which kind."""

    selector: Selector
    processes: int = 1
    """How many worker processes; 0 for none here, which keeps an implied queue from getting one."""
    threads: int = 1
    """How many jobs each process runs at a time in threads; 1 runs them in its main thread."""
    concurrency: int = 0
    """How many coroutine tasks each process runs at a time on one event loop; 0 for no loop."""
    backend: str | None = None
    """The alias in ``TASKS``; None finds it by the queue, see ``dlq.conf.pool_alias``."""
    max_jobs: int = 0
    """After how many jobs a worker is replaced; 0 for never."""
    max_memory: int = 0
    """With how many MiB of resident memory a worker is replaced, when its job has ended; 0 for never. With twice as
    much it is killed while the job runs."""

    @property
    def slots(self) -> int:
        """How many jobs one worker runs at a time."""
        return self.concurrency or self.threads

    @property
    def kind(self) -> str:
        """The kind of worker, as operators see it."""
        if self.concurrency:
            return "coroutines"
        return "threads" if self.threads > 1 else "process"


def parse_workers(workers: Mapping[Any, Any], called: str = "DLQ_WORKERS") -> list[WorkerPool]:
    """The pools that a mapping asks for, in its order.

    A key is a queue selector. Its value is a number of processes, a mapping of WorkerPool's fields, or a
    list of such mappings. ``called`` is the mapping's name in messages.

    Raises ConfigError naming the entry, its value and the remedy.
    """
    pools: list[WorkerPool] = []
    for selector, value in workers.items():
        if not isinstance(selector, str):
            raise ConfigError(
                f"{called}[{selector!r}] must have a queue selector as its key, such as 'email*'."
            )
        pools += [
            _pool(selector, given, where) for where, given in _entries(value, entry_of(called)(selector))
        ]
    return pools


def is_about(selector: Selector, queue: str) -> bool:
    """Whether the selector stands for this queue by more than a bare ``*``, which says nothing of any queue."""
    parts = [part.strip() for part in selector.text.split(",")]
    named = any(
        part == queue or (part[-1:] == "*" and queue.startswith(part[:-1])) for part in parts if part != "*"
    )
    return named and selector.matches(queue)


def _entries(value: object, where: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, list | tuple) and value:
        yield from ((f"{where}[{number}]", given) for number, given in enumerate(value))
    else:
        yield where, {"processes": value} if isinstance(value, int) else value


def _pool(selector: str, given: object, where: str) -> WorkerPool:
    if not isinstance(given, Mapping) or "selector" in given:
        raise ConfigError(
            f"{where} is {given!r}; it must be a number of processes, a mapping such as "
            f'{{"processes": 1, "threads": 8}}, or a list of such mappings.'
        )
    pool = parse(WorkerPool, {"selector": Selector(selector), **given}, entry_of(where))
    if not pool.threads:
        raise ConfigError(f"{where}['threads'] is 0; a worker runs jobs in at least one thread.")
    return pool
