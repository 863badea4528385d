"""A broadcast: every runner that lives runs its own job, once, whatever queues its workers serve."""

from __future__ import annotations

from uuid import UUID

from dlq.states import State
from project import tasks
from sites import EVERYWHERE, Site


@EVERYWHERE
def test_each_runner_runs_the_job_of_a_broadcast_once(site: Site) -> None:
    runners = [site.start({"mail": 1}), site.start({"*": {"processes": 1, "threads": 2}})]
    pids = {runner.pid: set(site.worker_pids(runner)) for runner in runners}
    known = {info.pid: info.id for info in site.runners()}
    results = site.backend.enqueue_for_runners(
        tasks.mark, ("news",), {}, [known[runner.pid] for runner in runners]
    )
    ids = [UUID(result.id) for result in results]
    for runner, record in zip(runners, site.all_settled(ids), strict=True):
        assert record.state is State.SUCCEEDED
        assert record.result is not None
        assert int(record.result) in pids[runner.pid]
    assert len(site.traces("ran", "news")) == 2
