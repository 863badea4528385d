"""Nobody waits for the next look at the store when somebody knows that there is something to do."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from dlq import Task
from dlq.states import State
from project import tasks
from sites import Site


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql", "mariadb"])
def test_the_job_of_a_killed_child_runs_again_long_before_anybody_polls(site: Site) -> None:
    site.options["poll_interval"] = 120
    job = site.enqueue(tasks.hold, "gate")
    site.start({"*": 1})
    first = site.traced("began", "gate")
    os.kill(first.pid, signal.SIGKILL)
    again = site.traced("began", "gate", times=2, within=30)
    print(f"The job ran again {again.at - first.at:.3f} s after it began, killed in between.")
    assert again.pid != first.pid
    site.open("gate")
    record = site.settled(job)
    assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 1)


@pytest.mark.parametrize(
    ("vendor", "pool", "hold"),
    [("sqlite", {"processes": 2}, tasks.hold), ("postgresql", {"concurrency": 4}, tasks.hold_on_loop)],
)
def test_an_idle_worker_is_told_of_a_new_job_long_before_it_would_look_itself(
    site: Site, pool: dict[str, int], hold: Task[..., Any]
) -> None:
    site.options["poll_interval"] = 3  # A worker that nobody tells looks every 60 s.
    ids = site.enqueue_each(hold, [(f"gate-{n}",) for n in range(2)])
    site.start({"*": pool})
    for number in range(2):
        site.traced("began", f"gate-{number}")
    site.open("gate-0", "gate-1")
    site.all_settled(ids)
    new = site.enqueue(tasks.mark.using(queue="new"), "new")
    assert site.settled(new, within=20).state is State.SUCCEEDED
