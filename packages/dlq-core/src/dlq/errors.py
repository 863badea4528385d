"""Every error of DLQ, one tree.

DlqError
├── ConfigError            a setting or an option is wrong (also Django's ImproperlyConfigured)
├── InvalidOption          a task was declared with an option that cannot work (also Django's InvalidTask)
├── EnqueueError           the job was refused at enqueue, and nothing was stored
│   ├── PayloadError       an argument does not survive JSON unchanged (also TypeError)
│   ├── PayloadTooLarge    the arguments are larger than ``max_payload``
│   ├── KeyRefused         no key can be made of the arguments, or none that a store holds
│   ├── EnqueueUnanswered  no: the store did not answer, and may have the jobs
│   ├── CallableRefused    a dotted path is neither a task nor allowed by ``DLQ_CALLABLES``
│   └── TaskRefused        the task cannot run on that backend or queue (also Django's InvalidTask)
├── StoreError             the store did not do what it was asked
│   ├── StoreUnavailable   it cannot be reached, or did not answer: the outcome is unknown
│   ├── StoreNotReady      it answers, but is not set up (migrations)
│   ├── StoreRefused       it refuses the data that it was given
│   └── RunnerUnknown      a worker registered for a runner that is not, or no longer, registered
├── TaskTimeout            raised inside a task whose time is up (also TimeoutError)
├── JobCancelled           raised inside a task whose job is to be cancelled
├── Retry                  raised by a task that is to be tried again, which uses up an attempt
├── Snooze                 raised by a task that is to run later, as if it had not been started
├── Discard                raised by a task whose job has become pointless: it is cancelled
├── JobNotFinished         the job that was waited for has not finished in time (also TimeoutError)
├── UndiscardableError     a running job was to be discarded
├── Expired                the job waited for longer than it may (recorded on the job, never raised)
├── UnknownTask            no task is importable under the stored name
├── UpcastFailed           the arguments of an older version of a task could not be brought up to date
└── WorkerLost             the worker that ran the job was lost (recorded on the job, never raised)
    └── RunnerLost         it was lost with its whole runner
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from django.core.exceptions import ImproperlyConfigured
from django.tasks.exceptions import InvalidTask
from django.utils import timezone

__all__ = [
    "CallableRefused",
    "ConfigError",
    "Discard",
    "DlqError",
    "EnqueueError",
    "EnqueueUnanswered",
    "Expired",
    "InvalidOption",
    "JobCancelled",
    "JobNotFinished",
    "KeyRefused",
    "PayloadError",
    "PayloadTooLarge",
    "Retry",
    "RunnerLost",
    "RunnerUnknown",
    "Snooze",
    "StoreError",
    "StoreNotReady",
    "StoreRefused",
    "StoreUnavailable",
    "TaskRefused",
    "TaskTimeout",
    "UndiscardableError",
    "UnknownTask",
    "UpcastFailed",
    "WorkerLost",
]


class DlqError(Exception):
    """Base of every error that DLQ raises."""


class ConfigError(DlqError, ImproperlyConfigured):
    """A ``DLQ_*`` setting or an entry of a backend's ``OPTIONS`` is wrong."""


class InvalidOption(DlqError, InvalidTask):
    """A task option has a value that cannot work."""


class EnqueueError(DlqError):
    """The job was refused at enqueue, and nothing was stored, unless it is an ``EnqueueUnanswered``."""


class EnqueueUnanswered(EnqueueError):
    """The store could not be reached, did not answer, or did not say in time that the jobs are safe.

    It has all of them or none. ``ids`` are those to look for; to enqueue them again, there is ``enqueue_again``.
    """

    def __init__(self, ids: Sequence[str], cause: StoreError, again: Callable[[], None]) -> None:
        """``ids`` are what ``get_result`` takes; there is at least one. ``again`` enqueues the same jobs."""
        jobs = f"the job {ids[0]} was" if len(ids) == 1 else f"the {len(ids):,} jobs were"
        super().__init__(
            f"It is not confirmed that {jobs} enqueued: {str(cause).rstrip('.')}. enqueue_again() of this error tries "
            f"again under the same id, so that nothing runs twice; any other call is another job."
        )
        self.ids = ids
        self._again = again

    def enqueue_again(self) -> None:
        """Enqueue the same jobs under the same ids: what the store has already stays as it is.

        Raises EnqueueUnanswered when it is still not confirmed, EnqueueError when the store refuses.
        """
        self._again()


class PayloadError(EnqueueError, TypeError):
    """An argument would not come back from JSON as it went in."""


class PayloadTooLarge(EnqueueError):
    """The arguments, as JSON, are larger than the backend's ``max_payload``."""


class TaskRefused(EnqueueError, InvalidTask):
    """The task cannot be run by the backend, or on the queue, that it was enqueued on."""


class KeyRefused(EnqueueError):
    """The key of a limit cannot be made of the arguments, is empty, or is longer than a store can hold."""


class CallableRefused(EnqueueError):
    """A dotted path that was to be enqueued is neither a task nor allowed by ``DLQ_CALLABLES``."""


class StoreError(DlqError):
    """The store did not do what it was asked."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or did not answer; whether it acted is unknown."""


class StoreNotReady(StoreError):
    """The store answers, but its tables or keys are not set up."""


class StoreRefused(StoreError):
    """The store refuses the data that it was given; repeating the call will not help."""


class RunnerUnknown(StoreError):
    """A worker tried to register for a runner that the store does not know."""


class TaskTimeout(DlqError, TimeoutError):
    """Raised inside a task that ran for longer than its ``timeout``."""

    def __str__(self) -> str:
        """What was said, or in a thread, where it is raised from outside and nothing can be said, the plain fact."""
        return super().__str__() or "The task ran for longer than its timeout."


class JobCancelled(DlqError):
    """Raised inside a task, as soon as it runs Python again, when somebody has asked to cancel its job."""

    def __str__(self) -> str:
        """What was said, or in a thread, where it is raised from outside and nothing can be said, the plain fact."""
        return super().__str__() or "The job is to be cancelled."


class Retry(DlqError):
    """Raised by a task that is to be tried again: it uses up an attempt, and after the last one the job has failed.

    ``after`` is the wait, in seconds or as a timedelta; None leaves it to the task's ``backoff``. To keep what
    went wrong in the job's history, ``raise Retry(after=60) from error``.

    Raises TypeError or ValueError for a wait that is none.
    """

    def __init__(self, after: float | timedelta | None = None) -> None:
        self.after = None if after is None else _seconds("Retry(after=...)", after)
        super().__init__("The task asks to be tried again.")


class Snooze(DlqError):
    """Raised by a task that is to run later, as if it had not been started: no attempt is used up.

    ``until`` is a time, or how long from now, in seconds or as a timedelta. A time that is over is now.

    Raises TypeError or ValueError for other things.
    """

    def __init__(self, until: datetime | timedelta | float) -> None:
        self.until = until if isinstance(until, datetime) else _seconds("Snooze(until=...)", until)
        super().__init__(f"The task is to run again at {until}.")

    def delay(self, now: datetime) -> float:
        """Seconds from ``now`` until then."""
        if not isinstance(self.until, datetime):
            return self.until
        # A naive time is one of the site's time zone, as Django has it.
        until = self.until if timezone.is_aware(self.until) else timezone.make_aware(self.until)
        return max(0.0, (until.astimezone(UTC) - now).total_seconds())


class Discard(DlqError):
    """Raised by a task whose job has become pointless: the job is cancelled, for this reason."""

    def __init__(self, reason: str = "The task has discarded the job.") -> None:
        self.reason = str(reason)
        super().__init__(self.reason)


def _seconds(name: str, value: object) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise TypeError(f"{name} takes seconds or a timedelta, not {value!r}.")
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{name} takes a finite time from 0 on, not {value!r}.")
    return float(seconds)


class JobNotFinished(DlqError, TimeoutError):
    """A job that was waited for has not finished in time; it goes on."""


class UndiscardableError(DlqError):
    """A running job was to be discarded. Cancel it instead, which asks its task to stop."""


class Expired(DlqError):
    """Recorded as the reason of a job that waited for longer than its ``expires_after``, and did not run."""


class UnknownTask(DlqError):
    """No task can be imported under the name that a job carries."""


class UpcastFailed(DlqError):
    """Recorded as the reason of a job whose arguments its task's ``upcast`` could not bring up to date."""


class WorkerLost(DlqError):
    """Recorded as the reason of a job whose worker was lost while the job ran."""


class RunnerLost(WorkerLost):
    """Recorded as the reason of a job whose worker was lost with its whole runner, perhaps through another job."""
