"""Who was stopped for longer than the threshold, and goes on, can change nothing about what was taken from it."""

from __future__ import annotations

import signal

import pytest

from dlq.states import State
from processes import until
from project import stalled
from sites import EVERYWHERE, Site


@EVERYWHERE
def test_what_it_says_and_how_it_ends_is_refused_and_logged(site: Site) -> None:
    ends = ["return", "snooze", "raise"]
    pool = {"*": {"processes": 1, "threads": len(ends)}}
    first = site.start(pool)
    jobs = site.enqueue_each(stalled.speak, [(end, end) for end in ends])
    for end in ends:
        site.traced("first", end)
    peer = site.start({"*": len(ends)})
    site.stall(first, peer)
    until(lambda: len(site.traces("again")) > 0, 20, lambda: "nothing was taken from it", peer)
    first.send_all(signal.SIGCONT)
    site.open("first")
    for job in jobs:
        first.logged(f"What job {job} said was too late: it was taken from this worker.")
        first.logged(f"Job {job} was taken from worker")
    for record in site.jobs(jobs):
        assert record.state in (State.READY, State.RUNNING)
        assert (record.progress, record.message, record.log, record.metadata) == (None, None, (), None)
        assert (record.attempts, record.interruptions) == (0, 1)

    site.open("again")
    for record in site.all_settled(jobs, within=30):
        assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 1)
        assert (record.progress, record.log) == (0.5, ("says again",))
        assert record.metadata == '{"said": "again"}'.replace(" ", "")
    counted = {total.task: total for total in site.backend.inspector.totals()}
    assert (counted[stalled.speak.path].succeeded, counted[stalled.speak.path].interrupted) == (3, 3)


@pytest.mark.parametrize("vendor", ["redis"])
def test_at_most_once_a_stalled_worker_changes_nothing_about_the_failure(site: Site) -> None:
    site.options["delivery"] = "at-most-once"
    first = site.start({"*": 1})
    job = site.enqueue(stalled.speak, "return", "return")
    site.traced("first", "return")
    peer = site.start({"*": 1})
    site.stall(first, peer)
    failed = site.settled(job, within=20)
    first.send_all(signal.SIGCONT)
    site.open("first")
    first.logged(f"Job {job} was taken from worker")
    assert site.job(job) == failed
    assert (failed.state, failed.history[0].failure.exception) == (State.FAILED, "dlq.errors.RunnerLost")
    assert len(site.traces("first")) == 1
