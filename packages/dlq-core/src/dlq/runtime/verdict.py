"""``Verdict``: what becomes of a job whose task has raised, by what it raised and what the task declares."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.tasks.base import Task as DjangoTask

from dlq.errors import Discard, Retry, Snooze
from dlq.job import Claim, Failure, Outcome
from dlq.logs import get_logger
from dlq.result import TaskResult
from dlq.retry import LONGEST_WAIT, Backoff, ExceptionFilter, delay_before_retry, fits
from dlq.runtime.failures import in_words, reason_of
from dlq.task import Task

__all__ = ["Raised", "Verdict", "verdict_on"]

logger = get_logger("dlq.job")


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome, and how it is logged."""

    outcome: Outcome
    level: int
    words: str
    """What the job did, such as "failed with ..."."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An attempt that raised."""

    claim: Claim
    task: DjangoTask[..., Any]
    result: TaskResult[..., Any]
    exception: BaseException
    failure: Failure
    """The exception, as it is kept."""
    seconds: float
    """How long the attempt ran."""

    @property
    def options(self) -> Task[..., Any] | None:
        """The task, if it has options of ours."""
        return self.task if isinstance(self.task, Task) else None


def verdict_on(raised: Raised) -> Verdict:
    """Judge an attempt that raised, and that nobody has asked to cancel."""
    match raised.exception:
        case Snooze() as snooze:
            return _put_off(raised, snooze)
        case Discard() as discard:
            return _discarded(raised, discard.reason)
    if _is_meant(raised, "discard_on", unsure=False):
        return _discarded(raised, in_words(raised.exception), raised.failure)
    if (delay := _delay(raised)) is not None:
        return Verdict(
            Outcome.retry(raised.claim, raised.failure, delay, raised.seconds),
            logging.WARNING,
            f"will be tried again {delay:.1f} s after it raised {in_words(raised.exception)}",
        )
    return Verdict(
        Outcome.failed(raised.claim, raised.failure, raised.seconds),
        logging.ERROR,
        f"failed with {in_words(raised.exception)}",
    )


def _put_off(raised: Raised, snooze: Snooze) -> Verdict:
    # The store's clock plus what was measured here: the worker's own clock decides nothing.
    now = raised.claim.claimed_at + timedelta(seconds=raised.seconds)
    delay = min(snooze.delay(now), LONGEST_WAIT)
    return Verdict(
        Outcome.put_off(raised.claim, delay), logging.INFO, f"has put itself off for {delay:.1f} s"
    )


def _discarded(raised: Raised, why: str, failure: Failure | None = None) -> Verdict:
    reason = reason_of(why)
    outcome = Outcome.discarded(raised.claim, reason, raised.seconds, failure)
    return Verdict(outcome, logging.WARNING, f"was discarded ({reason})")


def _delay(raised: Raised) -> float | None:
    """Seconds until the next attempt; None when there is none."""
    backoff = raised.options.backoff if raised.options else None
    match raised.exception:
        case Retry(after=None):
            pass
        case Retry(after=after):
            backoff = after
        case _:
            if not _is_meant(raised, "retry_on", unsure=True):
                return None
    try:
        return _wait(raised, backoff)
    except BaseException:
        # The task's own backoff function is broken: that must not turn a retry into a loss.
        logger.exception("The backoff of %s raised; the default is used.", raised.claim.task)
        return _wait(raised, None)


def _wait(raised: Raised, backoff: Backoff | None) -> float | None:
    return delay_before_retry(
        backoff,
        attempt=raised.claim.attempts + 1,
        max_attempts=raised.claim.max_attempts,
        exception=raised.exception,
        result=raised.result,
    )


def _is_meant(raised: Raised, option: str, *, unsure: bool) -> bool:
    """Whether the task's option means this exception; ``unsure`` where it says nothing, or its function raises."""
    filters: tuple[ExceptionFilter, ...] | None = getattr(raised.options, option, None)
    if filters is None:
        return unsure
    try:
        return fits(raised.exception, filters)
    except BaseException:
        # Its own function is broken: that must not turn a retry into a loss.
        logger.exception("A function in %s of %s raised; it is not asked further.", option, raised.claim.task)
        return unsure
