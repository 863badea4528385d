"""An enqueue is part of the caller's transaction: it happens with it, or not at all."""

from __future__ import annotations

import pytest
from django.db import transaction

from dlq.states import State
from project import tasks
from sites import Site


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql", "mariadb"])
def test_a_rolled_back_enqueue_leaves_nothing_and_a_committed_one_runs(site: Site) -> None:
    site.start({"*": 1})
    with site.transaction():
        regretted = site.enqueue(tasks.mark, "regretted")
        assert site.job(regretted).state is State.READY  # To the one who enqueued it.
        transaction.set_rollback(True, using=site.alias)
    with site.transaction():
        kept = site.enqueue(tasks.mark, "kept")
    assert site.settled(kept).state is State.SUCCEEDED
    assert site.backend.store.get([regretted]) == []
    assert [trace.label for trace in site.traces("ran")] == ["kept"]


@pytest.mark.parametrize("vendor", ["postgresql", "mariadb"])
def test_an_enqueue_runs_no_sooner_than_its_transaction_commits(site: Site) -> None:
    site.start({"*": 1})
    with site.transaction():
        early = site.enqueue(tasks.mark, "early")
        assert site.manage("queue_status", "--json").stdout.count("ready") == 0
        assert not site.traces("ran")
    assert site.settled(early).state is State.SUCCEEDED


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_an_enqueue_in_a_transaction_waits_for_its_turn_to_write(site: Site) -> None:
    site.start({"*": 1})
    before = site.enqueue_each(tasks.noop, [()] * 1000)
    after = []
    while site.counts()[State.SUCCEEDED] < len(before):
        with site.transaction():
            after.append(site.enqueue(tasks.noop))
    assert {record.state for record in site.all_settled(after)} == {State.SUCCEEDED}
