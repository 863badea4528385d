from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import TestCase

from dlq import MemoryBackend, State, task
from dlq.context import JobContext
from dlq.testing import drain, enqueued, in_memory, run_jobs, running

ran: list[Any] = []


@pytest.fixture(autouse=True)
def backend() -> Iterator[MemoryBackend]:
    ran.clear()
    with in_memory() as backend:
        yield backend


@task
def remember(what: Any) -> None:
    ran.append(what)


@task
def enqueues(what: Any) -> None:
    ran.append("enqueues")
    remember(what)


@task(max_attempts=3, backoff=3600)
def fails_twice() -> None:
    ran.append("tried")
    if ran.count("tried") < 3:
        raise ValueError("not yet")


@task
def goes_on_for_ever() -> None:
    goes_on_for_ever()


@task
def comes_again_later() -> None:
    comes_again_later.using(run_after=timedelta(days=1)).enqueue()


@task(takes_context=True)
def says(context: JobContext[..., Any]) -> None:
    context.progress(1, 2)


def later(hours: float) -> Any:
    return remember.using(run_after=timedelta(hours=hours))


# --- run_jobs() ---


def test_ready_jobs_run_and_those_that_they_enqueue() -> None:
    enqueues("nested")
    assert run_jobs() == 2
    assert ran == ["enqueues", "nested"]
    assert run_jobs() == 0


def test_scheduled_jobs_stay_where_they_are() -> None:
    later(1).enqueue("later")
    fails_twice()
    assert run_jobs() == 1
    assert ran == ["tried"]
    assert {job.state for job in enqueued()} == {State.SCHEDULED}


def test_what_a_job_says_is_stored() -> None:
    result = says()
    run_jobs()
    result.refresh()
    assert result.progress == 0.5


def test_no_worker_stays_registered(backend: MemoryBackend) -> None:
    remember(1)
    run_jobs()
    assert backend.inspector.runners() == []


def test_jobs_without_an_end_fail_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "ENDLESS", 20)
    goes_on_for_ever()
    with pytest.raises(
        AssertionError, match=r"More than 20 jobs have run, the last of them .*goes_on_for_ever"
    ):
        run_jobs()


# --- drain() ---


def test_scheduled_jobs_run_in_the_order_of_their_time_after_those_that_are_ready() -> None:
    later(48).enqueue("in two days")
    later(1).enqueue("in an hour")
    remember("now")
    later(24).enqueue("tomorrow")
    assert drain() == 4
    assert ran == ["now", "in an hour", "tomorrow", "in two days"]


def test_jobs_that_are_tried_again_run_until_they_have_finished() -> None:
    result = fails_twice()
    assert drain() == 3
    result.refresh()
    assert (result.state, len(result.errors), ran) == (State.SUCCEEDED, 2, ["tried"] * 3)


def test_a_job_that_would_expire_before_its_time_expires() -> None:
    result = later(2).using(expires_after=3600).enqueue("too late")
    kept = later(2).using(expires_after=3 * 3600).enqueue("in time")
    assert drain() == 1
    result.refresh()
    kept.refresh()
    assert ran == ["in time"]
    assert [error.exception_class_path for error in result.errors] == ["dlq.errors.Expired"]
    assert (result.state, kept.state) == (State.FAILED, State.SUCCEEDED)


def test_a_paused_queue_stays_as_it_is(backend: MemoryBackend) -> None:
    backend.store.pause("default")
    remember("held")
    later(1).enqueue("held too")
    assert drain() == 0
    assert [job.state for job in enqueued()] == [State.READY, State.READY]


def test_of_nothing_nothing_runs() -> None:
    assert (drain(), run_jobs()) == (0, 0)


def test_jobs_that_come_again_for_ever_fail_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "ENDLESS", 20)
    comes_again_later()
    with pytest.raises(AssertionError, match=r"More than 20 jobs .*comes_again_later"):
        drain()


class TestUnderTestCase(TestCase):
    def test_captured_jobs_run(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            enqueues("nested")
        with self.captureOnCommitCallbacks(execute=True):
            assert run_jobs() == 1
        assert run_jobs() == 1
        assert ran == ["enqueues", "nested"]

    def test_captured_jobs_are_drained(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            later(5).enqueue("later")
        assert drain() == 1
        assert ran == ["later"]
