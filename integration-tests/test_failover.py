"""The Redis master dies under Sentinel: runners go on with the replica, and nothing that it has is lost or stuck."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlq.states import FINISHED, State
from processes import until
from project import tasks
from sites import Site
from topologies import Nodes, Sentinels

JOBS = 300


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Sentinels]:
    folder = tmp_path / "nodes"
    folder.mkdir()
    nodes = Nodes(folder)
    try:
        yield nodes.sentinels()
    finally:
        nodes.close()


@pytest.mark.parametrize("vendor", ["redis"])
def test_after_the_death_of_the_master_work_goes_on_with_the_replica(site: Site, watched: Sentinels) -> None:
    site.options |= {"sentinels": list(watched.addresses), "sentinel_service": watched.service}
    runner = site.start({"*": 2})
    held = site.enqueue(tasks.hold, "gate")
    site.traced("began", "gate")
    site.enqueue_each(tasks.nap, [(f"job-{n}", 0.01) for n in range(JOBS)])
    until(lambda: len(site.traces("ran")) > JOBS // 10, 20, lambda: "nothing runs", runner)
    assert watched.master.client.wait(1, 10_000) == 1

    watched.master.kill()
    until(
        lambda: watched.replica.client.info("replication")["role"] == "master",
        60,
        lambda: "no failover",
        runner,
    )
    promoted_at, seen = time.time(), len(site.traces("ran"))
    site.open("gate")
    until(lambda: len(site.traces("ran")) > seen, 60, lambda: "nothing runs any more", runner)
    print(f"Work went on {time.time() - promoted_at:.3f} s after the failover.")

    until(lambda: site.counts().keys() <= FINISHED, 60, lambda: f"stuck: {site.counts()}", runner)
    assert site.counts() == {State.SUCCEEDED: JOBS + 1}
    assert site.job(held).interruptions == 0
    assert {trace.label for trace in site.traces("ran")} >= {f"job-{n}" for n in range(JOBS)}
    assert len(site.worker_pids(runner)) == 2
