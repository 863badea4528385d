"""``task()`` and ``Task``: how a function becomes a task, and the options that it may have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from asgiref.sync import sync_to_async
from django.tasks import DEFAULT_TASK_BACKEND_ALIAS, DEFAULT_TASK_QUEUE_NAME, task_backends
from django.tasks.base import DEFAULT_TASK_PRIORITY
from django.tasks.base import Task as DjangoTask

from dlq import options
from dlq.bulk import in_batches
from dlq.limits import Concurrency
from dlq.options import DECLARED, DeclaredOptions, TaskOptions, Upcast
from dlq.retry import Backoff, ExceptionFilters
from dlq.unique import Unique

if TYPE_CHECKING:
    from dlq.context import JobContext
    from dlq.result import TaskResult

__all__ = ["Task", "task"]

P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:
    _Base = DjangoTask[P, R]
else:

    class _Base(DjangoTask, Generic[P, R]):
        __slots__ = ()


class _ClassHasNone(property):
    """A property of the instances alone: who asks the class is told that there is no such attribute."""

    def __get__(self, instance: Any, owner: type | None = None, /) -> Any:
        if instance is None:
            raise AttributeError("Only the tasks themselves have it.")
        return super().__get__(instance, owner)


class _Documentation:
    """The docstring of the class when the class is asked, and that of the function when a task is."""

    def __init__(self, of_the_class: str | None) -> None:
        self._of_the_class = of_the_class

    def __get__(self, task: Task[..., Any] | None, owner: type) -> str | None:
        return self._of_the_class if task is None else task.func.__doc__


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Task(_Base[P, R]):
    """A function that can be enqueued, with its options. None inherits what the backend says."""

    if not TYPE_CHECKING:
        __doc__ = _Documentation(__doc__)

    # Django 6.0 declares these without defaults.
    priority: int = DEFAULT_TASK_PRIORITY
    queue_name: str = DEFAULT_TASK_QUEUE_NAME
    backend: str = DEFAULT_TASK_BACKEND_ALIAS
    run_after: datetime | None = None
    takes_context: bool = False

    timeout: float | None = None
    """Seconds, or a timedelta, that an attempt may take: then ``TaskTimeout`` is raised inside the task, and
    some seconds later (``DLQ_KILL_AFTER``) its worker process is killed. Without it a hung task hangs for ever."""
    max_attempts: int | None = None
    """How often the task is run at most when it raises; None is once."""
    backoff: Backoff | None = None
    """Seconds between attempts: a number, a ``dlq.Exponential``, or a function of (exception, result)."""
    enqueue_on_commit: bool | None = None
    """Whether an enqueue waits for the commit of an open transaction that it cannot be part of."""
    durability: str | None = None
    """What an enqueue waits for, in a word of the backend, such as dlq-redis' ``"aof"``; None asks its ``OPTIONS``."""
    expires_after: float | None = None
    """Seconds, or a timedelta, that a job may wait until it starts; then it fails as ``Expired``. None is for ever."""
    sigkill_on_stop: bool = False
    """Whether a runner that stops may kill the running task at once, instead of waiting for it."""
    atomic: bool | None = None
    """Whether the task runs in a transaction of the default database; None asks ``DLQ_ATOMIC`` when it runs."""
    result_ttl: float | None = None
    """Seconds, or a timedelta, that the finished job is kept; 0 keeps nothing, None asks the backend's
    ``retention``."""
    retry_on: ExceptionFilters | None = None
    """What is worth another attempt: classes of exceptions, or functions that are given one and say so. None: all."""
    discard_on: ExceptionFilters | None = None
    """What makes the job pointless, likewise: it is cancelled. It counts more than ``retry_on``; None is nothing."""
    version: int = 1
    """Which form its arguments have. Jobs that were stored with an older one go through ``upcast`` when they run;
    those with a newer one wait for a worker that knows it."""
    upcast: Upcast | None = None
    """Brings arguments of an older version up to date: ``(version, args, kwargs) -> (args, kwargs)``."""
    unique: Unique | None = None
    """That one job is enough at a time: True for one of the same arguments, a ``dlq.Unique``, or a dict with its
    values."""
    metadata: Mapping[str, Any] | None = field(default=None, hash=False, repr=False)
    """A JSON object to go with the job, for people and for the task."""
    concurrency: Concurrency | None = None
    """How many jobs of a key may be under way at once: a ``dlq.Concurrency``, or a dict with its values."""

    def __post_init__(self) -> None:
        """Check the options, here and by the backend.

        Raises InvalidOption, or Django's InvalidTask.
        """
        if isinstance(self.run_after, timedelta):
            object.__setattr__(self, "run_after", datetime.now(UTC) + self.run_after)
        options.normalise(self)
        options.check(self)
        DjangoTask.__post_init__(self)

    def __repr__(self) -> str:
        """Where the task is, and the options that are not the default."""
        given = [
            f"{option.name}={value!r}"
            for option in fields(self)
            if option.name != "func"
            and option.repr
            and (value := getattr(self, option.name)) != option.default
        ]
        return f"<{' '.join([type(self).__qualname__, self.module_path, *given])}>"

    @property
    def fn(self) -> Callable[..., R]:
        """The undecorated function."""
        return self.func

    @property
    def path(self) -> str:
        """The dotted path of the function, as ``module_path``."""
        return self.module_path

    @property
    def __name__(self) -> str:
        """The name of the function."""
        return self.func.__name__

    @_ClassHasNone
    def __wrapped__(self) -> Callable[..., R]:
        """The undecorated function, for ``inspect.signature`` and its like."""
        return self.func

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[P, R]:
        """Enqueue the task: the classic spelling of ``enqueue``. To run it here and now, use ``call``."""
        return self.enqueue(*args, **kwargs)

    if TYPE_CHECKING:

        def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[P, R]: ...

        async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[P, R]: ...

        def get_result(self, result_id: str) -> TaskResult[P, R]: ...

        async def aget_result(self, result_id: str) -> TaskResult[P, R]: ...

    def using(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        backend: str | None = None,
        run_after: datetime | timedelta | None = None,
        timeout: float | timedelta | None = None,
        sigkill_on_stop: bool | None = None,
        atomic: bool | None = None,
        **others: Unpack[TaskOptions],
    ) -> Task[P, R]:
        """The same task with other options: any that are not code or belong to it; None changes nothing.

        ``queue`` is short for ``queue_name``, and ``run_after`` may be a timedelta from now.

        Raises TypeError for unknown options, InvalidOption or InvalidTask for wrong values.
        """
        changes: dict[str, Any] = {
            **others,
            "queue_name": _one_queue(queue, others.get("queue_name")),
            "priority": priority,
            "backend": backend,
            "run_after": run_after,
            "timeout": timeout,
            "sigkill_on_stop": sigkill_on_stop,
            "atomic": atomic,
        }
        for name in changes:
            if name in DECLARED:
                raise TypeError(f"using() cannot change {name!r}; declare another task.")
            if name not in self.__dataclass_fields__:
                raise TypeError(f"using() got an unknown option {name!r}.")
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    def enqueue_many(
        self, calls: Iterable[tuple[Sequence[Any], Mapping[str, Any]]]
    ) -> list[TaskResult[P, R]]:
        """Enqueue one job for each ``(args, kwargs)``, all of them or none; results in the same order."""
        from dlq.backend import QueueBackend

        backend = self.get_backend()
        if isinstance(backend, QueueBackend):
            results = backend.enqueue_all([(self, args, kwargs) for args, kwargs in calls])
        else:
            # One of Django's own, which a test has put in the place of ours.
            results = [cast("Any", backend).enqueue(self, args, kwargs) for args, kwargs in calls]
        return cast("list[TaskResult[P, R]]", results)

    async def aenqueue_many(
        self, calls: Iterable[tuple[Sequence[Any], Mapping[str, Any]]]
    ) -> list[TaskResult[P, R]]:
        """``enqueue_many`` for coroutines."""
        return await sync_to_async(self.enqueue_many, thread_sensitive=True)(calls)

    def bulk_enqueue(
        self, batch_size: int = 1000, queue_override: str | None = None
    ) -> AbstractContextManager[Callable[P, None]]:
        """Gives the block a function that enqueues, in batches of ``batch_size`` and at the end of the block.

        When the block raises, the jobs that were not sent yet are dropped.

        Raises ValueError for a batch size under 1, InvalidOption or InvalidTask for a wrong queue. The
        function raises PayloadError, and where it sends a batch, what ``enqueue_many`` raises.
        """
        if type(batch_size) is not int or batch_size < 1:
            raise ValueError(f"batch_size={batch_size!r} must be a whole number from 1.")
        return in_batches(self.using(queue=queue_override).enqueue_many, batch_size)


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(
    queue: str | None = ...,
    timeout: float | timedelta | None = ...,
    sigkill_on_stop: bool = ...,
    atomic: bool | None = ...,
    *,
    priority: int = ...,
    backend: str = ...,
    takes_context: Literal[False] = ...,
    **others: Unpack[DeclaredOptions],
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


@overload
def task(
    queue: str | None = ...,
    timeout: float | timedelta | None = ...,
    sigkill_on_stop: bool = ...,
    atomic: bool | None = ...,
    *,
    priority: int = ...,
    backend: str = ...,
    takes_context: Literal[True],
    **others: Unpack[DeclaredOptions],
) -> Callable[[Callable[Concatenate[JobContext[..., Any], P], R]], Task[P, R]]: ...


def task(
    queue: str | Callable[..., Any] | None = None,
    timeout: float | timedelta | None = None,
    sigkill_on_stop: bool = False,
    atomic: bool | None = None,
    *,
    backend: str = DEFAULT_TASK_BACKEND_ALIAS,
    **others: Any,
) -> Any:
    """Make a task of a module-level function, bare or with options (see ``Task``).

    It builds a ``dlq.Task`` whatever backend the settings name, so that tests may swap the backend for
    one of Django's own.

    Raises TypeError for unknown options, InvalidOption or InvalidTask for wrong values.
    """
    if "run_after" in others:
        raise TypeError(
            "run_after cannot be defined statically with the @task decorator. "
            "It is set for a call: task.using(run_after=...)."
        )
    function = queue if callable(queue) else None
    name = _one_queue(None if callable(queue) else queue, others.pop("queue_name", None))
    if name is not None:
        others["queue_name"] = name
    others |= {"timeout": timeout, "sigkill_on_stop": sigkill_on_stop, "atomic": atomic}

    def declare(func: Callable[..., Any]) -> Task[..., Any]:
        task_class = task_backends[backend].task_class
        if not issubclass(task_class, Task):
            task_class = Task
        return task_class(func=func, backend=backend, **others)

    return declare if function is None else declare(function)


def _one_queue(queue: str | None, queue_name: str | None) -> str | None:
    if None not in (queue, queue_name):
        raise TypeError(f"queue={queue!r} and queue_name={queue_name!r} are one option; give one of them.")
    return queue_name if queue is None else queue
