"""Running jobs inside a test, on the path that a worker takes, in the thread of the test."""

from __future__ import annotations

import os
from contextlib import nullcontext

from dlq.backend import queue_backend
from dlq.job import RunnerInfo, WorkerInfo
from dlq.runtime.execution import run_job

__all__ = ["run_jobs"]


def run_jobs(backend: str = "default") -> int:
    """Run the ready jobs of a backend until none is left, those included that they enqueue.

    Returns how many were run. Jobs that are scheduled for later, or retried later, stay where they are.
    Timeouts do not apply: a test has its own.
    """
    store, ran = queue_backend(backend).store, 0
    runner = RunnerInfo(id=f"test-{os.getpid()}", host="test", pid=os.getpid())
    store.register_runner(runner)
    worker = store.register_worker(
        WorkerInfo(id=f"{runner.id}/1", runner=runner.id, pid=runner.pid, queues="*", slots=1, kind="test")
    )
    while queues := store.waiting():
        claims = store.exchange(worker, [], queues, 1).claims
        histories = {record.id: record.history for record in store.get([c.id for c in claims if c.attempts])}
        outcomes = [
            run_job(claim, histories.get(claim.id, ()), queue_backend(backend), lambda _: nullcontext())
            for claim in claims
        ]
        store.exchange(worker, outcomes, [], 0)
        ran += len(claims)
    store.retire(runner.id)
    return ran
