"""Queues that are paused and workers that are told something, by somebody in another process."""

from __future__ import annotations

import contextlib
import os
import signal
from datetime import timedelta

import pytest
from django.utils import timezone

from dlq.errors import EnqueueError
from dlq.states import State
from processes import Process, until
from project import tasks
from sites import EVERYWHERE, Site


def said(site: Site, *arguments: str) -> str:
    """What a command has printed that did what it was told."""
    done = site.manage(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def worker_ids(site: Site, runner: Process) -> list[str]:
    return [worker.id for info in site.runners() if info.pid == runner.pid for worker in info.workers]


# --- Pause


@EVERYWHERE
def test_a_queue_paused_in_the_middle_starts_nothing_more_while_others_go_on(site: Site) -> None:
    site.start({"*": 1})
    labels = [f"mail-{number}" for number in range(30)]
    with site.transaction():
        before = site.enqueue_each(tasks.mark.using(queue="mail"), [("before",)] * 10)
        running = site.enqueue(tasks.hold.using(queue="mail"), "gate")
        waiting = site.enqueue_each(tasks.mark.using(queue="mail"), [(label,) for label in labels])
    site.traced("began", "gate")
    assert said(site, "queue_pause", "mail") == "Paused queue mail until it is resumed."
    site.open("gate")
    assert site.settled(running).state is State.SUCCEEDED

    others = [site.enqueue(tasks.mark.using(queue="other"), f"other-{n}") for n in range(3)]
    for other in others:
        assert site.settled(other).state is State.SUCCEEDED
    assert {t.label for t in site.traces("ran")} == {"before", "other-0", "other-1", "other-2"}
    untouched = {(record.state, record.attempts, record.interruptions) for record in site.jobs(waiting)}
    assert untouched == {(State.READY, 0, 0)}

    assert said(site, "queue_resume", "mail") == "Resumed queue mail."
    assert {record.state for record in site.all_settled([*before, *waiting])} == {State.SUCCEEDED}
    assert [t.label for t in site.traces("ran") if t.label in labels] == labels


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_pause_for_a_while_ends_by_itself_and_can_be_seen_from_code(site: Site) -> None:
    site.start({"*": 1})
    assert said(site, "queue_pause", "mail", "--for", "1h").startswith("Paused queue mail until 2")
    (mail,) = site.backend.inspector.counts(["mail"])
    assert (mail.paused, mail.paused_until is None) == (True, False)
    ends_at = timezone.now() + timedelta(seconds=2)
    site.backend.store.pause("mail", ends_at)
    record = site.settled(site.enqueue(tasks.noop.using(queue="mail")))
    assert record.state is State.SUCCEEDED
    assert record.started_at is not None
    assert record.started_at >= ends_at


# --- Workers


@EVERYWHERE
def test_a_quiet_worker_claims_nothing_until_it_is_told_to_work(site: Site) -> None:
    runner = site.start({"*": 1, "mail": 1})
    (quiet,) = [w.id for i in site.runners() for w in i.workers if w.queues == "*"]
    listed = said(site, "queue_workers")
    assert all(id in listed for id in worker_ids(site, runner))
    assert said(site, "queue_workers", "quiet", quiet) == f"{quiet} has heard: quiet."
    assert f"worker {quiet}: * (process, 1 at a time), told to be quiet" in said(site, "queue_workers")

    unwanted = site.enqueue(tasks.noop.using(queue="other", priority=9))
    # What is claimed and run later, by the other worker, and what the quiet one looks at, comes after it.
    assert site.settled(site.enqueue(tasks.noop.using(queue="mail"))).state is State.SUCCEEDED
    assert said(site, "queue_workers", "ping", runner_id(site, runner)).count("has heard: ping.") == 2
    assert site.job(unwanted).state is State.READY

    assert said(site, "queue_workers", "work", quiet) == f"{quiet} has heard: work."
    assert site.settled(unwanted).state is State.SUCCEEDED


def runner_id(site: Site, runner: Process) -> str:
    (id,) = [info.id for info in site.runners() if info.pid == runner.pid]
    return id


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_stopped_worker_finishes_its_job_and_its_seat_stays_empty(site: Site) -> None:
    runner = site.start({"mail": 1, "other": 1})
    ((stopped, pid),) = [(w.id, w.pid) for i in site.runners() for w in i.workers if w.queues == "mail"]
    held = site.enqueue(tasks.hold.using(queue="mail"), "gate")
    site.traced("began", "gate")
    command = site.launch("stop", stopped, "--timeout", "20", command="queue_workers")
    runner.logged("was told: stop")
    left = site.enqueue(tasks.noop.using(queue="mail"))
    site.open("gate")
    assert command.wait() == 0
    assert command.log.strip() == f"{stopped} has heard: stop."
    assert site.job(held).state is State.SUCCEEDED
    until(lambda: pid not in runner.children(), 5, lambda: "the worker lives on", runner)

    assert site.settled(site.enqueue(tasks.noop.using(queue="other"))).state is State.SUCCEEDED
    assert len(worker_ids(site, runner)) == 1
    assert site.job(left).state is State.READY
    runner.send(signal.SIGTERM)
    assert runner.wait() == 0


def stop_outside_of_a_write(site: Site, pid: int) -> None:
    """Stop a process that does not hold the one lock of SQLite, for which all others would wait."""
    for _ in range(20):
        os.kill(pid, signal.SIGSTOP)
        with contextlib.suppress(EnqueueError):
            site.enqueue(tasks.noop.using(queue="nobody"))
            return
        os.kill(pid, signal.SIGCONT)
    raise AssertionError("it is always in the middle of a write")


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_worker_that_hangs_does_not_answer_and_the_command_names_it(site: Site) -> None:
    runner = site.start({"mail": 1, "other": 1})
    workers = {w.queues: w for i in site.runners() for w in i.workers}
    stop_outside_of_a_write(site, workers["mail"].pid)
    try:
        done = site.manage("queue_workers", "ping", "--all", "--timeout", "5")
    finally:
        os.kill(workers["mail"].pid, signal.SIGCONT)
    assert done.returncode == 1
    assert done.stdout.strip() == f"{workers['other'].id} has heard: ping."
    assert done.stderr.strip() == f"CommandError: No answer within 5 s from {workers['mail'].id}."
    assert said(site, "queue_workers", "ping", runner_id(site, runner)).count("has heard: ping.") == 2


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_what_nobody_is_told_is_an_error(site: Site) -> None:
    done = site.manage("queue_workers", "stop", "--all")
    assert done.returncode == 1
    assert "No worker is registered" in done.stderr
