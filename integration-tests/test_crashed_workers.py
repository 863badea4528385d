"""A crash is not a failure: what ran in a worker that was lost runs again, and nothing else is touched."""

from __future__ import annotations

import os
import signal
import time

import pytest

from dlq.job import Counted
from dlq.states import State
from project import tasks
from sites import EVERYWHERE, Site


@EVERYWHERE
def test_the_job_of_a_killed_worker_runs_again_and_uses_up_no_attempt(site: Site) -> None:
    site.start({"*": 2})
    struck, neighbour = site.enqueue(tasks.hold, "struck"), site.enqueue(tasks.hold, "neighbour")
    victim, other = site.traced("began", "struck").pid, site.traced("began", "neighbour").pid
    killed_at = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    again = site.traced("began", "struck", times=2)
    print(f"It ran again {again.at - killed_at:.3f} s after the kill.")
    assert again.pid not in (victim, other)
    site.open("struck", "neighbour")

    record, unharmed = site.all_settled([struck, neighbour])
    assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 1)
    (interruption,) = record.history
    assert interruption.counted is Counted.INTERRUPTION
    assert "exited with signal 9 (SIGKILL)" in interruption.failure.traceback
    assert (unharmed.state, unharmed.attempts, unharmed.interruptions) == (State.SUCCEEDED, 1, 0)
    assert [trace.pid for trace in site.traces("began", "neighbour")] == [other]


def test_all_that_ran_in_a_killed_process_runs_again_each_alone(site: Site) -> None:
    site.start({"*": {"processes": 1, "threads": 3}})
    labels = ["one", "two", "three"]
    ids = site.enqueue_each(tasks.hold, [(label,) for label in labels])
    (victim,) = {site.traced("began", label).pid for label in labels}
    os.kill(victim, signal.SIGKILL)
    # Which of them killed it nobody knows: until that is known, no two of them run together.
    for count, label in enumerate(labels, 1):
        site.traced("began", label, times=2)
        assert len(site.traces("began")) == len(labels) + count
        site.open(label)

    for record in site.all_settled(ids):
        assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 1)


PROCESS = {"processes": 1}
THREADS = {"processes": 1, "threads": 4}
EXIT = (tasks.end_process, (3,), "exited with code 3")
SEGFAULT = (tasks.crash_process, (), "exited with signal 11 (SIGSEGV)")


@pytest.mark.parametrize(
    ("vendor", "pool", "killing"),
    [
        ("sqlite", PROCESS, EXIT),
        ("sqlite", THREADS, SEGFAULT),
        ("postgresql", PROCESS, SEGFAULT),
        ("postgresql", THREADS, EXIT),
    ],
    ids=[
        "sqlite-process-exit",
        "sqlite-threads-segfault",
        "postgresql-process-segfault",
        "postgresql-threads-exit",
    ],
)
def test_a_task_that_keeps_killing_its_worker_fails_as_lost_and_takes_nobody_with_it(
    site: Site, pool: dict[str, int], killing: tuple[tasks.AnyTask, tuple[int, ...], str]
) -> None:
    killer, arguments, reason = killing
    site.options["max_interruptions"] = 1
    with site.transaction():
        before = site.enqueue_each(tasks.mark, [(f"before-{n}",) for n in range(50)])
        guilty = site.enqueue(killer, *arguments)
        after = site.enqueue_each(tasks.mark, [(f"after-{n}",) for n in range(50)])
    site.start({"*": pool})

    lost = site.settled(guilty)
    assert (lost.state, lost.attempts, lost.interruptions) == (State.FAILED, 0, 2)
    assert lost.history[-1].failure.exception == "dlq.errors.WorkerLost"
    assert reason in lost.history[-1].failure.traceback
    neighbours = site.all_settled(before + after)
    assert {(record.state, record.attempts) for record in neighbours} == {(State.SUCCEEDED, 1)}
    # Those that had not started when the process died do not count as interrupted.
    assert sum(record.interruptions for record in neighbours) <= pool.get("threads", 1) - 1


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_worker_that_was_killed_while_idle_is_replaced(site: Site) -> None:
    runner = site.start({"*": 1})
    (idle,) = site.worker_pids(runner)
    os.kill(idle, signal.SIGKILL)
    assert site.settled(site.enqueue(tasks.mark, "after")).state is State.SUCCEEDED
    site.has_workers(runner, 1)
    assert site.worker_pids(runner) != [idle]


@pytest.mark.parametrize("vendor", ["redis"])
def test_at_most_once_the_job_of_a_killed_worker_has_failed_and_those_behind_it_run(site: Site) -> None:
    site.options["delivery"] = "at-most-once"
    site.start({"*": 1})
    job = site.enqueue(tasks.hold, "gate")
    pid = site.traced("began", "gate").pid
    behind = site.enqueue_each(tasks.mark, [(str(n),) for n in range(20)])
    assert {record.state for record in site.jobs(behind)} == {State.READY}  # None is claimed before its turn.
    os.kill(pid, signal.SIGKILL)
    record = site.settled(job)
    assert (record.state, record.attempts, record.interruptions) == (State.FAILED, 0, 1)
    assert record.history[-1].failure.exception == "dlq.errors.WorkerLost"
    assert {record.state for record in site.all_settled(behind)} == {State.SUCCEEDED}
    assert len(site.traces("began", "gate")) == 1

    assert site.backend.store.retry([job]) == [job]
    site.open("gate")
    assert site.settled(job).state is State.SUCCEEDED
