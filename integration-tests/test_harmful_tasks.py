"""Nothing that a task does harms the worker it runs in, short of what kills the process."""

from __future__ import annotations

import pytest

from dlq.states import State
from project import tasks
from sites import Site


@pytest.mark.parametrize("pool", [{"processes": 1}, {"threads": 2}], ids=["process", "threads"])
def test_a_task_that_exits_or_breaks_its_surroundings_ends_alone(site: Site, pool: dict[str, int]) -> None:
    runner = site.start({"*": pool})
    (worker,) = site.worker_pids(runner)
    for harm, kind, exception in (
        (tasks.leave, State.FAILED, "builtins.SystemExit"),
        (tasks.interrupt, State.FAILED, "builtins.KeyboardInterrupt"),
        (tasks.return_cycle, State.FAILED, "builtins.TypeError"),
        (tasks.close_connection, State.SUCCEEDED, None),
        (tasks.leave_transaction_open, State.SUCCEEDED, None),
    ):
        record = site.settled(site.enqueue(harm))
        assert record.state is kind, record
        assert [attempt.failure.exception for attempt in record.history] == ([exception] if exception else [])
        # Each thread has a connection of its own, and either may be the one that was harmed.
        for after in site.enqueue_each(tasks.query, [()] * 4):
            assert site.settled(after).result == "42", harm.name
    assert {trace.pid for trace in site.traces("ran")} == {worker}


@pytest.mark.parametrize("vendor", ["postgresql"])
def test_a_coroutine_that_exits_ends_alone(site: Site) -> None:
    runner = site.start({"*": {"processes": 1, "concurrency": 3}})
    neighbour = site.enqueue(tasks.hold_on_loop, "neighbour")
    site.traced("began", "neighbour")
    record = site.settled(site.enqueue(tasks.leave_from_loop))
    assert record.state is State.FAILED
    assert record.history[0].failure.exception == "builtins.SystemExit"
    site.open("neighbour")
    assert site.settled(neighbour).result == str(site.worker_pids(runner)[0])
