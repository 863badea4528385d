"""Stopping a runner: what runs may finish, what cannot goes back uncounted, and nothing is lost."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from dlq.job import JobRecord
from dlq.states import State
from processes import Process, is_running, until
from project import tasks
from sites import EVERYWHERE, Site

UNTOUCHED = (State.READY, 0, 0, ())


def standing(record: JobRecord) -> tuple[State, int, int, tuple[object, ...]]:
    return record.state, record.attempts, record.interruptions, tuple(record.history)


@EVERYWHERE
def test_sigterm_lets_running_jobs_finish_and_hands_the_others_back(site: Site) -> None:
    runner = site.start({"*": 1})
    site.all_settled(site.enqueue_each(tasks.noop, [()] * 200))  # Now it claims many at a time.
    with site.transaction():
        running, *waiting = site.enqueue(tasks.hold, "gate"), *site.enqueue_each(tasks.noop, [()] * 50)
    site.traced("began", "gate")
    children = runner.children()
    runner.send(signal.SIGTERM)
    runner.logged("Stopping: ")
    until(lambda: site.counts()[State.READY] == 50, 10, lambda: f"{site.counts()}", runner)
    # Some platforms send it several times, and to every process.
    for _ in range(3):
        runner.send_all(signal.SIGTERM)
    assert runner.exit_code is None
    site.open("gate")

    assert runner.wait() == 0
    assert site.job(running).state is State.SUCCEEDED
    assert {standing(record) for record in site.jobs(waiting)} == {UNTOUCHED}
    assert site.runners() == []
    assert not any(map(is_running, children))


def stop_by_two_interrupts(runner: Process) -> None:
    runner.send_all(signal.SIGINT)
    runner.logged("Stopping: ")
    runner.send_all(signal.SIGINT)


def stop_by_deadline(runner: Process) -> None:
    runner.send(signal.SIGTERM)


PROCESSES = {"processes": 2}
THREADS = {"processes": 1, "threads": 2}


@pytest.mark.parametrize(
    ("vendor", "pool", "stop", "timeout"),
    [
        ("sqlite", PROCESSES, stop_by_two_interrupts, 3600),
        ("sqlite", THREADS, stop_by_deadline, 0.5),
        ("postgresql", PROCESSES, stop_by_deadline, 0.5),
        ("postgresql", THREADS, stop_by_two_interrupts, 3600),
    ],
)
def test_when_patience_ends_running_jobs_go_back_uncounted(
    site: Site, pool: dict[str, int], stop: Callable[[Process], None], timeout: float
) -> None:
    runner = site.start({"*": pool}, DLQ_SHUTDOWN_TIMEOUT=timeout)
    ids = site.enqueue_each(tasks.hold, [("one",), ("two",)])
    site.traced("began", "one")
    site.traced("began", "two")
    stop(runner)

    assert runner.wait() == 0
    assert [standing(record) for record in site.jobs(ids)] == [UNTOUCHED, UNTOUCHED]
    assert site.runners() == []
    assert not site.traces("ended")


def test_sigquit_ends_everything_at_once_and_the_next_runner_takes_over(site: Site) -> None:
    runner = site.start({"*": 1})
    held = site.enqueue(tasks.hold, "gate")
    site.traced("began", "gate")
    children = runner.children()
    runner.send(signal.SIGQUIT)
    assert runner.wait(within=2) == 128 + signal.SIGQUIT
    until(lambda: not any(map(is_running, children)), 2, lambda: "its children live on")
    assert site.job(held).state is State.RUNNING

    site.start({"*": 1})
    site.open("gate")
    record = site.settled(held)
    assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 1)
