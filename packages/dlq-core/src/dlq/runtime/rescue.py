"""Taking back the claims of workers that are gone. A crash is not a failure, and no attempt is used up.

Under at-most-once delivery it is: what had started, or may have, is not begun again.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from dlq.backend import QueueBackend
from dlq.errors import RunnerLost, RunnerUnknown, TaskTimeout, WorkerLost
from dlq.job import Attempt, Claim, Counted, Outcome
from dlq.logs import get_logger
from dlq.retry import DEFAULT_BACKOFF
from dlq.runtime.execution import Execution, load
from dlq.runtime.failures import failure_of
from dlq.store.base import Store
from dlq.workers import WorkerRef

__all__ = ["DeadWorker", "rescue_orphans", "rescue_worker", "was_lost_with_runner"]

logger = get_logger("dlq.rescue")

BATCH = 100
RUNNER_LOST = f"{RunnerLost.__module__}.{RunnerLost.__qualname__}"
ANSWER_WITHIN = 5.0
"""Seconds for which a task's own code may think about what becomes of its job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadWorker:
    """What the parent knows of a worker that has ended without settling what it held."""

    id: str
    reason: str
    """How it ended, such as ``exited with signal 9 (SIGKILL)``."""
    started: Collection[tuple[UUID, int]] = ()
    """Id and token of the jobs that ran when it ended."""
    ended: Collection[tuple[UUID, int]] = ()
    """Id and token of the jobs that had run, and of which the store may not know it."""
    overdue: UUID | None = None
    """The job for whose timeout the parent killed it."""
    deliberate: bool = False
    """Whether the parent killed it for a reason that is no job's fault, such as the end of a shutdown."""


def rescue_worker(store: Store, backend: QueueBackend, by: str, dead: DeadWorker) -> int:
    """Take back everything that a dead child held; returns how many of its jobs had started.

    Repeating it after an error is harmless.
    """
    try:
        # What had not started goes back uncounted, and nothing can come after: see Store.reconcile. What had ended
        # does so too: it is no job's fault that the store does not know. But what may not run twice must not.
        kept = dead.started if backend.may_repeat else [*dead.started, *dead.ended]
        store.reconcile(WorkerRef(dead.id), kept)
    except RunnerUnknown:
        return 0  # A peer was faster, and what is left are orphans.
    rescued = 0
    while claims := store.held(dead.id, BATCH):
        rescued += len(claims)
        _settle(store, by, (_verdict(claim, dead, backend, alone=len(dead.started) == 1) for claim in claims))
    store.unregister_worker(dead.id)
    if rescued:
        logger.warning("Worker %s %s; took back %d jobs that it was running.", dead.id, dead.reason, rescued)
    return rescued


def rescue_orphans(store: Store, backend: QueueBackend, by: str, reason: str) -> int:
    """Take back the claims that no registered worker holds; returns how many."""
    rescued = 0
    while claims := store.orphans(BATCH):
        rescued += len(claims)
        # Which of them had started died with their runner, and what ran beside them in other workers.
        alone = _alone_in_runner(store, claims)
        _settle(
            store,
            by,
            (_lost_with_runner(claim, reason, backend, alone=claim.id in alone) for claim in claims),
        )
    if rescued:
        logger.warning("Took back %d jobs of workers that are gone (%s).", rescued, reason)
    return rescued


def _settle(store: Store, by: str, outcomes: Iterable[Outcome]) -> None:
    # A stale answer means that somebody else settled the claim first: that is as good.
    store.exchange(WorkerRef(by), list(outcomes), [], 0)


def _alone_in_runner(store: Store, claims: Iterable[Claim]) -> set[UUID]:
    """Which of these jobs ran alone in their runner, if they had started."""
    suspects = [claim.id for claim in claims if claim.suspect]
    records = store.get(suspects) if suspects else []
    return {record.id for record in records if was_lost_with_runner(record.history)}


def was_lost_with_runner(history: Sequence[Attempt]) -> bool:
    """Whether a job with this history last lost its worker together with its runner."""
    lost = [attempt for attempt in history if attempt.counted is Counted.INTERRUPTION]
    return bool(lost) and lost[-1].failure.exception == RUNNER_LOST


def _lost_with_runner(claim: Claim, reason: str, backend: QueueBackend, *, alone: bool) -> Outcome:
    error = RunnerLost(f"Worker {claim.worker} was lost: {reason}.")
    return _lost(claim, error, backend, alone=alone)


def _verdict(claim: Claim, dead: DeadWorker, backend: QueueBackend, *, alone: bool) -> Outcome:
    if claim.id == dead.overdue:
        return _overdue(claim, backend)
    if backend.may_repeat and (dead.overdue is not None or dead.deliberate):
        return Outcome.handed_back(claim)
    error = WorkerLost(f"Worker {claim.worker} was lost: {dead.reason}.")
    return _lost(claim, error, backend, alone=alone)


def _lost(claim: Claim, error: WorkerLost, backend: QueueBackend, *, alone: bool) -> Outcome:
    lost = failure_of(error)
    if not backend.may_repeat or (alone and claim.interruptions >= claim.max_interruptions):
        logger.error("Job %s %s failed: %s", claim.id, claim.task, lost.traceback.strip())
        return Outcome.failed(claim, lost, counted=Counted.INTERRUPTION)
    return Outcome.interrupted(claim, lost)


def _overdue(claim: Claim, backend: QueueBackend) -> Outcome:
    """A job that ignored its timeout until its process was killed: an attempt that raised TaskTimeout.

    How it goes on is for the task's own code to say, and to whoever listens to Django's signals. They are
    asked in a thread of their own, and not for long: whatever they do, the beats must go on.
    """
    answer: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    threading.Thread(target=lambda: answer.put(_raised_timeout(claim, backend)), daemon=True).start()
    try:
        return answer.get(timeout=ANSWER_WITHIN)
    except queue.Empty:
        logger.error("The code of %s did not say in time how job %s goes on.", claim.task, claim.id)
        return _by_default(claim)


def _raised_timeout(claim: Claim, backend: QueueBackend) -> Outcome:
    try:
        (record,) = backend.store.get([claim.id])
        execution = load(claim, record.history, backend)
        if isinstance(execution, Execution):
            execution.began = time.monotonic() - (execution.timeout or 0.0)
            try:
                raise _ignored_timeout(claim)
            except TaskTimeout as error:
                return execution.raised(error)
    except Exception:
        logger.exception("The code of %s cannot say how job %s goes on.", claim.task, claim.id)
    finally:
        backend.store.close()
    return _by_default(claim)


def _by_default(claim: Claim) -> Outcome:
    failure = failure_of(_ignored_timeout(claim))
    if claim.attempts + 1 < claim.max_attempts:
        return Outcome.retry(claim, failure, DEFAULT_BACKOFF(claim.attempts + 1))
    return Outcome.failed(claim, failure)


def _ignored_timeout(claim: Claim) -> TaskTimeout:
    return TaskTimeout(f"{claim.task} ignored its timeout, and its worker process was killed.")
