"""What a person decides about stored jobs and about workers: from code, and behind the commands."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import batched
from typing import Any, NamedTuple
from uuid import UUID

from django.tasks.base import TaskResult as DjangoTaskResult
from django.tasks.exceptions import TaskResultDoesNotExist

from dlq import payload
from dlq.backend import QueueBackend, queue_backend
from dlq.errors import UndiscardableError
from dlq.job import Edit, JobRecord
from dlq.overrides import with_version
from dlq.result import TaskResult, load_task
from dlq.states import FINISHED, LIVE, WAITING, State
from dlq.store import JobFilter
from dlq.task import Task
from dlq.tracing import without_trace
from dlq.versions import arguments_of
from dlq.workers import Instruction, Order, WorkerInfo

__all__ = [
    "Advance",
    "CancelCounts",
    "EditArguments",
    "JobRef",
    "Jobs",
    "cancel_jobs",
    "copy_job",
    "discard_jobs",
    "instruct",
    "job_pages",
    "job_record",
    "prune_fires",
    "prune_jobs",
    "retry_jobs",
    "running_jobs",
    "wait_until_heeded",
    "workers",
]

BATCH = 500
"""Jobs that one call of the store changes at most: nobody waits long for its locks."""

RETRYABLE = frozenset({State.FAILED, State.CANCELLED})
DISCARDABLE = WAITING | {State.FAILED}

type Advance = Callable[[int], object]
"""Hears, after each batch of long work, how many jobs were looked at in it."""

type JobRef = "str | UUID | DjangoTaskResult[..., Any]"
"""A job: its id, as text or UUID, or its result, which also says which backend has it."""

type Jobs = JobFilter | JobRef | Iterable[JobRef]
"""Jobs by a filter, by name, or several by name."""


# --- Jobs ---


type EditArguments = Callable[[list[Any], dict[str, Any]], tuple[Sequence[Any], Mapping[str, Any]]]
"""Takes the arguments of a job, and returns those that it is to have."""


def retry_jobs(
    jobs: Jobs,
    *,
    backend: str = "default",
    edit: EditArguments | None = None,
    progress: Advance | None = None,
) -> int:
    """Make failed and cancelled jobs ready again, behind those that wait; returns how many.

    Jobs in other states are left as they are, and so are those whose unique key another has by now. ``edit`` is called
    with the arguments of each, of today's version of its task, and returns others; its key stays.

    Raises TaskResultDoesNotExist when a job was named that is not there; then nothing was changed. With ``edit``
    also UnknownTask and UpcastFailed for a job whose arguments cannot be read here, PayloadError for arguments that
    JSON cannot hold, and what it raises; jobs of batches before, of 500 each, have been retried then.
    """
    chosen, retried = _looked_up(jobs, backend), 0
    for owner, ids in _batches(chosen, backend, RETRYABLE, progress):
        edits = {} if edit is None else _edits(owner, ids, edit)
        retried += len(owner.store.retry(ids, edits=edits))
    return retried


def _edits(owner: QueueBackend, ids: Sequence[UUID], edit: EditArguments) -> dict[UUID, Edit]:
    return {
        record.id: _edited(owner, record, edit)
        for record in owner.store.get(ids)
        if record.state in RETRYABLE
    }


def _edited(owner: QueueBackend, record: JobRecord, edit: EditArguments) -> Edit:
    task = load_task(record, owner.alias)
    args, kwargs = edit(*arguments_of(task, record))
    text, _, _ = payload.encode(args, kwargs, limit=owner.config.max_payload)
    version = task.version if isinstance(task, Task) else 1
    return Edit(payload=text, overrides=with_version(record.overrides, version))


def discard_jobs(
    jobs: Jobs,
    *,
    backend: str = "default",
    reason: str = "discarded",
    progress: Advance | None = None,
) -> int:
    """Cancel jobs that wait or have failed; returns how many.

    A filter leaves out jobs that run, and so is left out what starts meanwhile. Jobs that have succeeded or are
    cancelled stay as they are.

    Raises UndiscardableError when a job was named that runs, TaskResultDoesNotExist when one was named that
    is not there; then nothing was changed.
    """
    chosen = _looked_up(jobs, backend)
    if not isinstance(chosen, JobFilter):
        _refuse_running(chosen)
    return sum(
        len(owner.store.cancel(ids, reason, states=DISCARDABLE).done)
        for owner, ids in _batches(chosen, backend, DISCARDABLE, progress)
    )


class CancelCounts(NamedTuple):
    """What became of the jobs that were to be cancelled."""

    done: int
    """They had not started, and are cancelled."""
    asked: int
    """They run, and their tasks will be asked to stop."""


def cancel_jobs(
    jobs: Jobs,
    *,
    backend: str = "default",
    reason: str = "cancelled",
    progress: Advance | None = None,
) -> CancelCounts:
    """Cancel jobs that wait, and ask those that run to stop; returns how many of each.

    Finished jobs stay as they are.

    Raises TaskResultDoesNotExist when a job was named that is not there; then nothing was changed.
    """
    chosen = _looked_up(jobs, backend)
    done = asked = 0
    for owner, ids in _batches(chosen, backend, LIVE, progress):
        reply = owner.store.cancel(ids, reason, states=LIVE)
        done, asked = done + len(reply.done), asked + len(reply.asked)
    return CancelCounts(done, asked)


def copy_job(
    job: JobRef,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    backend: str = "default",
    **options: Any,
) -> TaskResult[..., Any]:
    """Enqueue a copy of a job in whatever state it is, with its options, and return the result of the copy.

    ``args`` and ``kwargs`` replace those of the job; ``options`` are those of ``Task.using``, and change the copy.

    Raises TaskResultDoesNotExist when there is no such job, UnknownTask when its task cannot be imported here,
    and what ``using`` and ``enqueue`` raise.
    """
    record = job_record(job, backend=backend)
    task = load_task(record, _alias_of(job, backend))
    if isinstance(task, Task) and task.metadata:
        # Where the copy comes from is another place.
        options = {"metadata": without_trace(task.metadata)} | options
    if options:
        task = task.using(**options)
    old_args, old_kwargs = arguments_of(task, record) if None in (args, kwargs) else ([], {})
    owner = queue_backend(task.backend)
    return owner.enqueue(task, old_args if args is None else args, old_kwargs if kwargs is None else kwargs)


def job_record(job: JobRef, *, backend: str = "default") -> JobRecord:
    """Everything that the store knows of one job, whether its task can be imported here or not.

    Raises TaskResultDoesNotExist.
    """
    alias, id = _alias_of(job, backend), _id_of(job)
    found = queue_backend(alias).store.get([id])
    if not found:
        raise _no_such_job(id, alias)
    return found[0]


def prune_jobs(
    state: State,
    older_than: float | None,
    *,
    task: str | None = None,
    backend: str = "default",
    progress: Advance | None = None,
) -> int:
    """Delete jobs that reached this finished state ``older_than`` seconds ago or earlier; returns how many.

    With None, only those go whose own time to be kept is over. ``task`` is the dotted path of the one task
    whose jobs are meant.
    """
    if state not in FINISHED:
        raise ValueError(f"A job that is {state.label} has not finished, and cannot be pruned.")
    store, pruned = queue_backend(backend).store, 0
    while count := store.prune(state, older_than, BATCH, task=task):
        pruned += count
        if progress:
            progress(count)
    return pruned


def prune_fires(
    older_than: float,
    *,
    key: str | None = None,
    backend: str = "default",
    progress: Advance | None = None,
) -> int:
    """Delete records of what schedules fired ``older_than`` seconds ago or earlier; returns how many.

    ``key`` is that of the one schedule that is meant. The schedules themselves stay, and the jobs.

    Raises ConfigError when the backend keeps no schedules.
    """
    schedules, pruned = queue_backend(backend).schedules, 0
    while count := schedules.prune(older_than, BATCH, key=key):
        pruned += count
        if progress:
            progress(count)
    return pruned


def running_jobs(backend: str = "default") -> Iterator[JobRecord]:
    """The jobs that run now, the newest first, without their history and log."""
    for page in job_pages(queue_backend(backend), JobFilter(states={State.RUNNING})):
        yield from page


def job_pages(owner: QueueBackend, chosen: JobFilter) -> Iterator[Sequence[JobRecord]]:
    """Jobs by descending id, a page at a time, without their history and log; never an empty page."""
    before: UUID | None = None
    while page := owner.inspector.jobs(chosen, limit=BATCH, before=before):
        yield page
        before = page[-1].id


# --- Workers ---


def workers(backend: str = "default") -> list[WorkerInfo]:
    """The registered workers of all runners on all hosts. Those of a lost runner are among them until rescued."""
    return [worker for runner in queue_backend(backend).inspector.runners() for worker in runner.workers]


def instruct(targets: str | Collection[str], order: Order, *, backend: str = "default") -> list[Instruction]:
    """Tell workers something; returns what each was told.

    A target is the id of a worker, or of a runner, for all workers of it. One that is not registered is told
    nothing, and is not in the list. Workers hear of it within about a second: see ``wait_until_heeded``.
    """
    store, named = queue_backend(backend).store, {targets} if isinstance(targets, str) else set(targets)
    meant = [worker.id for worker in workers(backend) if named & {worker.id, worker.runner}]
    told = ((worker, store.instruct(worker, order)) for worker in meant)
    return [Instruction(worker, order, number) for worker, number in told if number is not None]


def wait_until_heeded(
    instructions: Collection[Instruction],
    *,
    backend: str = "default",
    timeout: float = 10.0,
    pause: Callable[[float], object] = time.sleep,
) -> list[Instruction]:
    """Wait until workers have confirmed what they were told; returns what was not confirmed in time.

    A worker that has ended has confirmed an order to stop, and no other. ``timeout`` is in seconds.
    """
    ends_at = time.monotonic() + timeout
    while open := _unheeded(instructions, backend):
        left = ends_at - time.monotonic()
        if left <= 0:
            break
        pause(min(0.2, left))
    return open


def _unheeded(instructions: Collection[Instruction], backend: str) -> list[Instruction]:
    heeded = {worker.id: worker.heeded for worker in workers(backend)}
    return [
        told
        for told in instructions
        if (told.order is not Order.STOP if told.worker not in heeded else heeded[told.worker] < told.number)
    ]


# --- Which jobs ---

type _Named = Mapping[str, Mapping[UUID, State]]
"""Jobs that were named and exist: aliases with ids and states."""


def _looked_up(jobs: Jobs, backend: str) -> JobFilter | _Named:
    """The filter, or the named jobs once it is sure that all of them exist."""
    if isinstance(jobs, JobFilter):
        return jobs
    refs = [jobs] if isinstance(jobs, str | UUID | DjangoTaskResult) else jobs
    wanted: dict[str, list[UUID]] = {}
    for ref in refs:
        wanted.setdefault(_alias_of(ref, backend), []).append(_id_of(ref))
    return {alias: _states_of(ids, alias) for alias, ids in wanted.items()}


def _states_of(ids: Sequence[UUID], alias: str) -> dict[UUID, State]:
    store = queue_backend(alias).store
    found = {record.id: record.state for batch in batched(ids, BATCH) for record in store.get(batch)}
    for id in ids:
        if id not in found:
            raise _no_such_job(id, alias)
    return found


def _refuse_running(named: _Named) -> None:
    running = [str(id) for jobs in named.values() for id, state in jobs.items() if state is State.RUNNING]
    if running:
        raise UndiscardableError(
            f"Cannot discard what runs: {', '.join(running[:5])}{', …' if running[5:] else ''}. "
            f"Cancel it instead, which asks its task to stop."
        )


def _batches(
    chosen: JobFilter | _Named, backend: str, states: Collection[State], progress: Advance | None
) -> Iterator[tuple[QueueBackend, list[UUID]]]:
    """Ids of the chosen jobs that may be in one of these states, by backend."""
    for owner, ids in _found(chosen, backend, frozenset(states)):
        yield owner, ids
        if progress:
            progress(len(ids))


def _found(
    chosen: JobFilter | _Named, backend: str, states: frozenset[State]
) -> Iterator[tuple[QueueBackend, list[UUID]]]:
    if isinstance(chosen, JobFilter):
        wanted = states if chosen.states is None else states.intersection(chosen.states)
        owner = queue_backend(backend)
        for page in job_pages(owner, replace(chosen, states=wanted)) if wanted else ():
            yield owner, [record.id for record in page]
        return
    for alias, jobs in chosen.items():
        for batch in batched(jobs, BATCH):
            yield queue_backend(alias), list(batch)


def _alias_of(job: JobRef, backend: str) -> str:
    return job.backend if isinstance(job, DjangoTaskResult) else backend


def _id_of(job: JobRef) -> UUID:
    text = job.id if isinstance(job, DjangoTaskResult) else job
    try:
        return text if isinstance(text, UUID) else UUID(text)
    except (ValueError, AttributeError, TypeError):
        raise TaskResultDoesNotExist(f"{text!r} is not the id of a job: ids are UUIDs.") from None


def _no_such_job(id: UUID, alias: str) -> TaskResultDoesNotExist:
    return TaskResultDoesNotExist(
        f"The backend {alias!r} has no job {id}: it never existed, was rolled back, or its retention is over."
    )
