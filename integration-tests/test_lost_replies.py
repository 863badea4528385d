"""An exchange that the store carried out, and whose answer never came: every job of it runs, and runs once."""

from __future__ import annotations

from uuid import UUID

import pytest

from dlq.states import State
from processes import until
from project import tasks
from proxy import Proxy
from sites import Site

pytestmark = pytest.mark.parametrize("vendor", ["postgresql", "mariadb", "redis"])


# Where an exchange is several requests, one transaction, and what the last of an exchange that claims are.
LAST_REQUESTS = {"mariadb": (b"SET state = 4, token", b"COMMIT")}


def lose_replies(proxy: Proxy, vendor: str) -> None:
    """Those to exchanges that were carried out."""
    if last := LAST_REQUESTS.get(vendor):
        proxy.withhold_after = last
    else:
        proxy.withhold_replies = True


def find_replies(proxy: Proxy) -> None:
    proxy.withhold_after = ()
    proxy.withhold_replies = False


def test_claims_whose_reply_was_lost_run_once_and_uncounted(site: Site, proxy: Proxy, vendor: str) -> None:
    # A worker of one named queue asks nothing before it claims.
    runner = site.start({"default": 1}, through=proxy)
    site.all_settled(site.enqueue_each(tasks.noop, [()] * 200))  # Now it claims many at a time.
    lose_replies(proxy, vendor)
    ids = site.enqueue_each(tasks.mark, [(str(n),) for n in range(20)])
    until(lambda: running(site, ids), 10, lambda: f"not claimed: {site.counts()}", runner)
    lost = running(site, ids)
    assert len(lost) > 1
    assert not site.traces("ran")
    proxy.cut()
    find_replies(proxy)

    for record in site.all_settled(ids):
        assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 0)
        # The first claim, of which the worker never heard, went back.
        assert record.token == (2 if record.id in lost else 1)
    assert sorted(int(trace.label) for trace in site.traces("ran")) == list(range(20))


def running(site: Site, ids: list[UUID]) -> set[UUID]:
    return {record.id for record in site.jobs(ids) if record.state is State.RUNNING}


def test_an_outcome_whose_reply_was_lost_counts_once_and_what_was_claimed_with_it_runs(
    site: Site, proxy: Proxy, vendor: str
) -> None:
    runner = site.start({"default": 1}, through=proxy)
    # Now its statements are prepared, and it knows that jobs take long: it claims none beside the one that it runs.
    site.all_settled(site.enqueue_each(tasks.nap, [("long", 0.2)] * 3))
    first = site.enqueue(tasks.hold, "gate")
    site.traced("began", "gate")
    second = site.enqueue(tasks.mark, "second")
    lose_replies(proxy, vendor)
    site.open("gate")
    until(lambda: site.job(second).state is State.RUNNING, 10, lambda: f"{site.job(second)}", runner)
    assert site.job(first).state is State.SUCCEEDED
    assert not site.traces("ran", "second")
    proxy.cut()
    find_replies(proxy)

    settled, claimed = site.all_settled([first, second])
    assert (settled.state, settled.attempts, settled.token) == (State.SUCCEEDED, 1, 1)
    assert (claimed.state, claimed.attempts, claimed.token) == (State.SUCCEEDED, 1, 2)
    assert len(site.traces("ended", "gate")) == len(site.traces("ran", "second")) == 1
    assert "counts for nothing" not in runner.log
