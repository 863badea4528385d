"""From rows of the tables to the values of core."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from dlq.job import Attempt, Claim, Counted, Failure, JobRecord
from dlq.limits import limits_from_json
from dlq.states import State, Waits
from dlq.unique import unique_from_json
from dlq_db import models
from dlq_db.logs import lines_of

__all__ = ["claim_of", "record_of", "whole_record_of"]


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
        expires_at=job.expires_at,
        metadata=job.metadata,
        line=live.line,
    )


def record_of(job: models.Job) -> JobRecord:
    """A job in whatever state, from its row and the live row and the note that are loaded with it, if it has them."""
    live = getattr(job, "live", None)
    note = getattr(job, "note", None)
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
        reason=live.cancel if live else job.reason,
        expires_at=job.expires_at,
        keep_until=job.keep_until,
        metadata=job.metadata,
        progress=note.progress if note else None,
        message=note.message if note else None,
        limits=limits_from_json(job.limits),
        waits=None if live is None or live.waits is None else Waits(live.waits),
        unique=unique_from_json(job.unique),
        duplicate_of=job.duplicate_of,
    )


def whole_record_of(job: models.Job) -> JobRecord:
    """The same with its history, which is loaded too, and its log."""
    history = sorted(job.history.all(), key=lambda attempt: attempt.pk)
    note = getattr(job, "note", None)
    return replace(
        record_of(job),
        history=tuple(_attempt_of(attempt) for attempt in history),
        log=lines_of(note.log) if note else (),
    )


def _attempt_of(row: models.Attempt) -> Attempt:
    return Attempt(
        worker=row.worker,
        started_at=row.started_at,
        finished_at=row.finished_at,
        counted=Counted(row.counted),
        failure=Failure(exception=row.exception, traceback=row.traceback),
    )
