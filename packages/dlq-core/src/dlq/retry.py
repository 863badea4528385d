"""When a task that raised is tried again: pure arithmetic, no store and no clock."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlq.result import TaskResult

__all__ = [
    "LONGEST_WAIT",
    "Backoff",
    "ExceptionFilter",
    "ExceptionFilters",
    "Exponential",
    "backoff_from_json",
    "backoff_to_json",
    "delay_before_retry",
    "fits",
]


@dataclass(frozen=True, slots=True)
class Exponential:
    """Waits that grow: ``first``, then ``factor`` times the last, never over ``limit``; all in seconds.

    ``jitter`` is the share of each wait that is left to chance, so that jobs that failed together do
    not come back together: with 0.25, a wait of 8 s lies between 6 s and 8 s.
    """

    first: float = 2.0
    factor: float = 2.0
    limit: float = 3600.0
    jitter: float = 0.25

    def __post_init__(self) -> None:
        """Refuse figures that describe no waits.

        Raises ValueError.
        """
        if not (self.first >= 0 and self.limit >= 0 and self.factor >= 1 and 0 <= self.jitter <= 1):
            raise ValueError(f"{self} needs first >= 0, limit >= 0, factor >= 1 and jitter between 0 and 1.")

    def __call__(self, attempt: int) -> float:
        """Seconds to wait after the given attempt (1 is the first) has raised."""
        try:
            wait = min(self.limit, self.first * float(self.factor) ** (attempt - 1))
        except OverflowError:
            wait = self.limit if self.first else 0.0
        return wait * (1 - self.jitter * random.random())


type Backoff = (
    float
    | timedelta
    | Exponential
    | Callable[[BaseException, "TaskResult[..., Any]"], float | timedelta | None]
)
"""Seconds between attempts: constant, growing, or a function of the exception and the result.

The function may return None: then the job is not tried again.
"""

type ExceptionFilter = type[BaseException] | Callable[[BaseException], bool]
"""A class of exceptions, or a function that says whether one is meant."""

type ExceptionFilters = ExceptionFilter | Iterable[ExceptionFilter]
"""One, or several of which any may mean it."""

DEFAULT_BACKOFF = Exponential()

LONGEST_WAIT = 10 * 365 * 86_400.0
"""Seconds: what a function asks for beyond that, no store's clock can hold."""


def delay_before_retry(
    backoff: Backoff | None,
    *,
    attempt: int,
    max_attempts: int,
    exception: BaseException,
    result: TaskResult[..., Any],
) -> float | None:
    """Seconds until the next attempt, or None when there is none."""
    if attempt >= max_attempts:
        return None
    wait = _wait(DEFAULT_BACKOFF if backoff is None else backoff, attempt, exception, result)
    return None if wait is None else min(max(0.0, _seconds(wait)), LONGEST_WAIT)


def fits(exception: BaseException, filters: Iterable[ExceptionFilter]) -> bool:
    """Whether one of the filters means this exception. Raises what a filter raises."""
    return any(isinstance(exception, each) if isinstance(each, type) else each(exception) for each in filters)


def _wait(
    backoff: Backoff, attempt: int, exception: BaseException, result: TaskResult[..., Any]
) -> float | timedelta | None:
    match backoff:
        case Exponential():
            return backoff(attempt)
        case int() | float() | timedelta():
            return backoff
        case _:
            return backoff(exception, result)


def backoff_to_json(backoff: Backoff) -> Any:
    """A backoff as it is stored with a call that overrides its task's.

    Raises TypeError for a function: only the task's declaration can hold code.
    """
    match backoff:
        case int() | float() | timedelta():
            return _seconds(backoff)
        case Exponential():
            return asdict(backoff)
        case _:
            raise TypeError(f"{backoff!r} is code, and code cannot be stored with a job.")


def backoff_from_json(stored: float | Mapping[str, float]) -> Backoff:
    """Read what ``backoff_to_json`` wrote."""
    return Exponential(**stored) if isinstance(stored, Mapping) else stored


def _seconds(wait: float | timedelta) -> float:
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)
