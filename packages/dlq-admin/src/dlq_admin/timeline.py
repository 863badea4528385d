"""What has happened to a job, and what comes next, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from django.utils.translation import gettext as _

from dlq import Attempt, Counted, State
from dlq.job import JobRecord

__all__ = ["Event", "timeline_of"]


@dataclass(frozen=True)
class Event:
    """A moment in a job's life."""

    at: datetime
    name: str
    kind: str
    """The state that it looks like."""
    detail: str = ""
    attempt: Attempt | None = None
    number: int = 0
    """Of the attempt in the history."""
    seconds: float | None = None
    ahead: bool = False
    """Whether it has not happened yet."""


def timeline_of(job: JobRecord) -> list[Event]:
    """The events of a job, the oldest first."""
    return sorted(_events(job), key=attrgetter("at"))


def _events(job: JobRecord) -> Iterator[Event]:
    yield Event(job.enqueued_at, _("Enqueued"), "ready", job.queue)
    for number, attempt in enumerate(job.history, 1):
        yield _attempt(attempt, number)
    if job.state is State.RUNNING and job.started_at is not None:
        yield Event(job.started_at, _("Started"), "running", job.worker or "")
    if job.finished_at is not None and not _told_by_history(job):
        yield _end(job, job.finished_at)
    if job.due_at is not None:
        yield Event(job.due_at, _("Due"), "scheduled", ahead=True)
    if job.expires_at is not None and job.state.label in ("scheduled", "blocked", "ready"):
        yield Event(job.expires_at, _("Expires unless it has started"), "cancelled", ahead=True)
    if job.keep_until is not None:
        yield Event(job.keep_until, _("Is deleted"), "cancelled", ahead=True)


def _attempt(attempt: Attempt, number: int) -> Event:
    names = {
        Counted.ATTEMPT: _("Raised"),
        Counted.INTERRUPTION: _("Interrupted: its worker was lost"),
        Counted.NOTHING: _("Failed without having run"),
    }
    seconds = (attempt.finished_at - attempt.started_at).total_seconds()
    return Event(
        attempt.finished_at,
        names[attempt.counted],
        "failed" if attempt.counted is not Counted.INTERRUPTION else "blocked",
        attempt.worker,
        attempt,
        number,
        seconds,
    )


def _told_by_history(job: JobRecord) -> bool:
    last = job.history[-1] if job.history else None
    return job.state is State.FAILED and last is not None and last.finished_at == job.finished_at


def _end(job: JobRecord, at: datetime) -> Event:
    names = {
        State.SUCCEEDED: _("Succeeded"),
        State.FAILED: _("Failed"),
        State.CANCELLED: _("Cancelled"),
    }
    seconds = None if job.started_at is None else (at - job.started_at).total_seconds()
    detail = job.reason if job.state is State.CANCELLED else job.worker
    return Event(at, names[job.state], job.state.label, detail or "", seconds=seconds)
