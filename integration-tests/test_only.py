"""Runners that do a part of the work: a share of the workers, one queue, no upkeep, or nothing but upkeep."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dlq.states import State
from processes import Process, until
from project import tasks
from sites import Site


def served_by(site: Site, runner: Process) -> list[str]:
    """The queues of a runner's workers."""
    (info,) = [info for info in site.runners() if info.pid == runner.pid]
    return sorted(worker.queues for worker in info.workers)


def beats(site: Site, runner: Process) -> int:
    return next((info.beat for info in site.runners() if info.pid == runner.pid), 0)


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_machines_share_the_workers_as_they_are_dealt_and_serve_all_queues_between_them(site: Site) -> None:
    workers = {"a": 1, "b": 2, "c": 1}
    machines = [
        site.launch("--machine", f"{n}", "--of", "2", DLQ_WORKERS=workers, DLQ_SKIP_CRON=True) for n in (1, 2)
    ]
    for machine in machines:
        site.has_workers(machine, 2)
    # a is process 1, and goes to machine 1 % 2 + 1; the others follow in turn.
    assert [served_by(site, machine) for machine in machines] == [["b", "c"], ["a", "b"]]
    ids = [site.enqueue(tasks.noop.using(queue=queue)) for queue in "abc" * 3]
    assert {record.state for record in site.all_settled(ids)} == {State.SUCCEEDED}


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_runner_for_one_queue_leaves_the_others_alone(site: Site) -> None:
    runner = site.launch("--only-queue", "mail", DLQ_WORKERS={"*": 1, "other": 3})
    site.has_workers(runner, 1)
    assert served_by(site, runner) == ["mail"]
    left = site.enqueue(tasks.noop.using(queue="other", priority=9))
    assert site.settled(site.enqueue(tasks.noop.using(queue="mail"))).state is State.SUCCEEDED
    assert site.job(left).state is State.READY


def test_a_runner_for_work_alone_beats_but_promotes_and_prunes_nothing_which_is_for_upkeep(
    site: Site,
) -> None:
    site.options["retention"] = {"succeeded": 0}
    worker = site.launch("--only-work", DLQ_WORKERS={"*": 1})
    site.has_workers(worker, 1)
    done = site.enqueue(tasks.noop)
    later = site.enqueue(tasks.noop.using(run_after=timedelta(seconds=1)))
    assert site.settled(done).state is State.SUCCEEDED
    due = site.job(later).run_after
    assert due is not None
    until(lambda: datetime.now(UTC) > due, 5, lambda: "no time passes")
    seen = beats(site, worker)
    until(lambda: beats(site, worker) >= seen + 5, 10, lambda: "no beats", worker)
    assert site.job(later).state is State.SCHEDULED
    assert site.job(done).state is State.SUCCEEDED

    upkeep = site.launch("--only-upkeep", DLQ_WORKERS={"*": 1})
    until(lambda: not site.backend.store.get([done]), 10, lambda: "not pruned", upkeep)
    until(
        lambda: not site.backend.store.get([later]) or site.job(later).state is State.SUCCEEDED,
        10,
        lambda: f"not promoted: {site.job(later)}",
        upkeep,
    )
    assert site.worker_pids(upkeep) == []
    assert len(upkeep.children()) == 1  # the service
    for runner in (worker, upkeep):
        runner.send(signal.SIGTERM)
    assert [worker.wait(), upkeep.wait()] == [0, 0]
    assert site.runners() == []


# --- Files


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_the_workers_of_an_exact_configuration_are_those_of_its_file(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('workers = { "mail" = { threads = 3 } }\n[backends.default]\npoll_interval = 0.3\n')
    runner = site.launch("--exact-configuration", "--config", str(file), DLQ_WORKERS={"*": 4})
    site.has_workers(runner, 1)
    assert served_by(site, runner) == ["mail"]
    (worker,) = [worker for info in site.runners() for worker in info.workers]
    assert (worker.kind, worker.slots) == ("threads", 3)
    assert site.settled(site.enqueue(tasks.noop.using(queue="mail"))).state is State.SUCCEEDED
    shown = site.manage("queue_configuration", "--config", str(file)).stdout
    assert str(file) in shown


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_an_exact_configuration_without_its_file_is_refused(site: Site) -> None:
    done = site.manage("queue_runner", "--exact-configuration")
    assert done.returncode == 1
    assert "--exact-configuration needs --config FILE" in done.stderr


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_python_file_from_the_environment_is_laid_over_the_settings_in_workers_too(
    site: Site, tmp_path: Path
) -> None:
    file = tmp_path / "server.py"
    file.write_text(
        'queue = "mail"\n'
        "DLQ_WORKERS = {queue: 1}\n"
        "DLQ_KILL_AFTER = 0.3\n"
        'TASKS = {"default": {"OPTIONS": {"max_interruptions": 7}}}\n'
    )
    runner = site.launch(environment={"DLQ_CONFIG": str(file)}, DLQ_WORKERS={"*": 4}, DLQ_KILL_AFTER=60)
    site.has_workers(runner, 1)
    assert served_by(site, runner) == ["mail"]
    # The kill that comes soon is that of the file.
    job = site.settled(site.enqueue(tasks.sleep_for_ever.using(queue="mail", max_attempts=1), "label"))
    assert job.state is State.FAILED
    assert job.history[-1].failure.exception == "dlq.errors.TaskTimeout"
