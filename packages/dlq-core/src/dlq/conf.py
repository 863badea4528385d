"""Every setting of DLQ, typed: the ``DLQ_*`` settings, and the ``OPTIONS`` of a backend in ``TASKS``.

This is the only module that reads ``django.conf.settings``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.utils.module_loading import import_string

from dlq.errors import ConfigError
from dlq.retry import LONGEST_WAIT
from dlq.selectors import Selector

__all__ = ["BackendOptions", "Retention", "Settings", "WorkerPool", "load", "our_aliases", "problems"]

DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """For how many seconds finished jobs are kept, by state; None is for ever, 0 until the next prune."""

    succeeded: float | None = DAY
    failed: float | None = None
    cancelled: float | None = DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOptions:
    """``OPTIONS`` that every backend understands. Times are in seconds, or timedelta objects."""

    retention: Retention = field(default_factory=Retention)
    """How long finished jobs are kept."""
    heartbeat_interval: float = 5.0
    """How often a runner shows that it lives."""
    alive_threshold: float = 30.0
    """How long a runner's beat must stand still, seen by a peer on a working store, until it is lost."""
    poll_interval: float = 1.0
    """How often an idle worker looks for jobs, and for those that have become due."""
    enqueue_on_commit: bool = True
    """Whether an enqueue waits for the commit of an open transaction that it cannot be part of."""
    max_payload: int = 1024 * 1024
    """The largest arguments of a job, in bytes of JSON."""
    max_interruptions: int = 2
    """How many losses of its worker a job survives before it fails as WorkerLost."""

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Check and convert what stands in ``TASKS``.

        Raises ConfigError naming the option, its value and the remedy.
        """
        return _parse(cls, options, _in("OPTIONS"))

    def __post_init__(self) -> None:
        """Check what holds between options.

        Raises ConfigError.
        """
        for name in ("heartbeat_interval", "poll_interval"):
            if getattr(self, name) == 0:
                raise ConfigError(f"{name}=0 must be more than 0 seconds, or the processes never rest.")
        if self.alive_threshold < 3 * self.heartbeat_interval:
            raise ConfigError(
                f"alive_threshold={self.alive_threshold:g} must be at least three times "
                f"heartbeat_interval={self.heartbeat_interval:g}, or one late beat looks like a loss."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPool:
    """One entry of ``DLQ_WORKERS``: which queues, and how many workers of which kind."""

    selector: Selector
    processes: int = 1
    """How many worker processes."""
    threads: int = 1
    """How many jobs each process runs at a time in threads; 1 runs them in its main thread."""
    concurrency: int = 0
    """How many coroutine tasks each process runs at a time on one event loop; 0 for no loop."""
    backend: str | None = None
    """The alias in ``TASKS``; None finds it by the queue, see ``pool_alias``."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The ``DLQ_*`` settings, which say how this deployment runs; each name with ``DLQ_`` in front."""

    workers: Mapping[str, int | Mapping[str, Any]] = field(default_factory=lambda: {"*": 1})
    """Queue selectors with a number of worker processes, or a mapping of WorkerPool's fields."""
    shutdown_timeout: float = 30.0
    """Seconds that running jobs are given to finish when the runner stops; then they are handed back."""
    kill_after: float = 5.0
    """Seconds between a task's timeout, raised inside the task, and the kill of its worker process."""

    def pools(self) -> list[WorkerPool]:
        """``DLQ_WORKERS`` as pools.

        Raises ConfigError.
        """
        return [_pool(selector, value) for selector, value in self.workers.items()]


def load() -> Settings:
    """The ``DLQ_*`` settings as they are now.

    Raises ConfigError for unknown names and wrong values.
    """
    given = {
        name.removeprefix("DLQ_").lower(): getattr(settings, name)
        for name in dir(settings)
        if name.startswith("DLQ_")
    }
    return _parse(Settings, given, lambda name: f"DLQ_{name.upper()}")


def problems() -> Iterator[str]:
    """What is wrong with the ``DLQ_*`` settings, in words."""
    try:
        pools = load().pools()
    except ConfigError as error:
        yield str(error)
        return
    for pool in pools:
        try:
            pool_alias(pool)
        except ConfigError as error:
            yield str(error)


def our_aliases() -> list[str]:
    """The aliases in ``TASKS`` whose backend is a ``dlq.QueueBackend``; the others are none of our business."""
    from dlq.backend import QueueBackend

    return [alias for alias, params in _tasks().items() if _is_subclass(params, QueueBackend)]


def pool_alias(pool: WorkerPool) -> str:
    """The backend that a pool works for.

    It is the one that the pool names, else the one whose ``QUEUES`` name a queue of the pool, else
    ``default``, else the only one there is.

    Raises ConfigError when there is no such backend, or it is not ours.
    """
    ours = our_aliases()
    if not ours:
        raise ConfigError(NO_BACKEND)
    if pool.backend is not None:
        if pool.backend not in ours:
            raise ConfigError(
                f"DLQ_WORKERS names the backend {pool.backend!r} for {pool.selector.text!r}, but the "
                f"backends of DLQ in TASKS are: {', '.join(ours)}."
            )
        return pool.backend
    for alias in ours:
        if any(pool.selector.matches(queue) for queue in _tasks()[alias].get("QUEUES", ())):
            return alias
    return "default" if "default" in ours else ours[0]


NO_BACKEND = (
    "TASKS has no backend of DLQ. Add one to the settings, such as "
    'TASKS = {"default": {"BACKEND": "dlq_db.backends.DatabaseBackend"}}.'
)


def _tasks() -> Mapping[str, Mapping[str, Any]]:
    return settings.TASKS


def _is_subclass(params: Mapping[str, Any], base: type) -> bool:
    try:
        backend = import_string(params["BACKEND"])
    except (ImportError, KeyError):
        return False  # Django's own check names it.
    return isinstance(backend, type) and issubclass(backend, base)


def _pool(selector: object, value: int | Mapping[str, Any]) -> WorkerPool:
    where = f"DLQ_WORKERS[{selector!r}]"
    given: object = {"processes": value} if isinstance(value, int) else value
    if not isinstance(given, Mapping) or "selector" in given:
        raise ConfigError(
            f"{where} is {value!r}; it must be a number of processes or a mapping such as "
            f'{{"processes": 1, "threads": 8}}.'
        )
    if not isinstance(selector, str):
        raise ConfigError(f"{where} must have a queue selector as its key, such as 'email*'.")
    pool = _parse(WorkerPool, {"selector": Selector(selector), **given}, _in(where))
    if pool.processes < 1 or pool.threads < 1:
        raise ConfigError(
            f"{where} must have at least one process and one thread; leave the entry out instead."
        )
    return pool


def _in(mapping: str) -> Callable[[str], str]:
    """How an entry of this mapping is called in messages."""
    return lambda name: f"{mapping}[{name!r}]"


def _parse[T](cls: type[T], given: Mapping[str, Any], called: Callable[[str], str]) -> T:
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    if not isinstance(given, Mapping):
        raise ConfigError(f"OPTIONS must be a mapping, not {given!r}.")
    for name in given:
        if name not in known:
            names = ", ".join(called(other) for other in sorted(known))
            raise ConfigError(f"{called(name)} is unknown. There are: {names}.")
    return cls(**{name: _convert(known[name].type, value, called(name)) for name, value in given.items()})


def _convert(annotation: Any, value: Any, name: str) -> Any:
    match str(annotation):
        case "float" if isinstance(value, timedelta) or _is_number(value):
            converted = _seconds(value)
        case "float | None" | "str | None" if value is None:
            return None
        case "float | None" if isinstance(value, timedelta) or _is_number(value):
            converted = _seconds(value)
        case "int" if isinstance(value, int) and not isinstance(value, bool):
            converted = value
        case "bool" if isinstance(value, bool):
            return value
        case "str" | "str | None" if isinstance(value, str):
            return value
        case "Retention" if isinstance(value, Retention):
            return value
        case "Retention" if isinstance(value, Mapping):
            return _parse(Retention, value, lambda state: f"{name}[{state!r}]")
        case "Selector":
            return value
        case kind if kind.startswith("Mapping") and isinstance(value, Mapping):
            return value
        case kind:
            raise ConfigError(f"{name} is {value!r}, which is not of the type {kind}.")
    if not converted >= 0:  # nor is NaN
        raise ConfigError(f"{name} is {value!r}, which must not be negative.")
    return converted


def _is_number(value: Any) -> bool:
    # More seconds than that no clock knows, and an int may be too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) > LONGEST_WAIT


def _seconds(value: Any) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)
