"""What a site does when the processes of a runner start and stop, and when their own machinery fails.

A hook is a function of the ``Process`` it is called in::

    from dlq.hooks import on_worker_start

    @on_worker_start
    def connect(process):
        tracing.connect(name=process.name)

``start``: the process begins its work. ``stop``: it was told to stop; jobs may still run. ``exit``: it is
about to end. Kills pass no hooks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any

from django.utils.module_loading import import_string

from dlq import conf
from dlq.logs import get_logger

__all__ = [
    "EVENTS",
    "Hook",
    "Process",
    "on_runner_exit",
    "on_runner_start",
    "on_runner_stop",
    "on_service_exit",
    "on_service_start",
    "on_service_stop",
    "on_worker_exit",
    "on_worker_start",
    "on_worker_stop",
    "register_hook",
    "report_error",
    "run_hooks",
]

logger = get_logger("dlq.hooks")


@dataclass(frozen=True, slots=True)
class Process:
    """The process that a hook is called in; the same object for each of its events."""

    name: str
    """Its id, as in the logs: ``web1-4711-ab12`` is a runner, ``web1-4711-ab12/3`` one of its workers."""
    kind: str
    """``runner``, ``worker`` or ``service``."""
    pid: int
    metadata: dict[str, Any] = field(default_factory=dict)
    """For what hooks have to remember, such as a connection that ``exit`` closes."""


type Hook = Callable[[Process], object]
"""What it returns is ignored."""

EVENTS = tuple(
    f"{kind}.{event}" for kind in ("runner", "worker", "service") for event in ("start", "stop", "exit")
)
"""The names that ``register_hook`` knows."""

_hooks: dict[str, list[Hook]] = {event: [] for event in EVENTS}


def register_hook[F: Hook](event: str, function: F) -> F:
    """Call the function whenever the event happens in a process, after those registered before it.

    Raises ValueError for unknown events, TypeError for what cannot be called or would have to be awaited.
    """
    if event not in _hooks:
        raise ValueError(f"There is no event {event!r}. There are: {', '.join(EVENTS)}.")
    if not _can_be_called(function):
        raise TypeError(
            f"{function!r} must be a function, not a coroutine function, to be a hook of {event}."
        )
    _hooks[event].append(function)
    return function


def _can_be_called(function: object) -> bool:
    return callable(function) and not iscoroutinefunction(function)


def on_runner_start[F: Hook](function: F) -> F:
    """Decorator: the runner begins, before it has any workers."""
    return register_hook("runner.start", function)


def on_runner_stop[F: Hook](function: F) -> F:
    """Decorator: the runner was told to stop."""
    return register_hook("runner.stop", function)


def on_runner_exit[F: Hook](function: F) -> F:
    """Decorator: the runner is about to end; its processes have."""
    return register_hook("runner.exit", function)


def on_worker_start[F: Hook](function: F) -> F:
    """Decorator: a worker begins, in its own process, before its first job."""
    return register_hook("worker.start", function)


def on_worker_stop[F: Hook](function: F) -> F:
    """Decorator: a worker was told to stop; it takes no more jobs."""
    return register_hook("worker.stop", function)


def on_worker_exit[F: Hook](function: F) -> F:
    """Decorator: a worker is about to end, after its last job."""
    return register_hook("worker.exit", function)


def on_service_start[F: Hook](function: F) -> F:
    """Decorator: the process begins that keeps the backends up."""
    return register_hook("service.start", function)


def on_service_stop[F: Hook](function: F) -> F:
    """Decorator: the service process was told to stop."""
    return register_hook("service.stop", function)


def on_service_exit[F: Hook](function: F) -> F:
    """Decorator: the service process is about to end."""
    return register_hook("service.exit", function)


def run_hooks(event: str, process: Process) -> None:
    """Call the hooks of an event in their order; one that raises is logged and reported, and no more."""
    for hook in tuple(_hooks[event]):
        try:
            hook(process)
        except BaseException as error:
            name = getattr(hook, "__qualname__", repr(hook))
            logger.exception("The hook %s of %s raised in %s.", name, event, process.name)
            report_error(error, f"the hook {name} of {event}")


def report_error(exception: BaseException, where: str) -> None:
    """Hand an exception of the machinery, never of a task, to ``DLQ_ON_ERROR``; never raises.

    ``where`` names what failed, for the log in case the report fails too.
    """
    try:
        if path := conf.load().on_error:
            import_string(path)(exception)
    except BaseException:
        logger.exception("DLQ_ON_ERROR failed to take %r of %s.", exception, where)
