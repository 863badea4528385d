"""What a statement is given: many values of core as arrays of one length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from dlq.job import NewJob, Note, Outcome
from dlq.limits import limits_to_json
from dlq.store.schedules import Advance
from dlq.unique import mark_of, unique_to_json
from dlq_db.lines import line_for
from dlq_db.logs import appended, text_of

__all__ = [
    "advance_columns",
    "first_of_each",
    "job_columns",
    "note_columns",
    "outcome_columns",
    "unique_columns",
]


def first_of_each[T](items: Iterable[T], key: Callable[[T], object]) -> list[T]:
    """A statement sees all rows of an array at once: what comes twice must be left out before."""
    seen: dict[object, T] = {}
    for item in items:
        seen.setdefault(key(item), item)
    return list(seen.values())


def job_columns(backend: str, jobs: Sequence[NewJob]) -> dict[str, list[Any]]:
    """For enqueue.sql, and the same part of advance.sql."""
    return {
        "ids": [job.id for job in jobs],
        "tasks": [job.task for job in jobs],
        "queues": [job.queue for job in jobs],
        "priorities": [job.priority for job in jobs],
        "payloads": [job.payload for job in jobs],
        "run_afters": [job.run_after for job in jobs],
        "max_attempts": [job.max_attempts for job in jobs],
        "max_interruptions": [job.max_interruptions for job in jobs],
        "overrides": [job.overrides for job in jobs],
        "expires_afters": [job.expires_after for job in jobs],
        "metadata": [job.metadata for job in jobs],
        "limits": [limits_to_json(job.limits) for job in jobs],
        "lines": [line_for(backend, job) for job in jobs],
    }


def unique_columns(jobs: Sequence[NewJob]) -> dict[str, list[Any]]:
    """For enqueue_unique.sql, beside ``job_columns``."""
    return {
        "marks": [mark_of(job.unique) for job in jobs],
        "uniques": [unique_to_json(job.unique) for job in jobs],
    }


def advance_columns(backend: str, advances: Sequence[Advance]) -> dict[str, list[Any]]:
    """For advance.sql."""
    fires = [(advance.key, fire) for advance in advances for fire in advance.fires]
    return {
        "keys": [advance.key for advance in advances],
        "revisions": [advance.revision for advance in advances],
        "due_ats": [advance.due_at for advance in advances],
        "look_ats": [advance.look_at for advance in advances],
        "counts": [advance.enqueued for advance in advances],
        "last_due_ats": [advance.last_due_at for advance in advances],
        "last_jobs": [advance.last_job for advance in advances],
        "fire_keys": [key for key, _ in fires],
        "fire_due_ats": [fire.due_at for _, fire in fires],
        "outcomes": [fire.outcome.value for _, fire in fires],
        "fire_jobs": [fire.job_id for _, fire in fires],
        "fire_reasons": [fire.reason for _, fire in fires],
        **job_columns(backend, [fire.job for _, fire in fires if fire.job is not None]),
    }


def outcome_columns(outcomes: Iterable[Outcome]) -> dict[str, list[Any]]:
    """For exchange.sql.

    By id: two exchanges that settle the same jobs then wait for each other in turn, and not in a circle.
    """
    unique = first_of_each(outcomes, lambda outcome: (outcome.id, outcome.token))
    unique.sort(key=lambda outcome: outcome.id.int)
    return {
        "ids": [o.id for o in unique],
        "tokens": [o.token for o in unique],
        "states": [int(o.state) for o in unique],
        "counted": [int(o.counted) for o in unique],
        "results": [o.result for o in unique],
        "exceptions": [o.failure and o.failure.exception for o in unique],
        "tracebacks": [o.failure and o.failure.traceback for o in unique],
        "delays": [o.delay for o in unique],
        "seconds": [o.seconds for o in unique],
        "reasons": [o.reason for o in unique],
        "keep_fors": [o.keep_for for o in unique],
        "versions": [o.version for o in unique],
    }


def note_columns(notes: Iterable[Note]) -> dict[str, list[Any]]:
    """For annotate.sql. What was said several times under one token is said once: the last word, and all lines."""
    said: dict[tuple[UUID, int], list[Note]] = {}
    for note in notes:
        said.setdefault((note.id, note.token), []).append(note)
    return {
        "ids": [id for id, _ in said],
        "tokens": [token for _, token in said],
        "progresses": [_last([note.progress for note in some]) for some in said.values()],
        "messages": [_last([note.message for note in some]) for some in said.values()],
        "metadata": [_last([note.metadata for note in some]) for some in said.values()],
        "logs": [appended("", "".join(text_of(note.lines) for note in some)) for some in said.values()],
    }


def _last[T](words: Sequence[T | None]) -> T | None:
    return next((word for word in reversed(words) if word is not None), None)
