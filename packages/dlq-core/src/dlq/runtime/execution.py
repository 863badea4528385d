"""The life of one attempt: load, start, call, classify, report."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import async_to_sync
from django.db import transaction
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import Task as DjangoTask
from django.tasks.base import TaskError
from django.tasks.signals import task_finished

from dlq import payload
from dlq.backend import QueueBackend
from dlq.context import JobContext, Notebook, use_context
from dlq.errors import Discard, Expired, InvalidOption, JobCancelled, Snooze, UnknownTask
from dlq.job import Attempt, Claim, Counted, Note, Outcome
from dlq.logs import get_logger
from dlq.overrides import version_of
from dlq.result import TaskResult, load_task
from dlq.runtime.audience import Audience
from dlq.runtime.failures import failure_of, in_words, reason_of
from dlq.runtime.interrupts import Interrupts, Uninterrupted
from dlq.runtime.isolation import end_stray_fork
from dlq.runtime.transactions import is_atomic
from dlq.runtime.verdict import Raised, verdict_on
from dlq.states import FINISHED, State
from dlq.task import Task
from dlq.tracing import running
from dlq.versions import arguments_of

__all__ = ["Execution", "load", "run_job"]

logger = get_logger("dlq.job")

UNKNOWN = "unknown"
"""In the place of a worker that nobody remembers."""


def run_job(
    claim: Claim,
    history: Sequence[Attempt],
    backend: BaseTaskBackend,
    *,
    notes: list[Note] | None = None,
) -> Outcome:
    """Run a claimed job in this thread, whatever it does, and say what became of it.

    Its timeout does not apply. What the job said about itself is added to ``notes``.
    """
    execution = load(claim, history, backend)
    if isinstance(execution, Outcome):
        return execution
    outcome = copy_context().run(execution.run, Uninterrupted())
    if notes is not None and (note := execution.notebook.take()):
        notes.append(note)
    return outcome


def load(claim: Claim, history: Sequence[Attempt], backend: BaseTaskBackend) -> Execution | Outcome:
    """Find the task and read the arguments; an outcome instead when the job is not to run, or cannot."""
    if claim.expires_at is not None and claim.expires_at <= claim.claimed_at:
        return _expired(claim)
    try:
        task = load_task(claim, backend.alias)
        args, kwargs = arguments_of(task, claim)
    except UnknownTask as error:
        logger.warning(
            "Job %s waits for a worker that knows its task. %s", claim.id, error, extra=_fields(claim)
        )
        return Outcome.parked(claim, version_of(claim.overrides))
    except BaseException as error:
        logger.error("Job %s cannot be read: %r", claim.id, error, extra=_fields(claim))
        return Outcome.failed(claim, failure_of(error))
    return Execution(claim, history, task, args, kwargs, backend)


def _expired(claim: Claim) -> Outcome:
    error = Expired(
        f"{claim.task} was to start before {claim.expires_at}, and was claimed at {claim.claimed_at}."
    )
    logger.warning("Job %s has expired. %s", claim.id, error, extra=_fields(claim))
    return Outcome.failed(claim, failure_of(error), counted=Counted.NOTHING)


@dataclass(slots=True, eq=False)
class Execution:
    """One attempt at a job, from its start to its outcome."""

    claim: Claim
    history: Sequence[Attempt]
    task: DjangoTask[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    backend: BaseTaskBackend
    began: float = 0.0
    """When it started, by the monotonic clock."""
    limit: Callable[[Execution], AbstractAsyncContextManager[object]] = nullcontext
    """Goes around a coroutine: what interrupts it."""
    interrupt: Callable[[], object] = lambda: None
    """Raises inside the task, from any other thread, if that may be; see ``cancel_reason``."""
    cancel_reason: str | None = None
    """Why it is to be cancelled; None while it is not."""
    is_worker_stopping: Callable[[], bool] = lambda: False
    """Whether the worker was told to stop."""
    tidy: Callable[[], object] = lambda: None
    """Puts back what the task has changed in its process, before anything else is done with what it returned."""
    notebook: Notebook = field(init=False)
    """What the task has said and nobody has fetched."""
    audience: Audience = field(init=False)
    """Who is told how it goes."""
    _result: TaskResult[..., Any] | None = None
    _context: JobContext[..., Any] | None = None

    def __post_init__(self) -> None:
        """Open the notebook."""
        self.notebook = Notebook(self.claim.id, self.claim.token, self.claim.metadata)
        self.audience = Audience(self.claim, self.task, lambda: self.result, type(self.backend))

    # --- What it is ---

    @property
    def result(self) -> TaskResult[..., Any]:
        """The job as others see it. Most jobs end without anybody who looks."""
        if self._result is None:
            self._result = _running_result(self)
        return self._result

    @property
    def context(self) -> JobContext[..., Any]:
        """What the task may ask, and say."""
        if self._context is None:
            self._context = JobContext(
                task_result=self.result,
                notebook=self.notebook,
                is_told_to_stop=lambda: self.should_stop,
                overrides=self.claim.overrides,
            )
        return self._context

    @property
    def timeout(self) -> float | None:
        """Seconds that the attempt may take; None for any time."""
        return self.task.timeout if isinstance(self.task, Task) else None

    @property
    def ends_at(self) -> float:
        """When its time is up, by the monotonic clock."""
        return float("inf") if self.timeout is None else self.began + self.timeout

    @property
    def is_expendable(self) -> bool:
        """Whether a runner that stops may kill it."""
        return isinstance(self.task, Task) and self.task.sigkill_on_stop

    @property
    def is_coroutine(self) -> bool:
        """Whether the task is a coroutine function."""
        return _is_coroutine_function(self.task.func)

    @property
    def should_stop(self) -> bool:
        """Whether the task had better come to an end."""
        return self.cancel_reason is not None or self.is_worker_stopping() or time.monotonic() >= self.ends_at

    # --- What it does ---

    def run(self, interrupts: Interrupts) -> Outcome:
        """Do all of it in this thread, and in this ``contextvars.Context``."""
        with running(self.backend.alias, self.claim) as self.audience.ended:
            self.start()
            self.audience.started()
            try:
                # A coroutine runs on a loop in another thread, and has ``limit``.
                try:
                    text = self.call() if self.is_coroutine else interrupts.call(self, self.call)
                finally:
                    self.tidy()
                outcome = self.succeeded(text)
            except BaseException as exception:
                # Also SystemExit and KeyboardInterrupt: what a task raises ends the job, not the worker.
                return self.raised(exception)
            self.audience.finished(outcome)
            return outcome

    async def arun(self) -> Outcome:
        """Do all of it on the event loop that runs here."""
        with running(self.backend.alias, self.claim) as self.audience.ended:
            self.start()
            await self.audience.astarted()
            try:
                try:
                    text = await self.acall()
                finally:
                    self.tidy()
                outcome = self.succeeded(text)
            except BaseException as exception:
                # Also SystemExit and KeyboardInterrupt, which would end the loop, and a cancellation of its own.
                outcome = self.judge(exception)
                await self.audience.afinished(outcome, exception)
                return outcome
            await self.audience.afinished(outcome)
            return outcome

    def start(self) -> None:
        """Start the clock."""
        self.began = time.monotonic()

    def call(self) -> str:
        """Run the task here, a coroutine function too, on an event loop of its own; its value as JSON text.

        Raises TypeError when JSON cannot hold the value.
        """
        if self.is_coroutine:
            return async_to_sync(self.acall)()
        if is_atomic(self.task):
            with transaction.atomic():
                return self._call()
        return self._call()

    def _call(self) -> str:
        arguments, process = self._arguments(), os.getpid()
        try:
            # What Task.call does for a function, without looking once more whether it is one.
            return payload.encode_value(self.task.func(*arguments, **self.kwargs))
        finally:
            if os.getpid() != process:
                end_stray_fork(self.claim)

    async def acall(self) -> str:
        """Run a coroutine function on the event loop that runs here; its value as JSON text.

        Raises TypeError when JSON cannot hold the value.
        """
        if isinstance(self.task, Task) and self.task.atomic:
            raise InvalidOption(
                f"{self.claim.task} is a coroutine: atomic=True cannot be kept, as Django has it."
            )
        arguments, process = self._arguments(), os.getpid()
        try:
            async with self.limit(self):
                return payload.encode_value(await self.task.acall(*arguments, **self.kwargs))
        finally:
            if os.getpid() != process:
                end_stray_fork(self.claim)

    def _arguments(self) -> list[Any]:
        use_context(lambda: self.context)
        return [self.context, *self.args] if self.task.takes_context else self.args

    # --- How it ends ---

    def succeeded(self, text: str) -> Outcome:
        """The task returned this value."""
        seconds = self._end()
        if self._result is not None or self.audience.hears(task_finished):
            self._finish(State.SUCCEEDED, seconds)
            object.__setattr__(self.result, "_return_value", payload.decode_value(text))
        if logger.isEnabledFor(logging.INFO):
            self._log(logging.INFO, "succeeded", seconds)
        return self._kept(Outcome.succeeded(self.claim, text, seconds))

    def raised(self, exception: BaseException) -> Outcome:
        """The task raised. Called while the exception is handled, as Django's signal wants it."""
        outcome = self.judge(exception)
        self.audience.finished(outcome, exception)
        return outcome

    def judge(self, exception: BaseException) -> Outcome:
        """What becomes of the job after this."""
        seconds = self._end()
        failure = failure_of(exception)
        if not isinstance(exception, Snooze | Discard):
            self.result.errors.append(
                TaskError(exception_class_path=failure.exception, traceback=failure.traceback)
            )
        if self.cancel_reason is not None or isinstance(exception, JobCancelled):
            return self._cancelled(exception, seconds)
        if self._is_to_run_alone(exception):
            # Some job here has cancelled all that its loop runs. Each runs once more, alone: then it is known who.
            self._log(logging.WARNING, "was cancelled by another job on its event loop", seconds)
            return Outcome.interrupted(self.claim, failure)
        verdict = verdict_on(Raised(self.claim, self.task, self.result, exception, failure, seconds))
        self._log(verdict.level, verdict.words, seconds)
        if verdict.outcome.state not in FINISHED:
            return verdict.outcome
        self._finish(verdict.outcome.state, seconds)
        return self._kept(verdict.outcome)

    def _is_to_run_alone(self, exception: BaseException) -> bool:
        return (
            isinstance(exception, CancelledError)
            and _was_cancelled_by_others()
            and not self.claim.suspect
            and (not isinstance(self.backend, QueueBackend) or self.backend.may_repeat)
        )

    def _cancelled(self, exception: BaseException, seconds: float) -> Outcome:
        reason = reason_of(str(exception)) if self.cancel_reason is None else self.cancel_reason
        self._finish(State.CANCELLED, seconds)
        how = "" if isinstance(exception, JobCancelled) else f" and raised {in_words(exception)}"
        self._log(logging.WARNING, f"was cancelled ({reason}){how}", seconds)
        return self._kept(Outcome.cancelled(self.claim, reason, seconds))

    def _end(self) -> float:
        """Seconds that it took; nothing can be said about the job any more."""
        self.notebook.close()
        return time.monotonic() - self.began

    def _finish(self, state: State, seconds: float) -> None:
        # The store's clock plus what was measured here: the worker's own clock decides nothing.
        finished_at = self.claim.claimed_at + timedelta(seconds=seconds)
        object.__setattr__(self.result, "finished_at", finished_at)
        object.__setattr__(self.result, "state", state)
        object.__setattr__(self.result, "status", state.status)

    def _kept(self, outcome: Outcome) -> Outcome:
        ttl = self.task.result_ttl if isinstance(self.task, Task) else None
        return outcome if ttl is None else replace(outcome, keep_for=ttl)

    def _log(self, level: int, what: str, seconds: float) -> None:
        with suppress(Exception):  # A log that cannot be written must not decide what becomes of a job.
            fields = _fields(self.claim)
            fields["seconds"] = seconds
            logger.log(
                level,
                "Job %s %s %s in %.3f s (queue %s, attempt %d)",
                fields["job_id"],
                self.claim.task,
                what,
                seconds,
                self.claim.queue,
                self.claim.attempts + 1,
                extra=fields,
            )


def _was_cancelled_by_others() -> bool:
    """Whether somebody has cancelled the asyncio task that runs here; a task may also raise the error by itself."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0


def _running_result(execution: Execution) -> TaskResult[..., Any]:
    claim, history = execution.claim, execution.history
    raised = [attempt for attempt in history if attempt.counted is Counted.ATTEMPT]
    # Where the history could not be read, its attempts still count.
    unread = [UNKNOWN] * (claim.attempts - len(raised))
    return TaskResult(
        task=execution.task,
        id=str(claim.id),
        status=State.RUNNING.status,
        enqueued_at=claim.enqueued_at,
        started_at=history[0].started_at if history else claim.claimed_at,
        finished_at=None,
        last_attempted_at=claim.claimed_at,
        args=execution.args,
        kwargs=execution.kwargs,
        backend=execution.backend.alias,
        errors=[
            TaskError(exception_class_path=a.failure.exception, traceback=a.failure.traceback) for a in raised
        ],
        worker_ids=[*unread, *(attempt.worker for attempt in raised), claim.worker],
        state=State.RUNNING,
        interruptions=claim.interruptions,
        history=history,
        metadata=payload.decode_value(claim.metadata) or {},
        expires_at=claim.expires_at,
    )


_is_coroutine_function = lru_cache(iscoroutinefunction)


def _fields(claim: Claim) -> dict[str, Any]:
    return {
        "job_id": str(claim.id),
        "task_path": claim.task,
        "queue": claim.queue,
        "worker": claim.worker,
    }
