"""Middleware: objects of the site whose hooks are called around each job.

``DLQ_MIDDLEWARE`` lists dotted paths of classes. Each is built without arguments, once in each process; one whose
constructor raises ``django.core.exceptions.MiddlewareNotUsed`` is left out. Every hook is optional:

- ``process_enqueue(job, queue)``: the job was stored.
- ``process_job(job, queue, worker_num)``: the attempt begins.
- ``process_result(job, result, duration)``: the task returned.
- ``process_timeout(job, duration, exc)``: the attempt was ended by its timeout; process_exception follows.
- ``process_exception(job, duration, exc_type, exc, tb)``: the attempt raised.
- ``process_retry(job, duration, exc, delay)``: it did, and will be repeated in ``delay`` seconds.

The first two are called in the order of ``DLQ_MIDDLEWARE``, the others in the reverse order. Times are seconds. A
hook that raises is logged, and changes nothing: the job goes on, and the other hooks are called. Hooks are
functions, not coroutines; a worker of coroutine tasks calls them in a thread. When the process is killed, none is
called.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from inspect import iscoroutinefunction
from threading import RLock
from typing import Any

from django.core.exceptions import MiddlewareNotUsed
from django.core.signals import setting_changed
from django.tasks.base import Task as DjangoTask
from django.utils.module_loading import import_string

from dlq import conf
from dlq.errors import ConfigError
from dlq.logs import get_logger
from dlq.task import Task

__all__ = ["HOOKS", "Chain", "LoggingMiddleware", "MiddlewareJob", "chain", "worker_number"]

logger = get_logger("dlq.middleware")

HOOKS = (
    "process_enqueue",
    "process_job",
    "process_result",
    "process_timeout",
    "process_exception",
    "process_retry",
)
IN_ORDER = ("process_enqueue", "process_job")


@dataclass(frozen=True, slots=True)
class MiddlewareJob:
    """A job as hooks see it. Its arguments are those that the task gets: read them, and change nothing."""

    id: str
    task: DjangoTask[..., Any]
    """With the options of this job."""
    args: Sequence[Any]
    kwargs: dict[str, Any]
    created_time: datetime
    """When it was enqueued; aware."""
    attempt: int = 1
    """The number of the attempt; 1 is the first."""

    @property
    def path(self) -> str:
        """The dotted path of the task."""
        return self.task.module_path

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return self.task.queue_name

    @property
    def timeout(self) -> float | None:
        """Seconds that an attempt may take; None for any time."""
        return self.task.timeout if isinstance(self.task, Task) else None

    @property
    def sigkill_on_stop(self) -> bool:
        """Whether a runner that stops may kill it."""
        return isinstance(self.task, Task) and self.task.sigkill_on_stop

    def as_dict(self) -> dict[str, Any]:
        """What it is, as JSON can hold it."""
        return {
            "path": self.path,
            "args": list(self.args),
            "kwargs": self.kwargs,
            "timeout": self.timeout,
            "sigkill_on_stop": self.sigkill_on_stop,
            "created_time": self.created_time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
        }

    def identity_without_created(self) -> str:
        """JSON that is the same for jobs that do the same."""
        described = self.as_dict()
        del described["created_time"]
        return json.dumps(described, sort_keys=True)


class Chain:
    """The hooks of all middleware; false when there are none."""

    def __init__(self, middleware: Iterable[object] = ()) -> None:
        middleware = list(middleware)
        self._hooks = {
            name: _hooks_of(middleware if name in IN_ORDER else reversed(middleware), name) for name in HOOKS
        }
        self._any = any(self._hooks.values())

    def __bool__(self) -> bool:
        return self._any

    def enqueued(self, job: MiddlewareJob, queue: str) -> None:
        """The job was stored."""
        self._call("process_enqueue", job, queue)

    def started(self, job: MiddlewareJob, queue: str, worker_num: int) -> None:
        """An attempt begins."""
        self._call("process_job", job, queue, worker_num)

    def succeeded(self, job: MiddlewareJob, result: Any, duration: float) -> None:
        """The task returned ``result``."""
        self._call("process_result", job, result, duration)

    def timed_out(self, job: MiddlewareJob, duration: float, exception: BaseException) -> None:
        """The attempt was ended by its timeout. Call ``raised`` too."""
        self._call("process_timeout", job, duration, exception)

    def raised(self, job: MiddlewareJob, duration: float, exception: BaseException) -> None:
        """The attempt raised, whether or not it will be repeated."""
        self._call("process_exception", job, duration, type(exception), exception, exception.__traceback__)

    def retried(self, job: MiddlewareJob, duration: float, exception: BaseException, delay: float) -> None:
        """The attempt raised, and will be repeated in ``delay`` seconds. Call ``raised`` before."""
        self._call("process_retry", job, duration, exception, delay)

    def _call(self, name: str, job: MiddlewareJob, *arguments: Any) -> None:
        for hook in self._hooks[name]:
            try:
                hook(job, *arguments)
            except BaseException:
                # Also SystemExit and its like: who watches a job must not end it, nor its worker.
                logger.exception("%s raised for job %s; it is ignored.", _called(hook), job.id)


type _Hook = Callable[..., object]


def _hooks_of(middleware: Iterable[object], name: str) -> list[_Hook]:
    return [hook for one in middleware if (hook := getattr(one, name, None)) is not None]


def _called(hook: _Hook) -> str:
    return f"{getattr(hook, '__module__', '')}.{getattr(hook, '__qualname__', repr(hook))}".lstrip(".")


_chain: Chain | None = None
_lock = RLock()
_building = False


def chain() -> Chain:
    """The middleware of ``DLQ_MIDDLEWARE``, built at the first call in each process.

    Raises ConfigError for a path that cannot be imported, or whose object cannot be built or used.
    """
    return _build() if _chain is None else _chain


def _build() -> Chain:
    global _chain, _building
    with _lock:
        if _chain is None:
            if _building:
                raise ConfigError("A constructor of middleware uses the middleware. Enqueue jobs later.")
            _building = True
            try:
                _chain = Chain(_built(conf.load().middleware))
            finally:
                _building = False
        return _chain


def _built(paths: Iterable[str]) -> Iterable[object]:
    for path in paths:
        try:
            middleware = import_string(path)()
        except MiddlewareNotUsed as error:
            logger.debug("The middleware %s is not used: %s", path, error)
            continue
        except Exception as error:
            raise ConfigError(
                f"DLQ_MIDDLEWARE names {path!r}, which cannot be imported and called without arguments: {error!r}."
            ) from error
        for name in HOOKS:
            if not callable(hook := getattr(middleware, name, _no_hook)) or iscoroutinefunction(hook):
                raise ConfigError(
                    f"DLQ_MIDDLEWARE names {path!r}, whose {name} must be a function, and no coroutine function."
                )
        yield middleware


def _no_hook() -> None: ...


def _rebuild() -> None:
    # A child has objects of its own, and no use for a lock that another thread held at the fork.
    global _chain, _lock, _building
    _chain, _lock, _building = None, RLock(), False


def _setting_changed(*, setting: str, **kwargs: Any) -> None:
    if setting == "DLQ_MIDDLEWARE":
        _rebuild()


os.register_at_fork(after_in_child=_rebuild)
setting_changed.connect(_setting_changed)


def worker_number(worker: str) -> int:
    """The number of a worker in its runner: 3 of ``web1-4711-ab12/3``; 0 where there is none."""
    number = worker.rpartition("/")[2]
    return int(number) if "/" in worker and number.isdecimal() else 0


class LoggingMiddleware:
    """Logs the start and the end of each job under ``dlq.middleware``, without arguments and results."""

    def process_job(self, job: MiddlewareJob, queue: str, worker_num: int) -> None:
        """Log that the attempt begins."""
        logger.info("Running job %s %s", job.id, job.path, extra=_fields(job) | {"worker_num": worker_num})

    def process_result(self, job: MiddlewareJob, result: Any, duration: float) -> None:
        """Log that the task returned."""
        logger.info(
            "Finished job %s %s (time taken: %.2f s)",
            job.id,
            job.path,
            duration,
            extra=_fields(job, duration),
        )

    def process_exception(
        self, job: MiddlewareJob, duration: float, exc_type: type[BaseException], exc: BaseException, tb: Any
    ) -> None:
        """Log what the attempt raised, with its traceback."""
        logger.error(
            "Exception in job %s %s (duration: %.2f s)",
            job.id,
            job.path,
            duration,
            exc_info=(exc_type, exc, tb),
            extra=_fields(job, duration),
        )


def _fields(job: MiddlewareJob, seconds: float | None = None) -> dict[str, Any]:
    fields = {"job_id": job.id, "task_path": job.path, "queue": job.queue, "attempt": job.attempt}
    return fields if seconds is None else fields | {"seconds": seconds}
