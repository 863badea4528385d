"""Cancelling jobs that run, from another process: the task is told, and its process killed if it does not listen."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from dlq import Task
from dlq.states import State
from project import controlled, tasks
from sites import Site

PROCESS = {"processes": 1}
THREADS = {"threads": 2}
LOOP = {"concurrency": 2}


def cancel(site: Site, job: UUID) -> None:
    """As an operator does, in a process of its own."""
    done = site.manage("queue_job", str(job), "cancel")
    assert (done.returncode, done.stdout.strip()) == (0, f"Asked the task of job {job} to stop.")


@pytest.mark.parametrize(
    ("vendor", "pool", "task"),
    [
        ("sqlite", PROCESS, controlled.sleep),
        ("postgresql", PROCESS, controlled.spin),
        ("sqlite", THREADS, controlled.spin),
        ("postgresql", LOOP, controlled.wait_on_loop),
    ],
)
def test_a_cancelled_task_ends_and_neither_its_worker_nor_a_neighbour_is_harmed(
    site: Site, pool: dict[str, int], task: Task[..., Any]
) -> None:
    runner = site.start({"*": pool}, DLQ_KILL_AFTER=60)
    pids = site.worker_pids(runner)
    neighbour = None if pool is PROCESS else site.enqueue(tasks.hold, "gate")
    if neighbour is not None:
        site.traced("began", "gate")
    job = site.enqueue(task, "cancelled")
    site.traced("began", "cancelled")
    cancel(site, job)
    record = site.settled(job)
    assert (record.state, record.reason, record.attempts) == (State.CANCELLED, "cancelled", 0)
    assert len(site.traces("cleaned")) == (task is controlled.wait_on_loop)

    site.open("gate")
    if neighbour is not None:
        assert site.settled(neighbour).state is State.SUCCEEDED
        assert site.job(neighbour).interruptions == 0
    assert site.settled(site.enqueue(tasks.noop)).state is State.SUCCEEDED
    assert site.worker_pids(runner) == pids


@pytest.mark.parametrize(("vendor", "pool"), [("sqlite", PROCESS), ("postgresql", THREADS)])
def test_a_task_that_ignores_it_is_killed_and_cancelled_while_its_neighbour_is_not_counted(
    site: Site, pool: dict[str, int]
) -> None:
    runner = site.start({"*": pool}, DLQ_KILL_AFTER=0.3)
    pids = site.worker_pids(runner)
    neighbour = site.enqueue(tasks.hold, "gate") if pool is THREADS else None
    if neighbour is not None:
        site.traced("began", "gate")
    job = site.enqueue(controlled.refuse_to_end, "cancelled")
    site.traced("began", "cancelled")
    cancel(site, job)
    record = site.settled(job)
    assert (record.state, record.reason) == (State.CANCELLED, "cancelled")
    assert (record.attempts, record.interruptions, record.history) == (0, 0, ())
    assert f"job {job} went on after it was cancelled" in runner.log

    if neighbour is not None:
        site.traced("began", "gate", times=2)
        site.open("gate")
        again = site.settled(neighbour)
        assert (again.state, again.attempts, again.interruptions) == (State.SUCCEEDED, 1, 0)
    assert site.settled(site.enqueue(tasks.noop)).state is State.SUCCEEDED
    assert not set(site.worker_pids(runner)) & set(pids)
    assert len(site.traces("began", "cancelled")) == 1


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_task_that_returns_in_spite_of_it_has_succeeded(site: Site) -> None:
    site.start({"*": 1}, DLQ_KILL_AFTER=60)
    job = site.enqueue(controlled.end_well, "cancelled")
    site.traced("began", "cancelled")
    cancel(site, job)
    record = site.settled(job)
    assert (record.state, record.result, record.attempts) == (State.SUCCEEDED, '"ended well"', 1)
