"""What is known to go wrong in systems of this kind, one test for each.

Most have a test where their subject is: a task that exits (test_harmful_tasks), a router that knows one alias
(test_several_databases), gunicorn without ``preload`` (test_embedding), an outage (test_outages), deploys and lost
runners (test_deploys, test_lost_runners). Here are the others.
"""

from __future__ import annotations

import re
import signal

import psycopg
import pytest
from django.tasks import TaskResultStatus

from dlq.states import State
from processes import Process, until
from project import tasks
from sites import Site


def test_a_duplicate_that_was_discarded_is_not_successful(site: Site) -> None:
    ids = site.enqueue_each(tasks.mark, [("same",), ("same",)])
    site.manage("queue_deduplicate", "default").check_returncode()
    (second,) = (job.id for job in site.jobs(ids) if job.state is not State.READY)
    discarded = site.backend.get_result(str(second))
    assert discarded.status is TaskResultStatus.FAILED
    assert discarded.state is State.CANCELLED
    with pytest.raises(ValueError, match="Task failed"):
        _ = discarded.return_value


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_runner_says_what_it_does_where_no_logging_is_set_up(site: Site) -> None:
    runner = site.start({"*": 1})
    done, failed = site.enqueue(tasks.mark, "x"), site.enqueue(tasks.leave)
    site.all_settled([done, failed])
    runner.send(signal.SIGTERM)
    runner.wait()
    (known,) = re.findall(r"^DLQ \S+ · runner (\S+)$", runner.log, re.MULTILINE)
    assert f"Job {done} project.tasks.mark succeeded in " in runner.log
    assert f"Job {failed} project.tasks.leave failed with SystemExit('enough') in " in runner.log
    assert f"The runner {known} has stopped." in runner.log


@pytest.mark.parametrize("vendor", ["postgresql"])
def test_an_idle_runner_keeps_its_connections(site: Site) -> None:
    ours = "SELECT pid, backend_start FROM pg_stat_activity WHERE application_name = 'dlq' ORDER BY 1"
    runner = site.start({"*": 2})
    with psycopg.connect(site.url, autocommit=True) as observer:
        beats_more(site, runner, 5)
        before = observer.execute(ours).fetchall()
        beats_more(site, runner, 20)
        assert observer.execute(ours).fetchall() == before
    assert len(before) >= 3  # Two workers, and the service.


def beats_more(site: Site, runner: Process, times: int) -> None:
    (begun,) = (known.beat for known in site.runners())
    until(
        lambda: site.runners()[0].beat > begun + times, 30, lambda: f"not {times} beats after {begun}", runner
    )


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_what_runs_as_threads_does_not_say_that_it_is_a_process(site: Site) -> None:
    runner = site.start({"a": 1, "b": {"threads": 2}}, "--in-process")
    (known,) = site.runners()
    assert {worker.pid for worker in known.workers} == {runner.pid}
    assert [worker.kind for worker in known.workers] == ["threads", "threads"]
