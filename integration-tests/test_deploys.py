"""A deploy is not a failure: however often a runner is stopped in the middle of a job, the job is none the worse."""

from __future__ import annotations

import signal

import pytest

from dlq.states import State
from project import tasks
from sites import Site

DEPLOYS = 20


@pytest.mark.parametrize("vendor", ["postgresql"])
def test_twenty_deploys_in_the_middle_of_one_long_job_never_count_against_it(site: Site) -> None:
    job = site.enqueue(tasks.hold, "gate")
    for deploy in range(1, DEPLOYS + 1):
        runner = site.start({"*": 1}, DLQ_SHUTDOWN_TIMEOUT=0.05)
        site.traced("began", "gate", times=deploy)
        runner.send(signal.SIGTERM)
        assert runner.wait() == 0
        record = site.job(job)
        assert (record.state, record.attempts, record.interruptions) == (State.READY, 0, 0)

    site.start({"*": 1})
    site.open("gate")
    record = site.settled(job)
    assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 0)
    assert record.history == ()
    assert record.token == DEPLOYS + 1
