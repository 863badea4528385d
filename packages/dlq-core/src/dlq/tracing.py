"""``Tracer``: who follows jobs from their enqueue to each attempt, and may send something along in their metadata.

Middleware is told what has happened; a tracer goes around it. What it raises is logged, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from dlq.job import Claim, NewJob, Outcome
from dlq.logs import get_logger

__all__ = ["TRACE_KEYS", "Ending", "Tracer", "running", "sending", "use_tracer", "without_trace"]

logger = get_logger("dlq.tracing")

TRACE_KEYS = ("traceparent", "tracestate")
"""Keys of a job's metadata that say where it comes from, and not what it is: https://www.w3.org/TR/trace-context/."""

type Ending = Callable[[Outcome, BaseException | None], None]
"""Is told what became of an attempt, and what its task raised."""


class Tracer(Protocol):
    """Its context managers are entered and left in the ``contextvars.Context`` of what they go around."""

    def sending(self, backend: str, jobs: Sequence[NewJob]) -> AbstractContextManager[Sequence[NewJob]]:
        """Goes around an enqueue on the backend with this alias; gives all of the jobs in their order, perhaps
        with other metadata. Jobs that wait for a commit are only promised when it is left.
        """

    def running(self, backend: str, claim: Claim) -> AbstractContextManager[Ending]:
        """Goes around an attempt: the task, its signals and middleware, and the log line about its end.

        Left without a call of what it gives when the worker cannot say how the attempt ended.
        """


_tracer: Tracer | None = None


def use_tracer(tracer: Tracer | None) -> None:
    """Have this tracer follow the jobs of this process, and of those that it forks; None for nobody."""
    global _tracer
    _tracer = tracer


def sending(backend: str, jobs: Sequence[NewJob]) -> AbstractContextManager[Sequence[NewJob]]:
    """Go around an enqueue; gives what is to be stored."""
    if (tracer := _tracer) is None:
        return nullcontext(jobs)
    return _Harmless(lambda: tracer.sending(backend, jobs), jobs)


def running(backend: str, claim: Claim) -> AbstractContextManager[Ending | None]:
    """Go around an attempt; gives what is to be told how it ended, if anything."""
    if (tracer := _tracer) is None:
        return nullcontext()
    return _Harmless[Ending | None](lambda: tracer.running(backend, claim), None)


def without_trace(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What of a job's metadata is about the job."""
    return {key: value for key, value in metadata.items() if key not in TRACE_KEYS}


class _Harmless[T](AbstractContextManager[T, None]):
    """A context manager that is left out when it raises, and swallows nothing."""

    def __init__(self, make: Callable[[], AbstractContextManager[T]], instead: T) -> None:
        self._make = make
        self._instead = instead
        self._manager: AbstractContextManager[T] | None = None

    def __enter__(self) -> T:
        try:
            manager = self._make()
            entered = manager.__enter__()
        except Exception:
            logger.exception("The tracer raised; it is left out.")
            return self._instead
        self._manager = manager
        return entered

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if self._manager is None:
            return
        try:
            self._manager.__exit__(kind, error, traceback)
        except Exception as raised:
            if raised is not error:
                logger.exception("The tracer raised; it is left out.")
