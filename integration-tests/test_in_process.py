"""Runners that are one process: ``queue_runner --in-process``, and ``queue_worker`` with its job in the foreground."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from dlq.job import JobRecord
from dlq.states import State
from processes import Process, until
from project import embedded, tasks
from sites import HERE, Site

UNTOUCHED = (State.READY, 0, 0, ())
KINDS = {"a": {"processes": 1}, "b": {"processes": 1, "threads": 2}, "c": {"processes": 1, "concurrency": 2}}


def standing(record: JobRecord) -> tuple[State, int, int, tuple[object, ...]]:
    return record.state, record.attempts, record.interruptions, tuple(record.history)


def start(site: Site, *arguments: str, **settings: object) -> Process:
    runner = site.launch("--in-process", *arguments, DLQ_WORKERS=KINDS, **settings)
    site.has_workers(runner, len(KINDS))
    return runner


def test_every_kind_of_worker_is_in_the_one_process(site: Site) -> None:
    runner = start(site)
    sync = [tasks.hold.using(queue=queue) for queue in KINDS]
    ids = [site.enqueue(task, "gate") for task in (*sync, tasks.hold_on_loop.using(queue="c"))]
    for times in range(1, len(ids) + 1):
        site.traced("began", "gate", times=times)
    site.open("gate")
    assert {record.result for record in site.all_settled(ids)} == {str(runner.pid)}
    assert runner.children() == []
    (info,) = site.runners()
    assert info.pid == runner.pid
    runner.send(signal.SIGTERM)
    assert runner.wait() == 0
    assert site.runners() == []


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_process_counts_become_one(site: Site) -> None:
    runner = site.launch("--in-process", DLQ_WORKERS={"a": 5, "*": {"processes": 2, "threads": 2}})
    site.has_workers(runner, 2)
    assert "there is one worker each for *, a, not several" in runner.log


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_the_environment_can_ask_for_it(site: Site) -> None:
    runner = site.launch(environment={"DLQ_IN_PROCESS": "1"}, DLQ_WORKERS={"*": 3})
    site.has_workers(runner, 1)
    assert site.worker_pids(runner) == [runner.pid]


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_burst_ends_when_no_job_is_left(site: Site) -> None:
    ids = site.enqueue_each(tasks.add.using(queue="a"), [(number, 1) for number in range(20)])
    elsewhere = site.enqueue(tasks.noop.using(queue="other"))
    runner = site.launch("--in-process", "--burst", DLQ_WORKERS=KINDS)
    assert runner.wait() == 0
    assert {record.state for record in site.jobs(ids)} == {State.SUCCEEDED}
    assert site.job(elsewhere).state is State.READY


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_burst_without_workers_ends_at_once(site: Site) -> None:
    runner = site.launch("--in-process", "--burst", "--machine", "1", "--of", "2", DLQ_WORKERS={"a": 1})
    assert runner.wait() == 0


# --- Its end ---


def test_sigterm_lets_running_jobs_finish(site: Site) -> None:
    runner = start(site)
    running = [site.enqueue(tasks.hold.using(queue=queue), "gate") for queue in KINDS]
    for times in range(1, len(running) + 1):
        site.traced("began", "gate", times=times)
    runner.send(signal.SIGTERM)
    runner.logged("Stopping: ")
    for _ in range(3):
        runner.send(signal.SIGTERM)
    waiting = site.enqueue(tasks.mark.using(queue="b"), "waiting")
    site.open("gate")

    assert runner.wait() == 0
    assert {record.state for record in site.jobs(running)} == {State.SUCCEEDED}
    assert standing(site.job(waiting)) == UNTOUCHED
    assert site.runners() == []


def stop_by_two_interrupts(runner: Process) -> None:
    runner.send(signal.SIGINT)
    runner.logged("Stopping: ")
    runner.send(signal.SIGINT)


def stop_by_deadline(runner: Process) -> None:
    runner.send(signal.SIGTERM)


@pytest.mark.parametrize(("stop", "timeout"), [(stop_by_two_interrupts, 30), (stop_by_deadline, 0.3)])
def test_when_patience_ends_jobs_go_back_uncounted_and_the_process_ends(
    site: Site, stop: Callable[[Process], None], timeout: float
) -> None:
    """Also with a job in a thread pool, for which Python would wait at its end."""
    runner = start(site, DLQ_SHUTDOWN_TIMEOUT=timeout)
    asked = [tasks.hold.using(queue=queue) for queue in KINDS]
    ids = [site.enqueue(task, "gate") for task in (*asked, tasks.hold_on_loop.using(queue="c"))]
    for times in range(1, len(ids) + 1):
        site.traced("began", "gate", times=times)
    stop(runner)

    assert runner.wait() == 0
    assert [standing(record) for record in site.jobs(ids)] == [UNTOUCHED] * len(ids)
    assert site.runners() == []
    assert not site.traces("ended")


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_sigquit_ends_it_at_once(site: Site) -> None:
    runner = start(site)
    held = site.enqueue(tasks.hold.using(queue="a"), "gate")
    site.traced("began", "gate")
    runner.send(signal.SIGQUIT)
    assert runner.wait(within=2) == 128 + signal.SIGQUIT
    assert site.job(held).state is State.RUNNING


def test_the_jobs_of_one_that_was_killed_are_taken_back(site: Site) -> None:
    runner = start(site)
    held = site.enqueue(tasks.hold.using(queue="b"), "gate")
    site.traced("began", "gate")
    runner.send(signal.SIGKILL)
    start(site)
    site.traced("began", "gate", times=2)
    site.open("gate")
    record = site.settled(held)
    assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 1)


# --- What cannot be done here is said ---


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_task_that_ignores_its_timeout_is_named_and_not_killed(site: Site) -> None:
    runner = start(site, DLQ_KILL_AFTER=0.2)
    id = site.enqueue(tasks.sleep_for_ever.using(queue="b"), "sleeper")
    runner.logged(f"Job {id} ignored its timeout")
    assert "if it ignores that, it is not killed" in runner.log
    assert site.settled(site.enqueue(tasks.noop.using(queue="b"))).state is State.SUCCEEDED
    runner.send(signal.SIGINT)
    runner.logged("Stopping: ")
    runner.send(signal.SIGINT)
    assert runner.wait() == 0
    assert standing(site.job(id)) == UNTOUCHED


# --- A worker in the foreground ---


def test_the_jobs_of_queue_worker_run_in_its_main_thread(site: Site) -> None:
    ids = site.enqueue_each(embedded.is_in_main_thread.using(queue="mail"), [()] * 3)
    worker = site.launch("mail*", "7", "--burst", command="queue_worker")
    assert worker.wait() == 0
    records = site.jobs(ids)
    assert {record.result for record in records} == {"true"}
    assert {record.worker.rpartition("/")[2] for record in records if record.worker} == {"7"}
    assert site.runners() == []


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_timeout_interrupts_a_job_of_queue_worker(site: Site) -> None:
    id = site.enqueue(embedded.outlast_timeout, "slow")
    worker = site.launch("default", "--burst", command="queue_worker")
    assert worker.wait() == 0
    assert site.job(id).history[0].failure.exception == "dlq.errors.TaskTimeout"
    assert site.traces("ended", "slow")


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_breakpoint_opens_the_debugger(site: Site) -> None:
    id = site.enqueue(embedded.stop_at_breakpoint)
    done = subprocess.run(
        [sys.executable, "manage.py", "queue_worker", "default", "--burst"],
        input="answer = 6 * 7\ncontinue\n",
        env=site.environment({}, None) | {"PYTHONBREAKPOINT": "pdb.set_trace"},
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "(Pdb)" in done.stdout
    assert site.job(id).result == "42"


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_ctrl_c_ends_queue_worker_when_its_job_has_finished_and_again_hands_it_back(site: Site) -> None:
    for interrupts, state in ((1, State.SUCCEEDED), (2, State.READY)):
        id = site.enqueue(tasks.hold, f"gate{interrupts}")
        worker = site.launch("default", command="queue_worker")
        site.traced("began", f"gate{interrupts}")
        for _ in range(interrupts):
            worker.send(signal.SIGINT)
            worker.logged("Stopping: ")
        if interrupts == 1:
            site.open("gate1")
        assert worker.wait() == 0
        assert (site.job(id).state, site.job(id).interruptions) == (state, 0)
        assert site.runners() == []


@pytest.mark.parametrize("migrated", [False])
@pytest.mark.parametrize("vendor", ["sqlite"])
def test_queue_worker_waits_for_its_store(site: Site) -> None:
    worker = site.launch("default", command="queue_worker")
    worker.logged("Trying again until it is back.")
    worker.send(signal.SIGINT)
    assert worker.wait(within=5) == 0


@pytest.mark.parametrize("vendor", ["sqlite"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a b"], "'a b' in the queue selector 'a b' is neither a queue name"),
        (["mail", "--backend", "other"], "--backend other: the backends of DLQ in TASKS are: default"),
        (["mail", "many"], "invalid int value: 'many'"),
    ],
)
def test_what_queue_worker_cannot_serve_is_named(site: Site, arguments: list[str], says: str) -> None:
    done = site.manage("queue_worker", *arguments)
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_upkeep_runs_beside_the_job_in_the_foreground(site: Site) -> None:
    site.enqueue(tasks.hold, "gate")
    worker = site.launch("default", command="queue_worker")
    site.traced("began", "gate")
    (info,) = site.runners()
    until(lambda: site.runners()[0].beat > info.beat + 3, 10, lambda: "it does not beat", worker)
