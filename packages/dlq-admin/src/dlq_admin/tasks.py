"""The job that acts on many jobs: a page that did so itself would not come back for long."""

from __future__ import annotations

from django.http import QueryDict

from dlq import JobContext, TaskResult, conf, queue_backend, task
from dlq_admin.actions import ACTIONS
from dlq_admin.filters import read_filters

__all__ = ["act_on_jobs", "enqueue_action"]

PRIORITY = 100
"""Somebody waits for it."""


def _alias() -> str:
    return next(iter(conf.our_aliases()), "default")


def _queue_of(alias: str) -> str:
    """The queue that needs no worker of its own: ``default``, unless ``QUEUES`` in ``TASKS`` rules it out."""
    allowed = queue_backend(alias).queues if alias in conf.our_aliases() else set()
    return "default" if not allowed or "default" in allowed else min(allowed)


@task(queue=_queue_of(_alias()), backend=_alias(), priority=PRIORITY, takes_context=True)
def act_on_jobs(
    context: JobContext[..., int], action: str, query: str, backend: str, reason: str, expected: int
) -> int:
    """Do this to all jobs that fit the filter in ``query``, batch by batch; returns to how many.

    ``expected`` is how many there may be, for the progress. When it is interrupted and begins again it goes on
    with those that are left.
    """
    filters = read_filters(QueryDict(query))
    if filters.problems:
        raise ValueError(f"{query!r} is no filter: {' '.join(filters.problems)}")
    looked_at = 0

    def advance(count: int) -> None:
        nonlocal looked_at
        looked_at += count
        context.progress(looked_at, max(expected, looked_at), f"{looked_at:,} jobs")

    chosen = ACTIONS[action]
    done = chosen.apply(chosen.meant(filters.chosen), backend, reason, advance)
    context.log(f"{action}: {done:,} of {looked_at:,} jobs that fit {query or 'every job'}; {reason}")
    return done


def enqueue_action(action: str, query: str, alias: str, reason: str, expected: int) -> TaskResult[..., int]:
    """Enqueue it, on the backend whose jobs are meant."""
    ours = act_on_jobs.using(backend=alias, queue=_queue_of(alias))
    return ours.enqueue(action, query, alias, reason, expected)
