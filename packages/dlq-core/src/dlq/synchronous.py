"""``SynchronousBackend``: runs each job where it is enqueued."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, ClassVar
from uuid import UUID

from dlq.backend import MemoryBackend
from dlq.job import Claim
from dlq.result import TaskResult
from dlq.runtime.inline import InlineWorker
from dlq.sending import Prepared
from dlq.states import FINISHED
from dlq.store import MemoryStore

__all__ = ["SynchronousBackend"]

KEPT = 1000
"""How many finished jobs are kept, the newest."""

EVERYTHING = 1_000_000


class SynchronousBackend(MemoryBackend):
    """Runs a job in the caller's thread before an enqueue returns, or after the commit that it waits for.

    What the task raises is recorded, and not raised to the caller. Results are kept in the memory of this process.
    A job that is scheduled for later, or to be tried again later, stays so: there is nobody to run it.
    Timeouts do not apply.
    """

    stores: ClassVar[dict[str, MemoryStore]] = {}
    _taking: ClassVar[threading.Lock] = threading.Lock()
    """Held from the moment at which jobs become ready until their own thread has claimed them."""

    def _send(self, batch: list[Prepared]) -> None:
        with InlineWorker(self) as worker:
            with self._taking:
                enqueued = self._hand_over([job for job, _ in batch])
                claims = worker.exchange([], EVERYTHING)
            try:
                self._announce(batch, enqueued)
            finally:
                self._run(worker, claims, {job.id: result for job, result in batch})
        forget_oldest(self.make_store())

    def _run(
        self, worker: InlineWorker, claims: list[Claim], results: dict[UUID, TaskResult[..., Any]]
    ) -> None:
        # In the order in which they were given: when all run at once, priorities and queues mean nothing.
        places = {id: place for place, id in enumerate(results)}
        waiting = deque(sorted(claims, key=lambda claim: places.get(claim.id, len(places))))
        while waiting:
            claim = waiting.popleft()
            outcome = worker.run(claim)
            with self._taking:
                waiting += worker.exchange([outcome], EVERYTHING)
            if claim.id in results:
                results[claim.id].refresh()


def forget_oldest(store: MemoryStore, kept: int = KEPT) -> None:
    """Delete all but the newest finished jobs."""
    with store.lock:
        finished = [job for job in store.jobs.values() if job.state in FINISHED]
        if len(finished) > kept:
            finished.sort(key=lambda job: job.finished_at or job.enqueued_at, reverse=True)
            for job in finished[kept:]:
                del store.jobs[job.new.id]
