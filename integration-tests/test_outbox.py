"""An outbox with real processes: each committed job runs, each rolled-back one does not, whoever is killed when."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlq.states import State
from dlq.store import JobFilter
from processes import SLACK, until
from project import tasks
from project.shop.models import Customer
from sites import Site

HERE = Path(__file__).resolve().parent
APPS = {"INSTALLED_APPS": ["dlq", "dlq_redis", "project.shop"]}
KILLS = int(os.environ.get("DLQ_TEST_OUTBOX_KILLS", "30"))
"""1,000 take about two minutes."""

pytestmark = pytest.mark.parametrize("vendor", ["redis"])


@pytest.fixture
def shop(site: Site) -> Site:
    """A site with an outbox, and a table beside it."""
    site.options["outbox"] = "default"
    site.options["max_interruptions"] = 10 * KILLS
    made = site.manage("migrate", "--run-syncdb", **APPS)
    assert made.returncode == 0, made.stderr
    return site


def committed(site: Site) -> set[str]:
    return set(Customer._default_manager.using(site.alias).values_list("name", flat=True))


def test_whoever_is_killed_whenever_committed_jobs_run_and_rolled_back_ones_do_not(shop: Site) -> None:
    runner = shop.start({"*": 2}, **APPS)
    struck = subprocess.run(
        [sys.executable, "-m", "project.relaying", "7", str(KILLS), str(runner.pid)],
        env=shop.environment(APPS, None),
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=60 * SLACK + KILLS,
        check=False,
    )
    assert struck.returncode == 0, struck.stderr
    wanted = committed(shop)
    until(
        lambda: shop.counts() == {State.SUCCEEDED: len(wanted)},
        60,
        lambda: f"{len(wanted)} were committed: {shop.counts()}",
    )
    jobs = shop.backend.inspector.jobs(JobFilter(), limit=1_000_000)
    assert {str(job.id) for job in jobs} == wanted
    print(f"{len(wanted)} jobs; killed: {struck.stdout.strip()}")
    assert len(wanted) >= KILLS


def test_a_runner_that_ends_when_nothing_is_left_waits_for_the_outbox(
    shop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlq_redis.outbox.OutboxStore._relay_soon", lambda self, ids: None)
    ids = [shop.enqueue(tasks.noop) for _ in range(3)]
    runner = shop.launch("--burst", DLQ_WORKERS={"*": 1}, **APPS)
    assert runner.wait(30) == 0
    assert {record.state for record in shop.jobs(ids)} == {State.SUCCEEDED}
