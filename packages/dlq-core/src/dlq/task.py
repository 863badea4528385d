"""``task()`` and ``Task``: how a function becomes a task, and the options that it may have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    TypeGuard,
    TypeVar,
    cast,
    overload,
)

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS, DEFAULT_TASK_QUEUE_NAME, TaskContext, task_backends
from django.tasks.base import DEFAULT_TASK_PRIORITY
from django.tasks.base import Task as DjangoTask

from dlq.errors import InvalidOption, TaskRefused
from dlq.retry import LONGEST_WAIT, Backoff, backoff_from_json, backoff_to_json
from dlq.selectors import QUEUE_NAMES, is_queue_name

if TYPE_CHECKING:
    from dlq.result import TaskResult

__all__ = ["Task", "overrides_of", "read_overrides", "task"]

P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:
    _Base = DjangoTask[P, R]
else:

    class _Base(DjangoTask, Generic[P, R]):
        __slots__ = ()


MOST_ATTEMPTS = 32_767  # a smallint in every database


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(_Base[P, R]):
    """A function that can be enqueued, with its options. None inherits what the backend says."""

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

    def __post_init__(self) -> None:
        """Check the options, here and by the backend.

        Raises InvalidOption, or Django's InvalidTask.
        """
        if isinstance(self.run_after, timedelta):
            object.__setattr__(self, "run_after", datetime.now(UTC) + self.run_after)
        for name in ("timeout", "backoff"):
            if isinstance(value := getattr(self, name), timedelta):
                object.__setattr__(self, name, value.total_seconds())
        _check_options(self)
        DjangoTask.__post_init__(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[P, R]:
        """Enqueue the task: the classic spelling of ``enqueue``. To run it here and now, use ``call``."""
        return self.enqueue(*args, **kwargs)

    if TYPE_CHECKING:

        def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[P, R]: ...

        async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[P, R]: ...

    def using(
        self,
        *,
        queue: str | None = None,
        run_after: datetime | timedelta | None = None,
        **changes: Any,
    ) -> Task[P, R]:
        """The same task with other options: any but the function and ``takes_context``; None changes nothing.

        ``queue`` is short for ``queue_name``, and ``run_after`` may be a timedelta from now.

        Raises TypeError for unknown options, InvalidOption or InvalidTask for wrong values.
        """
        for fixed in ("func", "takes_context"):
            if fixed in changes:
                raise TypeError(f"using() cannot change {fixed!r}; declare another task.")
        if queue is not None:
            changes["queue_name"] = queue
        changes["run_after"] = run_after
        for name in changes:
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
            results = backend.enqueue_many([(self, args, kwargs) for args, kwargs in calls])
        else:
            # One of Django's own, which a test has put in the place of ours.
            results = [cast("Any", backend).enqueue(self, args, kwargs) for args, kwargs in calls]
        return cast("list[TaskResult[P, R]]", results)


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(
    *,
    queue: str | None = ...,
    queue_name: str | None = ...,
    priority: int = ...,
    backend: str = ...,
    takes_context: Literal[False] = ...,
    timeout: float | timedelta | None = ...,
    max_attempts: int | None = ...,
    backoff: Backoff | None = ...,
    enqueue_on_commit: bool | None = ...,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


@overload
def task(
    *,
    queue: str | None = ...,
    queue_name: str | None = ...,
    priority: int = ...,
    backend: str = ...,
    takes_context: Literal[True],
    timeout: float | timedelta | None = ...,
    max_attempts: int | None = ...,
    backoff: Backoff | None = ...,
    enqueue_on_commit: bool | None = ...,
) -> Callable[[Callable[Concatenate[TaskContext[..., Any], P], R]], Task[P, R]]: ...


def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    queue: str | None = None,
    queue_name: str | None = None,
    backend: str = DEFAULT_TASK_BACKEND_ALIAS,
    **options: Any,
) -> Any:
    """Make a task of a module-level function, bare or with options (see ``Task``).

    It builds a ``dlq.Task`` whatever backend the settings name, so that tests may swap the backend for
    one of Django's own.

    Raises TypeError for unknown options, InvalidOption or InvalidTask for wrong values.
    """
    if "run_after" in options:
        raise TypeError(
            "run_after cannot be defined statically with the @task decorator. "
            "It is set for a call: task.using(run_after=...)."
        )

    if queue is not None or queue_name is not None:
        options["queue_name"] = queue if queue is not None else queue_name

    def declare(func: Callable[..., Any]) -> Task[..., Any]:
        task_class = task_backends[backend].task_class
        if not issubclass(task_class, Task):
            task_class = Task
        return task_class(func=func, backend=backend, **options)

    return declare if function is None else declare(function)


def read_overrides(overrides: str | None) -> dict[str, Any]:
    """The options that ``overrides_of`` wrote."""
    given: dict[str, Any] = json.loads(overrides) if overrides else {}
    if given.get("backoff") is not None:
        given["backoff"] = backoff_from_json(given["backoff"])
    return given


def overrides_of(called: DjangoTask[..., Any], declared: DjangoTask[..., Any]) -> str | None:
    """What the call changed of the options that only the worker needs, as JSON; None for nothing.

    Raises TaskRefused for a change that is code.
    """
    if called is declared or not isinstance(called, Task) or not isinstance(declared, Task):
        return None
    changed: dict[str, Any] = {}
    if called.timeout != declared.timeout:
        changed["timeout"] = called.timeout
    if called.backoff is not declared.backoff and called.backoff != declared.backoff:
        try:
            changed["backoff"] = None if called.backoff is None else backoff_to_json(called.backoff)
        except TypeError as error:
            raise TaskRefused(
                f"{called.module_path}: {error} Pass a number or dlq.Exponential to using(), or declare the "
                f"function as the task's backoff."
            ) from None
    return json.dumps(changed) if changed else None


def _check_options(task: Task[..., Any]) -> None:
    name = getattr(task.func, "__qualname__", repr(task.func))
    if not is_queue_name(task.queue_name):
        raise InvalidOption(f"{name}: queue={task.queue_name!r} must be {QUEUE_NAMES}.")
    if task.timeout is not None and not (_is_seconds(task.timeout) and task.timeout > 0):
        raise InvalidOption(
            f"{name}: timeout={task.timeout!r} must be a number of seconds over 0, or a timedelta."
        )
    most = task.max_attempts
    if most is not None and (type(most) is not int or not 1 <= most <= MOST_ATTEMPTS):
        raise InvalidOption(
            f"{name}: max_attempts={most!r} must be a whole number from 1 to {MOST_ATTEMPTS}."
        )
    if not (
        task.backoff is None or callable(task.backoff) or (_is_seconds(task.backoff) and task.backoff >= 0)
    ):
        raise InvalidOption(
            f"{name}: backoff={task.backoff!r} must be a number of seconds, a timedelta, dlq.Exponential(), or a "
            f"function of (exception, result)."
        )
    if task.enqueue_on_commit not in (None, True, False):
        raise InvalidOption(
            f"{name}: enqueue_on_commit={task.enqueue_on_commit!r} must be True, False or None."
        )


def _is_seconds(value: object) -> TypeGuard[float]:
    # Not finite alone: no clock knows more, and an int may be too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LONGEST_WAIT
