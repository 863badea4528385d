"""Finding and removing jobs that wait to do the same thing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from dlq.backend import queue_backend
from dlq.control import BATCH, Advance, job_pages
from dlq.job import JobRecord
from dlq.states import State
from dlq.store import JobFilter
from dlq.tracing import without_trace

__all__ = ["Duplicates", "find_duplicates", "remove_duplicates"]


@dataclass(slots=True)
class Duplicates:
    """What was found among the ready jobs of a queue."""

    backend: str
    looked_at: int = 0
    """How many jobs are ready."""
    extra: dict[UUID, list[UUID]] = field(default_factory=dict)
    """For each job that has duplicates, the ones that are further back in line than itself."""

    @property
    def count(self) -> int:
        """How many jobs are duplicates of another."""
        return sum(map(len, self.extra.values()))


def find_duplicates(queue: str, *, backend: str = "default", progress: Advance | None = None) -> Duplicates:
    """Look for ready jobs of a queue that have the same task, arguments and options of the call.

    The order of keys in the arguments is of no account, nor is when a job was to run, or its priority: the one
    that is first in line stands for the others. Keeps a digest and an id in memory for each ready job.
    """
    places: dict[bytes, list[_Place]] = {}
    found = Duplicates(backend)
    for page in job_pages(queue_backend(backend), JobFilter(states={State.READY}, queues={queue})):
        for job in page:
            places.setdefault(_digest(job), []).append(_place(job))
        found.looked_at += len(page)
        if progress:
            progress(len(page))
    for same in places.values():
        if len(same) > 1:
            (*_, first), *others = sorted(same)
            found.extra[first] = [id for *_, id in others]
    return found


def remove_duplicates(found: Duplicates, *, progress: Advance | None = None) -> int:
    """Cancel duplicates that are still ready, as "duplicate of" the one that stays; returns how many."""
    store, removed = queue_backend(found.backend).store, 0
    for first, others in found.extra.items():
        for batch in (others[at : at + BATCH] for at in range(0, len(others), BATCH)):
            done = store.cancel(batch, f"duplicate of {first}", states={State.READY}).done
            removed += len(done)
            if progress:
                progress(len(batch))
    return removed


type _Place = tuple[int, int, datetime, UUID]


def _place(job: JobRecord) -> _Place:
    """Smaller is earlier in line; a job that was tried before has lined up again behind those that were not."""
    return -job.priority, job.attempts, max(job.enqueued_at, job.run_after or job.enqueued_at), job.id


def _digest(job: JobRecord) -> bytes:
    expires_after = job.expires_at and (job.expires_at - job.enqueued_at).total_seconds()
    same: Sequence[Any] = [
        job.task,
        json.loads(job.payload),
        json.loads(job.overrides or "{}"),
        without_trace(json.loads(job.metadata or "{}")),
        job.max_attempts,
        expires_after,
    ]
    return blake2b(json.dumps(same, sort_keys=True).encode(), digest_size=16).digest()
