"""Behind PgBouncer in transaction mode, where every transaction may get another connection to the server."""

from __future__ import annotations

import os
import signal
from urllib.parse import urlsplit

import pytest

from dlq.states import State
from project import tasks
from sites import Site

pytestmark = pytest.mark.parametrize("vendor", ["postgresql"])


class Pooler:
    """The way through the pooler that ``DLQ_TEST_PGBOUNCER_URL`` names."""

    def url(self, url: str) -> str:
        """What leads through it to the same database."""
        return urlsplit(url)._replace(netloc=urlsplit(os.environ["DLQ_TEST_PGBOUNCER_URL"]).netloc).geturl()


def test_a_whole_runner_works_behind_a_pooler(site: Site) -> None:
    site.options["pooling"] = "transaction"
    runner = site.start({"*": {"processes": 3}, "slow": 1}, through=Pooler())
    assert site.worker_pids(runner)
    held = site.enqueue(tasks.hold.using(queue="slow"), "gate")
    with site.transaction():
        ids = site.enqueue_each(tasks.mark, [(str(n),) for n in range(100)])
    began = site.traced("began", "gate", within=20)
    os.kill(began.pid, signal.SIGKILL)
    site.traced("began", "gate", times=2, within=20)
    site.open("gate")
    records = site.all_settled([held, *ids], within=30)
    assert {record.state for record in records} == {State.SUCCEEDED}
    assert [record.interruptions for record in records] == [1] + [0] * 100
    assert sorted(int(trace.label) for trace in site.traces("ran")) == list(range(100))
    assert "Trying again" not in runner.log
    runner.send(signal.SIGTERM)
    assert runner.wait(20) == 0
    assert site.runners() == []


def test_a_runner_that_does_not_know_of_the_pooler_says_what_to_do(site: Site) -> None:
    runner = site.launch(through=Pooler(), DLQ_WORKERS={"*": 1})
    runner.logged('add "pooling": "transaction" to the OPTIONS of the backend in TASKS')
