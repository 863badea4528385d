"""Timeouts: raised inside the task, where it can clean up; and for a task that does not listen, the hard way."""

from __future__ import annotations

from typing import Any

import pytest

from dlq.job import Counted
from dlq.states import State
from project import tasks
from sites import Site

PROCESS = {"processes": 1}
THREADS = {"processes": 1, "threads": 3}
COROUTINES = {"processes": 1, "concurrency": 3}


@pytest.mark.parametrize(
    ("vendor", "pool"),
    [("sqlite", PROCESS), ("postgresql", THREADS), ("sqlite", COROUTINES)],
    ids=["sqlite-process", "postgresql-threads", "sqlite-coroutines"],
)
def test_a_task_can_catch_its_timeout_and_a_busy_one_is_interrupted(site: Site, pool: dict[str, Any]) -> None:
    runner = site.start({"*": pool})
    noticed = site.settled(site.enqueue(tasks.notice_timeout, "noticed"))
    assert noticed.state is State.SUCCEEDED
    busy = site.settled(site.enqueue(tasks.spin, "busy"))
    assert (busy.state, busy.attempts) == (State.FAILED, 1)
    assert busy.history[0].failure.exception == "dlq.errors.TaskTimeout"
    assert "ran for longer than its timeout of 0.3 s" in busy.history[0].failure.traceback
    assert site.settled(site.enqueue(tasks.mark, "after")).result == str(site.worker_pids(runner)[0])
    assert len({trace.pid for trace in (*site.traces("began"), *site.traces("ran"))}) == 1


@pytest.mark.parametrize("vendor", ["postgresql"])
def test_the_timeout_of_a_coroutine_cancels_what_it_awaits(site: Site) -> None:
    site.start({"*": COROUTINES})
    record = site.settled(site.enqueue(tasks.notice_timeout_on_loop, "awaiting"))
    assert site.traces("cancelled", "awaiting")
    assert record.state is State.FAILED
    assert record.history[0].failure.exception == "dlq.errors.TaskTimeout"


@pytest.mark.parametrize(
    ("vendor", "pool", "deaf"),
    [
        ("sqlite", PROCESS, tasks.spin_for_ever),
        ("postgresql", PROCESS, tasks.sleep_for_ever),
        ("sqlite", THREADS, tasks.sleep_for_ever),
        ("postgresql", COROUTINES, tasks.block_loop_for_ever),
    ],
    ids=[
        "sqlite-busy process",
        "postgresql-sleeping process",
        "sqlite-sleeping thread",
        "postgresql-blocked loop",
    ],
)
def test_a_task_that_ignores_its_timeout_is_killed_and_that_was_an_attempt(
    site: Site, pool: dict[str, Any], deaf: tasks.AnyTask
) -> None:
    runner = site.start({"*": pool}, DLQ_KILL_AFTER=0.2)
    record = site.settled(site.enqueue(deaf, "deaf"))
    assert (record.state, record.attempts, record.interruptions) == (State.FAILED, 2, 0)
    assert [attempt.counted for attempt in record.history] == [Counted.ATTEMPT] * 2
    assert {attempt.failure.exception for attempt in record.history} == {"dlq.errors.TaskTimeout"}
    first, second = site.traces("began", "deaf")
    assert second.at - first.at > 0.3 + 0.2 + 0.1  # Its timeout, the patience after it, its backoff.
    assert site.settled(site.enqueue(tasks.mark, "after")).state is State.SUCCEEDED
    assert "ignored its timeout" in runner.log


@pytest.mark.parametrize("vendor", ["postgresql"])
def test_neighbours_of_a_task_that_is_killed_for_its_timeout_go_back_uncounted(site: Site) -> None:
    site.start({"*": THREADS}, DLQ_KILL_AFTER=0.2)
    neighbours = site.enqueue_each(tasks.hold, [("one",), ("two",)])
    site.traced("began", "one")
    site.traced("began", "two")
    deaf = site.enqueue(tasks.sleep_for_ever.using(max_attempts=1), "deaf")
    assert site.settled(deaf).state is State.FAILED
    site.traced("began", "one", times=2)
    site.traced("began", "two", times=2)
    site.open("one", "two")
    for record in site.all_settled(neighbours):
        assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 0)
        assert record.history == ()
