"""Workers that are replaced: after so many jobs, with too much memory, or at a stop that need not wait for them."""

from __future__ import annotations

import signal

import pytest

from dlq.states import State
from processes import until
from project import controlled, tasks
from sites import Site


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
def test_a_stop_kills_what_may_be_killed_and_waits_for_the_rest(site: Site) -> None:
    runner = site.start({"*": 2}, DLQ_SHUTDOWN_TIMEOUT=60)
    killed = site.enqueue(controlled.hold_until_killed, "one")
    kept = site.enqueue(tasks.hold, "two")
    pid = site.traced("began", "one").pid
    site.traced("began", "two")
    runner.send(signal.SIGTERM)
    until(lambda: site.job(killed).state is State.READY, 10, lambda: f"{site.job(killed)}", runner)
    assert pid not in runner.children()
    assert (site.job(killed).attempts, site.job(killed).interruptions) == (0, 0)
    assert site.job(kept).state is State.RUNNING
    site.open("two")
    assert runner.wait() == 0
    record = site.job(kept)
    assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 0)


@pytest.mark.parametrize(
    ("vendor", "pool"), [("sqlite", {}), ("postgresql", {"threads": 2}), ("sqlite", {"concurrency": 2})]
)
def test_a_worker_is_replaced_after_so_many_jobs_and_none_is_lost(site: Site, pool: dict[str, int]) -> None:
    ids = site.enqueue_each(tasks.mark, [(f"{number}",) for number in range(30)])
    runner = site.start({"*": {"max_jobs": 10, **pool}})
    records = site.all_settled(ids)
    assert {(r.state, r.attempts, r.interruptions) for r in records} == {(State.SUCCEEDED, 1, 0)}
    labels = [trace.label for trace in site.traces("ran")]
    assert sorted(labels, key=int) == [f"{number}" for number in range(30)]
    jobs_of = [[t for t in site.traces("ran") if t.pid == pid] for pid in {t.pid for t in site.traces("ran")}]
    assert [len(jobs) for jobs in jobs_of] == [10, 10, 10]
    assert "has done enough, and is replaced" in runner.log
    assert "WARNING" not in runner.log


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_worker_that_holds_too_much_memory_is_replaced_after_its_job(site: Site) -> None:
    runner = site.start({"*": {"max_memory": 150}})
    # The second ends within a second of the first: no look at the memory may be left out for that.
    small, big = site.enqueue(controlled.keep, 1), site.enqueue(controlled.keep, 120)
    assert {record.state for record in site.all_settled([small, big])} == {State.SUCCEEDED}
    runner.logged("has done enough, and is replaced", within=5)
    later = site.settled(site.enqueue(controlled.keep, 1))
    assert later.state is State.SUCCEEDED
    assert later.result != site.job(big).result


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_job_that_takes_twice_as_much_is_killed_and_lost_in_the_end(site: Site) -> None:
    site.options["max_interruptions"] = 1
    runner = site.start({"*": {"max_memory": 150}})
    job = site.enqueue(controlled.keep_for_ever, "big", 400)
    next_one = site.enqueue(tasks.noop)
    record = site.settled(job, within=15)
    assert (record.state, record.interruptions) == (State.FAILED, 2)
    failure = record.history[-1].failure
    assert failure.exception == "dlq.errors.WorkerLost"
    assert "MiB, and 300 are the most" in failure.traceback
    assert "is killed: it held" in runner.log
    assert site.settled(next_one).state is State.SUCCEEDED
    assert site.job(next_one).interruptions == 0
