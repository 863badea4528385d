"""Running jobs inside a test, on the path that a worker takes, in the thread of the test."""

from __future__ import annotations

from collections.abc import Callable

from dlq.backend import QueueBackend, queue_backend
from dlq.control import job_pages
from dlq.runtime.inline import InlineWorker
from dlq.states import State
from dlq.store import JobFilter

__all__ = ["drain", "run_jobs"]

ENDLESS = 10_000
"""Jobs after which a test is told that they do not end, instead of hanging."""


def run_jobs(backend: str = "default") -> int:
    """Run the ready jobs of a backend until none is left, those included that they enqueue.

    Returns how many were run. Jobs that are scheduled for later, or retried later, stay where they are: see
    ``drain``. Timeouts do not apply: a test has its own.

    Raises AssertionError when there is no end to them.
    """
    return _run(queue_backend(backend), lambda worker: False)


def drain(backend: str = "default") -> int:
    """Run the jobs of a backend until none waits: the ready ones, then the scheduled and retried in their order.

    Nobody waits for their time: it is taken to have come. Returns how many were run, each attempt counted.
    Those that wait for something other than time, or in a paused queue, stay where they are.

    Raises AssertionError when there is no end to them.
    """
    owner = queue_backend(backend)
    return _run(owner, lambda worker: _make_next_due(owner, worker))


def _run(owner: QueueBackend, more: Callable[[InlineWorker], bool]) -> int:
    """Run what is ready, and again while ``more`` says that it has made something ready."""
    ran = 0
    with InlineWorker(owner) as worker:
        claims = worker.exchange([], 1)
        while claims or more(worker):
            outcomes = [worker.run(claim) for claim in claims]
            ran += len(claims)
            if ran > ENDLESS:
                raise AssertionError(
                    f"More than {ENDLESS:,} jobs have run, the last of them {claims[0].task}: is there an end to them?"
                )
            claims = worker.exchange(outcomes, 1)
    return ran


def _make_next_due(owner: QueueBackend, worker: InlineWorker) -> bool:
    """Let the time come at which the next scheduled job is due; False when none is scheduled."""
    scheduled = [
        job.due_at
        for page in job_pages(owner, JobFilter(states={State.SCHEDULED}))
        for job in page
        if job.due_at
    ]
    if not scheduled:
        return False
    sight = owner.store.look(worker.runner, ENDLESS, now=min(scheduled))
    return bool(sight.promoted or sight.expired)
