"""``QueueInfo``: one queue of one backend, to be looked at and controlled from code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dlq import conf
from dlq.backend import queue_backend
from dlq.control import Advance, discard_jobs
from dlq.selectors import QUEUE_NAMES, is_queue_name
from dlq.states import State
from dlq.store import JobFilter, QueueCounts

__all__ = ["QueueInfo"]


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue by its name; it needs no job to exist. Each attribute asks the store anew.

    Everything here may raise StoreError.
    """

    name: str
    backend: str = "default"
    """The alias in ``TASKS``."""

    def __post_init__(self) -> None:
        """Refuse what is no queue.

        Raises ValueError for the name, ConfigError or Django's InvalidTaskBackend for the backend.
        """
        if not is_queue_name(self.name):
            raise ValueError(f"No queue can be called {self.name!r}: names are {QUEUE_NAMES}.")
        queue_backend(self.backend)

    @classmethod
    def all(cls, backend: str | None = None) -> list[QueueInfo]:
        """The queues that hold a job in any state, or are paused: of this backend, or of all of DLQ's."""
        aliases = conf.our_aliases() if backend is None else [backend]
        return [
            cls(found.queue, alias) for alias in aliases for found in queue_backend(alias).inspector.counts()
        ]

    @property
    def counts(self) -> Mapping[State, int]:
        """How many of its jobs are in each state, those without jobs included."""
        found = self._read().states
        return {state: found.get(state, 0) for state in State}

    @property
    def size(self) -> int:
        """How many jobs are ready: they wait for nothing but a worker."""
        return self._read().states.get(State.READY, 0)

    @property
    def latency(self) -> float:
        """For how many seconds the oldest ready job has been due; 0.0 when none is ready."""
        return self._read().latency or 0.0

    @property
    def paused(self) -> bool:
        """Whether it gives no jobs to workers."""
        return self._read().paused

    @property
    def paused_until(self) -> datetime | None:
        """When the pause ends; None when there is none, or it has no end."""
        return self._read().paused_until

    def _read(self) -> QueueCounts:
        found = queue_backend(self.backend).inspector.counts([self.name])
        return found[0] if found else QueueCounts(queue=self.name, states={})

    def pause(self, until: datetime | timedelta | None = None) -> datetime | None:
        """Give no more jobs to workers: until then, for so long, or until ``resume``; returns the end.

        Jobs can be enqueued, and those that run go on. Pausing again replaces the end.

        Raises ValueError for a time that is over, or has no time zone.
        """
        end = None if until is None else _end_of_pause(until)
        queue_backend(self.backend).store.pause(self.name, end)
        return end

    def resume(self) -> bool:
        """Give jobs to workers again; returns whether the queue was paused."""
        return queue_backend(self.backend).store.resume(self.name)

    def clear(self, progress: Advance | None = None) -> int:
        """Discard the ready jobs, and no others; returns how many. They become cancelled as "cleared"."""
        ready = JobFilter(states={State.READY}, queues={self.name})
        return discard_jobs(ready, backend=self.backend, reason="cleared", progress=progress)


def _end_of_pause(until: datetime | timedelta) -> datetime:
    now = datetime.now(UTC)
    try:
        end = now + until if isinstance(until, timedelta) else until
        if end.utcoffset() is None:
            raise ValueError(f"{end.isoformat()} has no time zone; add one, such as +00:00.")
        end.astimezone(UTC)  # as stores will
    except OverflowError:
        raise ValueError(
            f"{until} is beyond the end of the calendar; pause without an end instead."
        ) from None
    if end <= now:
        raise ValueError("Refusing to pause until a time in the past.")
    return end
