"""An exchange that the store carried out, and whose answer never came: every job of it runs, and runs once."""

from __future__ import annotations

import pytest

from dlq.states import State
from processes import until
from project import tasks
from proxy import Proxy
from sites import Site

pytestmark = pytest.mark.parametrize("vendor", ["postgresql"])


def test_claims_whose_reply_was_lost_run_once_and_uncounted(site: Site, proxy: Proxy) -> None:
    # A worker of one named queue asks nothing before it claims.
    runner = site.start({"default": 1}, through=proxy)
    site.all_settled(site.enqueue_each(tasks.noop, [()] * 200))  # Now it claims many at a time.
    proxy.withhold_replies = True
    ids = site.enqueue_each(tasks.mark, [(str(n),) for n in range(20)])
    until(lambda: site.counts()[State.RUNNING] == 20, 10, lambda: f"not claimed: {site.counts()}", runner)
    assert not site.traces("ran")
    proxy.cut()
    proxy.withhold_replies = False

    for record in site.all_settled(ids):
        assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 0)
        assert record.token == 2  # The first claim, of which the worker never heard, went back.
    assert sorted(int(trace.label) for trace in site.traces("ran")) == list(range(20))


def test_an_outcome_whose_reply_was_lost_counts_once_and_what_was_claimed_with_it_runs(
    site: Site, proxy: Proxy
) -> None:
    runner = site.start({"default": 1}, through=proxy)
    site.all_settled(site.enqueue_each(tasks.noop, [()] * 10))  # Now its statements are prepared.
    first = site.enqueue(tasks.hold, "gate")
    site.traced("began", "gate")
    second = site.enqueue(tasks.mark, "second")
    proxy.withhold_replies = True
    site.open("gate")
    until(lambda: site.job(second).state is State.RUNNING, 10, lambda: f"{site.job(second)}", runner)
    assert site.job(first).state is State.SUCCEEDED
    assert not site.traces("ran", "second")
    proxy.cut()
    proxy.withhold_replies = False

    settled, claimed = site.all_settled([first, second])
    assert (settled.state, settled.attempts, settled.token) == (State.SUCCEEDED, 1, 1)
    assert (claimed.state, claimed.attempts, claimed.token) == (State.SUCCEEDED, 1, 2)
    assert len(site.traces("ended", "gate")) == len(site.traces("ran", "second")) == 1
    assert "counts for nothing" not in runner.log
