"""From rows of the tables to the values of core."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from dlq.job import Attempt, Claim, Counted, Failure, JobRecord
from dlq.states import State
from dlq_db import models

__all__ = ["claim_of", "record_of"]


def claim_of(live: models.Live) -> Claim:
    """A running job, from its live row and the job row that is loaded with it."""
    assert live.claimed_at is not None
    job = live.job
    return Claim(
        id=job.id,
        token=live.token,
        task=job.task,
        queue=job.queue,
        payload=job.payload,
        priority=job.priority,
        run_after=job.run_after,
        enqueued_at=job.enqueued_at,
        claimed_at=live.claimed_at,
        worker=live.worker or "",
        attempts=live.attempts,
        interruptions=live.interruptions,
        max_attempts=job.max_attempts,
        max_interruptions=job.max_interruptions,
        overrides=job.overrides,
    )


def record_of(job: models.Job, history: Iterable[models.Attempt] = ()) -> JobRecord:
    """A job in whatever state, from its row and the live row that is loaded with it, if it has one."""
    live = getattr(job, "live", None)
    at = live or job
    running = live is not None and live.state == State.RUNNING
    return JobRecord(
        id=job.id,
        state=State(cast(int, at.state)),
        task=job.task,
        queue=job.queue,
        payload=job.payload,
        priority=job.priority,
        run_after=job.run_after,
        enqueued_at=job.enqueued_at,
        due_at=live.due_at if live else None,
        started_at=live.claimed_at if live is not None and running else job.started_at,
        finished_at=job.finished_at,
        worker=at.worker if running or live is None else None,
        token=at.token or 0,
        attempts=at.attempts,
        interruptions=at.interruptions,
        max_attempts=job.max_attempts,
        max_interruptions=job.max_interruptions,
        overrides=job.overrides,
        result=job.result,
        history=tuple(_attempt_of(attempt) for attempt in history),
    )


def _attempt_of(row: models.Attempt) -> Attempt:
    return Attempt(
        worker=row.worker,
        started_at=row.started_at,
        finished_at=row.finished_at,
        counted=Counted(row.counted),
        failure=Failure(exception=row.exception, traceback=row.traceback),
    )
