"""``InlineWorker``: runs jobs in the thread of its caller, on the path that every worker takes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from typing import Self

from dlq.backend import QueueBackend
from dlq.job import Claim, Note, Outcome
from dlq.runtime.execution import run_job
from dlq.workers import RunnerInfo, WorkerInfo

__all__ = ["InlineWorker"]


class InlineWorker:
    """A worker for as long as a ``with`` block lasts: for the synchronous backend, and for tests.

    Timeouts do not apply, and database connections are left as they are: both belong to the caller.
    """

    def __init__(self, backend: QueueBackend) -> None:
        """Work for this backend."""
        self._backend = backend
        self._store = backend.store
        pid = os.getpid()
        self._runner = RunnerInfo(id=f"inline-{pid}-{secrets.token_hex(4)}", host="inline", pid=pid)
        self._worker = WorkerInfo(
            id=f"{self._runner.id}/0", runner=self._runner.id, pid=pid, queues="*", slots=1, kind="inline"
        )

    @property
    def runner(self) -> str:
        """The id of the runner that it is registered under."""
        return self._runner.id

    def __enter__(self) -> Self:
        """Register."""
        self._store.register_runner(self._runner)
        self._ref = self._store.register_worker(self._worker)
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the store as if it had never been there."""
        self._store.retire(self._runner.id)

    def exchange(self, outcomes: Sequence[Outcome], limit: int) -> list[Claim]:
        """Hand back what has run, and take up to ``limit`` ready jobs of any queue."""
        if outcomes:
            # By itself: a job that is ready again at once is to be among those that are taken.
            self._store.exchange(self._ref, outcomes, [], 0)
        queues = self._store.waiting()
        return self._store.exchange(self._ref, [], queues, limit).claims if queues else []

    def run(self, claim: Claim) -> Outcome:
        """Run a job, whatever it does, and say what became of it."""
        records = self._store.get([claim.id]) if claim.attempts or claim.interruptions else []
        history = records[0].history if records else ()
        notes: list[Note] = []
        outcome = run_job(claim, history, self._backend, notes=notes)
        if notes:
            self._store.annotate(notes)
        return outcome
