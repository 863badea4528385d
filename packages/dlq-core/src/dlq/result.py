"""``TaskResult``: Django's, complete, and with what only DLQ knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar
from uuid import UUID

from django.tasks import task_backends
from django.tasks.base import Task as DjangoTask
from django.tasks.base import TaskError
from django.tasks.base import TaskResult as DjangoTaskResult
from django.utils.module_loading import import_string

from dlq import payload
from dlq.errors import JobNotFinished, UnknownTask
from dlq.job import Attempt, Claim, Counted, JobRecord
from dlq.overrides import read_overrides
from dlq.states import State
from dlq.task import Task
from dlq.unique import duplicate_reason
from dlq.waiting import pauses

__all__ = ["TaskResult", "load_task", "reject", "result_of"]

P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:
    _Base = DjangoTaskResult[P, R]
else:

    class _Base(DjangoTaskResult, Generic[P, R]):
        __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult(_Base[P, R]):  # type: ignore[misc]  # the stubs do not know that Django's is frozen
    """What is known of one job. ``refresh()`` reads it again, in whatever process it is called."""

    state: State = State.READY
    """The job's state in DLQ's words, of which Django's ``status`` knows four."""
    interruptions: int = 0
    """How often a worker was lost while the job ran."""
    history: Sequence[Attempt] = field(default=(), compare=False)
    """Every attempt that raised or was interrupted, oldest first."""
    reason: str | None = None
    """Why the job was cancelled, or, while it runs, why it is to be."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the job was enqueued with, or its task has put in its place since."""
    progress: float | None = None
    """How far the task has come, from 0 to 1, as it has said."""
    message: str | None = None
    """What the task does, or did last, as it has said."""
    log: Sequence[str] = field(default=(), compare=False)
    """Lines that the task has left, oldest first; the oldest go when there are too many."""
    expires_at: datetime | None = None
    """When the job fails as ``Expired`` unless it has started."""
    keep_until: datetime | None = None
    """Until when the finished job is kept; None for as long as the backend's retention says."""
    unique_key: str | None = None
    """What no other job of its task may have at the same time, as ``unique`` makes it of the arguments."""
    duplicate_of: str | None = None
    """The id of the job that had its key when it was enqueued: this one was cancelled, or the other was given its
    arguments."""

    def __post_init__(self) -> None:
        """Arguments come from JSON already: there is nothing to normalise."""

    def refresh(self) -> None:
        """Read the job again.

        Raises TaskResultDoesNotExist when it is gone.
        """
        self._take_over(task_backends[self.backend].get_result(self.id))

    async def arefresh(self) -> None:
        """``refresh()`` for coroutines."""
        self._take_over(await task_backends[self.backend].aget_result(self.id))

    def wait(self, timeout: float | None = None, *, pause: Callable[[float], object] = time.sleep) -> R:
        """Wait until the job has finished, and return what its task returned.

        The store is asked again and again, after ``pause`` for a time that grows from 0.05 to 1 s. A job whose
        transaction is still open never finishes: wait after the commit.

        Raises JobNotFinished when that takes longer than ``timeout`` seconds (None is for ever), ValueError when
        the job failed or was cancelled, TaskResultDoesNotExist when it is gone or not sent yet.
        """
        if not self.is_finished:
            self.refresh()
        for seconds in pauses(timeout):
            if self.is_finished:
                break
            pause(seconds)
            self.refresh()
        return self._outcome(timeout)

    async def await_finished(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  # as wait() has it
        *,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> R:
        """``wait`` for coroutines."""
        if not self.is_finished:
            await self.arefresh()
        for seconds in pauses(timeout):
            if self.is_finished:
                break
            await pause(seconds)
            await self.arefresh()
        return self._outcome(timeout)

    def _outcome(self, timeout: float | None) -> R:
        """What the task returned."""
        if not self.is_finished:
            raise JobNotFinished(
                f"The job {self.id} is still {self.state.label}: it has not finished within {timeout} s, and goes on."
            )
        if self.state is State.CANCELLED:
            raise ValueError(
                f"Task failed: the job {self.id} was cancelled: {self.reason or 'no reason given'}"
            )
        if self.state is State.FAILED:
            last = self.errors[-1].exception_class_path if self.errors else "no error"
            raise ValueError(f"Task failed: the job {self.id} ended with {last}")
        value: R = self.return_value
        return value

    def _take_over(self, fresh: Any) -> None:
        for name in _REFRESHED:
            object.__setattr__(self, name, getattr(fresh, name))


_REFRESHED = (
    "status",
    "enqueued_at",
    "started_at",
    "finished_at",
    "last_attempted_at",
    "errors",
    "worker_ids",
    "_return_value",
    "state",
    "interruptions",
    "history",
    "reason",
    "metadata",
    "progress",
    "message",
    "log",
    "expires_at",
    "keep_until",
    "unique_key",
    "duplicate_of",
)


def result_of(record: JobRecord, backend: str) -> TaskResult[..., Any]:
    """A job's record as a result.

    Raises UnknownTask when its task cannot be imported here.
    """
    args, kwargs = payload.decode(record.payload)
    result: TaskResult[..., Any] = TaskResult(
        task=load_task(record, backend),
        id=str(record.id),
        status=record.state.status,
        enqueued_at=record.enqueued_at,
        started_at=record.history[0].started_at if record.history else record.started_at,
        finished_at=record.finished_at,
        last_attempted_at=record.started_at or (record.history[-1].started_at if record.history else None),
        args=args,
        kwargs=kwargs,
        backend=backend,
        errors=_errors(record),
        worker_ids=_worker_ids(record),
        state=record.state,
        interruptions=record.interruptions,
        history=record.history,
        reason=record.reason,
        metadata=payload.decode_value(record.metadata) or {},
        progress=record.progress,
        message=record.message,
        log=record.log,
        expires_at=record.expires_at,
        keep_until=record.keep_until,
        unique_key=None if record.unique is None else record.unique.key,
        duplicate_of=None if record.duplicate_of is None else str(record.duplicate_of),
    )
    object.__setattr__(result, "_return_value", payload.decode_value(record.result))
    return result


def reject(result: TaskResult[..., Any], other: UUID, at: datetime) -> None:
    """Complete the result of a job that was stored as a duplicate of the other."""
    said = {
        "state": State.CANCELLED,
        "status": State.CANCELLED.status,
        "enqueued_at": at,
        "finished_at": at,
        "reason": duplicate_reason(other),
        "duplicate_of": str(other),
    }
    for name, value in said.items():
        object.__setattr__(result, name, value)


def _errors(record: JobRecord) -> list[TaskError]:
    # An interruption is no failure of the task, unless it is what the job failed of.
    last = record.history[-1:] if record.state is State.FAILED else ()
    return [
        TaskError(exception_class_path=attempt.failure.exception, traceback=attempt.failure.traceback)
        for attempt in record.history
        if attempt.counted is Counted.ATTEMPT or attempt in last
    ]


def _worker_ids(record: JobRecord) -> list[str]:
    raised = [attempt.worker for attempt in record.history if attempt.counted is Counted.ATTEMPT]
    if record.worker is not None and record.state in (State.RUNNING, State.SUCCEEDED):
        raised.append(record.worker)
    return raised


def load_task(job: JobRecord | Claim, backend: str) -> DjangoTask[..., Any]:
    """The task of a job, with the options that it was enqueued with; the others are those of today's code.

    Raises UnknownTask when it cannot be imported here.
    """
    task = imported_task(job.task)
    options: dict[str, Any] = {
        "queue_name": job.queue,
        "priority": job.priority,
        "run_after": job.run_after,
        "backend": backend,
    }
    if isinstance(task, Task):
        options["max_attempts"] = (
            None if job.max_attempts == 1 and not task.max_attempts else job.max_attempts
        )
        options["metadata"] = payload.decode_value(job.metadata)
        if job.expires_at is not None:
            options["expires_after"] = (job.expires_at - job.enqueued_at).total_seconds()
        options |= read_overrides(job.overrides)
    changes = {name: value for name, value in options.items() if getattr(task, name) != value}
    return _changed(task, **changes) if changes else task


def _changed(task: DjangoTask[..., Any], **changes: Any) -> DjangoTask[..., Any]:
    """Like ``using``, but not validated: the settings may have changed since the job was enqueued."""
    changed = object.__new__(type(task))
    for option in fields(task):
        object.__setattr__(changed, option.name, changes.get(option.name, getattr(task, option.name)))
    return changed


def imported_task(path: str) -> DjangoTask[..., Any]:
    """The task that is declared under this dotted path.

    Raises UnknownTask when there is none, or its module cannot be imported.
    """
    try:
        task = import_string(path)
    except (Exception, SystemExit) as error:
        # A module that raises or exits while it is imported is as unknown as one that is not there.
        raise UnknownTask(f"The task {path!r} cannot be imported here: {error!r}.") from error
    if not isinstance(task, DjangoTask):
        raise UnknownTask(f"{path!r} is a {type(task).__qualname__}, not a task. Declare it with @task.")
    return task
