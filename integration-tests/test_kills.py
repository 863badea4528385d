"""``kill -9`` of any process of a runner, at any moment: no job is lost, none is settled twice, the rest goes on."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter

import pytest

from dlq.states import State
from processes import Process, is_running, until
from project import tasks
from sites import EVERYWHERE, Site

KILLS = 12
JOBS = 400


@EVERYWHERE
def test_whatever_is_killed_whenever_every_job_succeeds_and_is_settled_once(site: Site) -> None:
    dice = random.Random(20)
    site.options["max_interruptions"] = 3 * KILLS
    site.options["alive_threshold"] = 3.0  # A busy machine must not look like a lost runner.
    ids = site.enqueue_each(tasks.nap, [(f"{number}", 0.02) for number in range(JOBS)])
    runners = [site.start({"*": 2}), site.start({"*": {"processes": 1, "threads": 4}})]
    for number in range(KILLS):
        wait_for_successes(site, (number + 1) * JOBS // (KILLS + 8))
        struck = dice.randrange(len(runners))
        if number % 6 == 5:
            runners[struck] = replace(site, runners[struck])
        elif children := runners[struck].children():
            kill(dice.choice(children))

    records = site.all_settled(ids, within=60)
    assert {record.state for record in records} == {State.SUCCEEDED}
    assert {record.attempts for record in records} == {1}
    ran = Counter(trace.label for trace in site.traces("ran"))
    for record, label in zip(records, map(str, range(JOBS)), strict=True):
        # Each run was a claim, and each claim but the last was taken back.
        assert 1 <= ran[label] <= record.token
        assert record.interruptions == len(record.history)
    (total,) = site.backend.inspector.totals()
    assert (total.enqueued, total.succeeded, total.finished) == (JOBS, JOBS, JOBS)
    assert total.interrupted == sum(record.interruptions for record in records)


def wait_for_successes(site: Site, count: int) -> None:
    until(lambda: site.counts()[State.SUCCEEDED] >= count, 30, lambda: f"{site.counts()}")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def replace(site: Site, runner: Process) -> Process:
    """Kill a parent; another takes its place when its children have seen that they are orphans."""
    children = runner.children()
    runner.send(signal.SIGKILL)
    until(lambda: not any(map(is_running, children)), 20, lambda: "orphans live on")
    return site.start({"*": 2})


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_orphans_end_with_their_parent_though_nothing_keeps_them_busy(site: Site) -> None:
    runner = site.start({"*": {"processes": 2, "threads": 2}, "mail": {"processes": 1, "concurrency": 2}})
    children = runner.children()
    assert len(children) == 4
    runner.send(signal.SIGKILL)
    until(lambda: not any(map(is_running, children)), 10, lambda: "orphans live on")
