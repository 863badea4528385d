"""What has become of the latest due times of schedules, and when each had a job that succeeded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from dlq.job import JobRecord
from dlq.states import State
from dlq.store.schedules import Fired, FireRecord

__all__ = ["MOST_FIRES", "Fires", "Successes"]

MOST_FIRES = 1_000
"""Records of a backend that are read, the latest."""

MOST_JOBS = 200
"""Jobs that are asked for at a time, the latest of those that are not known to have succeeded."""


@dataclass(frozen=True, slots=True)
class Fires:
    """The fires of one backend."""

    outcomes: Mapping[tuple[str, Fired], int] = field(default_factory=dict)
    """How many of the latest records there are, by schedule and outcome."""
    succeeded: Mapping[str, datetime] = field(default_factory=dict)
    """By schedule: when the last job that it has enqueued, and that has succeeded, did so."""


class Successes:
    """Remembers what it has seen of the jobs of one backend: most of a page were there the last time, too."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._at: dict[str, datetime] = {}
        self._known: set[UUID] = set()

    def fires(
        self,
        history: Sequence[FireRecord],
        keys: Collection[str],
        get: Callable[[Collection[UUID]], Sequence[JobRecord]],
    ) -> Fires:
        """Sum up the latest records, for schedules with these keys; ``get`` asks the store for jobs."""
        jobs = {fire.job: fire.key for fire in history if fire.job is not None and fire.key in keys}
        known = self._known & jobs.keys()
        for job in get([id for id in jobs if id not in known][:MOST_JOBS]):
            if job.state is State.SUCCEEDED and job.finished_at is not None:
                known.add(job.id)
                key = jobs[job.id]
                self._at[key] = max(job.finished_at, self._at.get(key, job.finished_at))
        self._known = known
        self._at = {key: at for key, at in self._at.items() if key in keys}
        outcomes = Counter((fire.key, fire.outcome) for fire in history if fire.key in keys)
        return Fires(outcomes, dict(self._at))
