"""The life of one attempt: load, start, call, classify, report."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from inspect import iscoroutinefunction
from traceback import format_exception
from typing import Any

from asgiref.sync import async_to_sync
from django.dispatch import Signal
from django.tasks import TaskContext
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import Task as DjangoTask
from django.tasks.base import TaskError
from django.tasks.signals import task_finished, task_started

from dlq import payload
from dlq.errors import UnknownTask
from dlq.job import Attempt, Claim, Counted, Failure, Outcome
from dlq.result import TaskResult, load_task
from dlq.retry import delay_before_retry
from dlq.states import State
from dlq.task import Task

__all__ = ["Execution", "failure_of", "load", "run_job"]

logger = logging.getLogger("dlq.job")

LONGEST_TRACEBACK = 100_000

type Limiter = Callable[[Execution], AbstractContextManager[object]]
"""Raises TaskTimeout inside the block when the execution's time is up."""


def run_job(claim: Claim, history: Sequence[Attempt], backend: BaseTaskBackend, limited: Limiter) -> Outcome:
    """Run a claimed job in this thread, whatever it does, and say what became of it."""
    execution = load(claim, history, backend)
    if isinstance(execution, Outcome):
        return execution
    execution.start()
    try:
        with limited(execution):
            value = execution.call()
        return execution.succeeded(value)
    except BaseException as exception:
        # Also SystemExit and KeyboardInterrupt: what a task raises ends the job, not the worker.
        return execution.raised(exception)


def load(claim: Claim, history: Sequence[Attempt], backend: BaseTaskBackend) -> Execution | Outcome:
    """Find the task and read the arguments; an outcome instead when that is not possible."""
    try:
        task = load_task(claim, backend.alias)
        args, kwargs = payload.decode(claim.payload)
    except UnknownTask as error:
        logger.warning(
            "Job %s waits for a worker that knows its task. %s", claim.id, error, extra=_fields(claim)
        )
        return Outcome.parked(claim)
    except BaseException as error:
        logger.error("Job %s cannot be read: %r", claim.id, error, extra=_fields(claim))
        return Outcome.failed(claim, failure_of(error))
    return Execution(claim, task, _running_result(claim, history, task, args, kwargs, backend.alias), backend)


@dataclass(slots=True)
class Execution:
    """One attempt at a job, from its start to its outcome."""

    claim: Claim
    task: DjangoTask[..., Any]
    result: TaskResult[..., Any]
    backend: BaseTaskBackend
    began: float = 0.0
    """When it started, by the monotonic clock."""
    limit: Callable[[], AbstractAsyncContextManager[object]] = nullcontext
    """Goes around a coroutine: raises TaskTimeout when its time is up."""

    @property
    def timeout(self) -> float | None:
        """Seconds that the attempt may take; None for any time."""
        return self.task.timeout if isinstance(self.task, Task) else None

    def start(self) -> None:
        """Start the clock and tell those who listen."""
        self.began = time.monotonic()
        self._tell(task_started)

    def call(self) -> Any:
        """Run the task here: a coroutine function too, on an event loop of its own."""
        if self.is_coroutine:
            return async_to_sync(self.acall)()
        return self.task.call(*self.arguments, **self.result.kwargs)

    async def acall(self) -> Any:
        """Run a coroutine function on the event loop that runs here."""
        async with self.limit():
            return await self.task.acall(*self.arguments, **self.result.kwargs)

    @property
    def is_coroutine(self) -> bool:
        """Whether the task is a coroutine function."""
        return iscoroutinefunction(self.task.func)

    @property
    def arguments(self) -> list[Any]:
        """The positional arguments, with the context where the task takes it."""
        if self.task.takes_context:
            return [TaskContext(task_result=self.result), *self.result.args]
        return self.result.args

    def succeeded(self, value: Any) -> Outcome:
        """The task returned.

        Raises TypeError when JSON cannot hold the value; the attempt has then raised that.
        """
        text = payload.encode_value(value)
        seconds = self._elapsed()
        self._finish(State.SUCCEEDED, seconds)
        object.__setattr__(self.result, "_return_value", payload.decode_value(text))
        self._tell(task_finished)
        if logger.isEnabledFor(logging.INFO):
            self._log(logging.INFO, "succeeded", seconds)
        return Outcome.succeeded(self.claim, text, seconds)

    def raised(self, exception: BaseException) -> Outcome:
        """The task raised. Called while the exception is handled, as Django's signal wants it."""
        seconds = self._elapsed()
        failure = failure_of(exception)
        self.result.errors.append(
            TaskError(exception_class_path=failure.exception, traceback=failure.traceback)
        )
        delay = self._delay_before_retry(exception)
        if delay is not None:
            self._log(
                logging.WARNING,
                f"will be tried again {delay:.1f} s after it raised {_in_words(exception)}",
                seconds,
            )
            return Outcome.retry(self.claim, failure, delay, seconds)
        self._finish(State.FAILED, seconds)
        self._tell(task_finished)
        self._log(logging.ERROR, f"failed with {_in_words(exception)}", seconds)
        return Outcome.failed(self.claim, failure, seconds)

    def _delay_before_retry(self, exception: BaseException) -> float | None:
        try:
            return delay_before_retry(
                self.task.backoff if isinstance(self.task, Task) else None,
                attempt=self.claim.attempts + 1,
                max_attempts=self.claim.max_attempts,
                exception=exception,
                result=self.result,
            )
        except BaseException:
            # The task's own backoff function is broken: that must not turn a retry into a loss.
            logger.exception("The backoff of %s raised; the default is used.", self.claim.task)
            return delay_before_retry(
                None,
                attempt=self.claim.attempts + 1,
                max_attempts=self.claim.max_attempts,
                exception=exception,
                result=self.result,
            )

    def _tell(self, signal: Signal) -> None:
        try:
            signal.send_robust(type(self.backend), task_result=self.result)
        except BaseException:
            # send_robust lets SystemExit and its like through; who listens to a job must not end it.
            logger.exception("A receiver of a signal about job %s raised.", self.claim.id)

    def _elapsed(self) -> float:
        return time.monotonic() - self.began

    def _finish(self, state: State, seconds: float) -> None:
        # The store's clock plus what was measured here: the worker's own clock decides nothing.
        finished_at = self.claim.claimed_at + timedelta(seconds=seconds)
        object.__setattr__(self.result, "finished_at", finished_at)
        object.__setattr__(self.result, "state", state)
        object.__setattr__(self.result, "status", state.status)

    def _log(self, level: int, what: str, seconds: float) -> None:
        logger.log(
            level,
            "Job %s %s %s in %.3f s (queue %s, attempt %d)",
            self.claim.id,
            self.claim.task,
            what,
            seconds,
            self.claim.queue,
            self.claim.attempts + 1,
            extra=_fields(self.claim) | {"seconds": seconds},
        )


def failure_of(exception: BaseException) -> Failure:
    """An exception as text that outlives the code; the middle of a very long traceback is left out."""
    kind = type(exception)
    text = "".join(format_exception(exception))
    if len(text) > LONGEST_TRACEBACK:
        half = LONGEST_TRACEBACK // 2
        text = f"{text[:half]}\n[{len(text) - 2 * half:,} characters left out]\n{text[-half:]}"
    # The text goes to stores whose encodings know neither NUL nor half a surrogate pair.
    text = text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    return Failure(exception=f"{kind.__module__}.{kind.__qualname__}", traceback=text)


def _in_words(exception: BaseException) -> str:
    try:
        return repr(exception)
    except Exception:
        return type(exception).__qualname__


def _running_result(
    claim: Claim,
    history: Sequence[Attempt],
    task: DjangoTask[..., Any],
    args: list[Any],
    kwargs: dict[str, Any],
    alias: str,
) -> TaskResult[..., Any]:
    raised = [attempt for attempt in history if attempt.counted is Counted.ATTEMPT]
    return TaskResult(
        task=task,
        id=str(claim.id),
        status=State.RUNNING.status,
        enqueued_at=claim.enqueued_at,
        started_at=history[0].started_at if history else claim.claimed_at,
        finished_at=None,
        last_attempted_at=claim.claimed_at,
        args=args,
        kwargs=kwargs,
        backend=alias,
        errors=[
            TaskError(exception_class_path=a.failure.exception, traceback=a.failure.traceback) for a in raised
        ],
        worker_ids=[*(attempt.worker for attempt in raised), claim.worker],
        state=State.RUNNING,
        interruptions=claim.interruptions,
        history=history,
    )


def _fields(claim: Claim) -> dict[str, Any]:
    return {"job_id": str(claim.id), "task_path": claim.task, "queue": claim.queue, "worker": claim.worker}
