"""Runners that end by themselves, and the files that they hold and touch."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path

import pytest

from dlq.states import State
from processes import is_running, until
from project import controlled, tasks
from sites import Site


@pytest.mark.parametrize(
    ("vendor", "pool"),
    [("sqlite", {"threads": 2}), ("postgresql", {"processes": 2}), ("sqlite", {"concurrency": 4})],
)
def test_a_burst_ends_when_no_job_is_left_not_even_one_that_a_job_enqueued(
    site: Site, pool: dict[str, int]
) -> None:
    ids = site.enqueue_each(tasks.nap, [(f"{n}", 0.01) for n in range(20)])
    site.enqueue(controlled.split, "x")
    later = site.enqueue(tasks.noop.using(run_after=timedelta(hours=1)))
    paused = site.enqueue(tasks.noop.using(queue="paused"))
    site.backend.store.pause("paused")
    runner = site.launch("--burst", DLQ_WORKERS={"*": pool})

    assert runner.wait(within=15) == 0
    assert {record.state for record in site.jobs(ids)} == {State.SUCCEEDED}
    split = [trace.label for trace in site.traces("ran") if trace.label.startswith("x")]
    assert len(split) == len(set(split)) == 1 + 2 + 4 + 8
    assert site.job(later).state is State.SCHEDULED
    assert site.job(paused).state is State.READY
    assert site.runners() == []


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_burst_of_a_machine_without_workers_ends_too(site: Site) -> None:
    runner = site.launch("--burst", "--machine", "1", "--of", "2", DLQ_WORKERS={"mail": 1})
    assert runner.wait(within=10) == 0


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_pidfile_is_held_by_a_live_runner_and_taken_over_from_a_dead_one(
    site: Site, tmp_path: Path
) -> None:
    file = tmp_path / "runner.pid"
    first = site.start({"*": 1}, "--pidfile", str(file))
    assert file.read_text() == f"{first.pid}\n"
    refused = site.manage("queue_runner", "--pidfile", str(file))
    assert refused.returncode == 1
    assert f"the process {first.pid} holds it and is alive" in refused.stderr
    assert file.read_text() == f"{first.pid}\n"

    orphans = first.children()
    first.send(signal.SIGSTOP)
    first.send(signal.SIGKILL)
    until(lambda: first.exit_code is not None, 5, lambda: "it lives")
    second = site.start({"*": 1}, "--pidfile", str(file))
    assert file.read_text() == f"{second.pid}\n"
    second.send(signal.SIGTERM)
    assert second.wait() == 0
    assert not file.exists()
    until(lambda: not any(map(is_running, orphans)), 10, lambda: "orphans live on")


@pytest.mark.parametrize(("vendor", "pool"), [("sqlite", {"threads": 2}), ("postgresql", {"processes": 1})])
def test_the_touchfile_of_a_queue_is_touched_by_successes_alone(
    site: Site, tmp_path: Path, pool: dict[str, int]
) -> None:
    pattern = tmp_path / "touched-%s"
    site.start({"*": pool}, "--touchfile", str(pattern))
    site.settled(site.enqueue(tasks.leave.using(queue="bad")))
    site.settled(site.enqueue(tasks.noop.using(queue="good/mail")))
    assert [file.name for file in tmp_path.glob("touched-*")] == ["touched-good%2Fmail"]


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_jobs_of_queues_that_it_does_not_serve_keep_no_burst_waiting(site: Site) -> None:
    other = site.enqueue(tasks.noop.using(queue="other"))
    own = site.enqueue(tasks.noop.using(queue="mail"))
    assert site.launch("--burst", DLQ_WORKERS={"mail": 1}).wait(within=30) == 0
    assert [record.state for record in site.jobs([other, own])] == [State.READY, State.SUCCEEDED]
