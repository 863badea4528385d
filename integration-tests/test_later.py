"""Jobs that run later: retried with a backoff, or enqueued for a time."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from dlq.job import Counted
from dlq.states import State
from project import tasks
from sites import EVERYWHERE, Site


def test_a_task_that_raises_is_tried_again_after_its_backoff_until_it_may_not(site: Site) -> None:
    site.start({"*": 1})
    flaky = site.enqueue(tasks.raise_twice, "flaky")
    hopeless = site.enqueue(tasks.raise_twice.using(max_attempts=2), "hopeless")
    record = site.settled(flaky)
    assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 3, 0)
    assert record.result == "3"
    assert [attempt.counted for attempt in record.history] == [Counted.ATTEMPT] * 2
    assert "attempt 2 of flaky fails" in record.history[1].failure.traceback
    for before, after in pairwise(site.traces("ran", "flaky")):
        assert after.at - before.at >= 0.3

    record = site.settled(hopeless)
    assert (record.state, record.attempts) == (State.FAILED, 2)
    assert [attempt.failure.exception for attempt in record.history] == ["builtins.ValueError"] * 2


@EVERYWHERE
def test_a_job_for_later_runs_when_it_is_due(site: Site) -> None:
    site.start({"*": 1})
    later = site.enqueue(tasks.mark.using(run_after=timedelta(seconds=2)), "later")
    assert site.job(later).state is State.SCHEDULED
    assert site.settled(site.enqueue(tasks.mark, "now")).state is State.SUCCEEDED
    record = site.settled(later)
    assert record.state is State.SUCCEEDED
    assert record.started_at is not None
    assert record.run_after is not None
    assert record.started_at >= record.run_after
