"""Everything that is known of one job, written for a person or for a program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from dlq import payload
from dlq.job import Attempt, JobRecord
from dlq.management.terminal import printable
from dlq.states import Waits

__all__ = ["as_json", "as_lines"]


def as_json(job: JobRecord, alias: str) -> dict[str, Any]:
    """The job as a document; times are ISO 8601."""
    args, kwargs = payload.decode(job.payload)
    return {
        "id": str(job.id),
        "backend": alias,
        "state": job.state.label,
        "waits_for": None if job.waits is None else job.waits.label,
        "task": job.task,
        "queue": job.queue,
        "priority": job.priority,
        "args": args,
        "kwargs": kwargs,
        "options": _decoded(job.overrides),
        "metadata": _decoded(job.metadata),
        "enqueued_at": _iso(job.enqueued_at),
        "run_after": _iso(job.run_after),
        "due_at": _iso(job.due_at),
        "expires_at": _iso(job.expires_at),
        "started_at": _iso(job.started_at),
        "finished_at": _iso(job.finished_at),
        "keep_until": _iso(job.keep_until),
        "worker": job.worker,
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "interruptions": job.interruptions,
        "max_interruptions": job.max_interruptions,
        "progress": job.progress,
        "message": job.message,
        "result": _decoded(job.result),
        "reason": job.reason,
        "unique": None if job.unique is None else job.unique.key,
        "duplicate_of": None if job.duplicate_of is None else str(job.duplicate_of),
        "history": [_attempt_document(attempt) for attempt in job.history],
        "log": list(job.log),
    }


def _attempt_document(attempt: Attempt) -> dict[str, Any]:
    return {
        "worker": attempt.worker,
        "started_at": _iso(attempt.started_at),
        "finished_at": _iso(attempt.finished_at),
        "counted": attempt.counted.name.lower(),
        "exception": attempt.failure.exception,
        "traceback": attempt.failure.traceback,
    }


def as_lines(job: JobRecord, alias: str) -> list[str]:
    """The job as plain text: what is not set is left out."""
    facts = [f"  {name:<14} {value}" for name, value in _facts(job) if value is not None]
    parts = [f"Job {job.id} (backend {alias})", *facts, *_history(job), *_log(job)]
    return [printable(part) for part in parts]


def _facts(job: JobRecord) -> Iterator[tuple[str, str | int | None]]:
    document = as_json(job, "")
    yield "state", job.state.label
    yield "waits for", _wait(job)
    yield "reason", job.reason
    yield "task", job.task
    yield "unique", document["unique"]
    for name in ("args", "kwargs", "options", "metadata"):
        yield name, json.dumps(document[name]) if document[name] else None
    yield "queue", job.queue
    yield "priority", job.priority or None
    for name in ("enqueued", "due", "expires", "started", "finished"):
        yield name, document[f"{name}_at"]
    yield "kept until", document["keep_until"]
    yield "worker", job.worker
    yield "attempts", f"{job.attempts} of {job.max_attempts}"
    yield "interruptions", f"{job.interruptions} of {job.max_interruptions}" if job.interruptions else None
    yield "progress", None if job.progress is None else f"{job.progress:.0%}"
    yield "message", job.message
    yield "result", None if job.result is None else json.dumps(document["result"])


def _wait(job: JobRecord) -> str | None:
    if job.waits is Waits.LIMIT and job.limits is not None:
        return f"{job.waits.label}, {job.limits.slot.key!r}, of which there are {job.limits.slot.limit}"
    return None if job.waits is None else job.waits.label


def _history(job: JobRecord) -> Iterator[str]:
    for number, attempt in enumerate(job.history, 1):
        took = (attempt.finished_at - attempt.started_at).total_seconds()
        where = f" on {attempt.worker}" if attempt.worker else ""
        yield ""
        yield (
            f"  {number}. {attempt.failure.exception}{where}, "
            f"{_iso(attempt.started_at)}, {took:.3f} s, counts as {attempt.counted.name.lower()}"
        )
        yield from (f"     {line}" for line in attempt.failure.traceback.splitlines())


def _log(job: JobRecord) -> Iterator[str]:
    if job.log:
        yield ""
        yield "  log"
    yield from (f"     {line}" for entry in job.log for line in entry.splitlines() or [""])


def _decoded(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
