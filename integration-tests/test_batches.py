"""Workers claim ahead only what they can start at once: a long job holds no short ones hostage."""

from __future__ import annotations

from dlq.states import State
from project import tasks
from sites import Site


def test_short_jobs_behind_a_long_one_run_in_another_worker(site: Site) -> None:
    site.start({"*": 2})
    site.all_settled(site.enqueue_each(tasks.noop, [()] * 400))  # Now they claim many at a time.
    with site.transaction():
        long = site.enqueue(tasks.hold, "long")
        short = site.enqueue_each(tasks.mark, [(str(n),) for n in range(50)])
    began = site.traced("began", "long").at
    for n in range(50):
        site.traced("ran", str(n))
    print(f"The last short one ran {site.traces('ran')[-1].at - began:.3f} s after the long one began.")
    assert site.job(long).state is State.RUNNING
    site.open("long")
    for record in site.all_settled([long, *short]):
        assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 0)
