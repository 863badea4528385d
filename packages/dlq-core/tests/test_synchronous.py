from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.tasks import TaskContext, task_backends
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.test import TestCase, override_settings
from pytest_django import Settings

from dlq import EnqueueError, PayloadError, State, task
from dlq.context import JobContext
from dlq.job import JobRecord, NewJob
from dlq.queue import QueueInfo
from dlq.store import JobFilter, MemoryStore
from dlq.synchronous import KEPT, SynchronousBackend, forget_oldest

SYNCHRONOUS = {"default": {"BACKEND": "dlq.synchronous.SynchronousBackend"}}


@pytest.fixture(autouse=True)
def backend(settings: Settings) -> Iterator[SynchronousBackend]:
    SynchronousBackend.stores.clear()
    settings.TASKS = SYNCHRONOUS
    yield task_backends["default"]
    SynchronousBackend.stores.clear()


ran: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


@task
def remember(what: Any) -> Any:
    ran.append(what)
    return what


@task(queue="other", priority=50)
def remember_first(what: Any) -> None:
    ran.append(what)


@task
def fails() -> None:
    raise ZeroDivisionError("on purpose")


@task
def exits() -> None:
    raise SystemExit(3)


@task(max_attempts=3, backoff=0)
def fails_twice() -> int:
    ran.append("tried")
    if len(ran) < 3:
        raise ValueError("not yet")
    return len(ran)


@task(max_attempts=2, backoff=60)
def fails_until_later() -> None:
    raise ValueError("not yet")


@task
def enqueues(depth: int) -> str:
    ran.append(f"{depth} begins")
    if depth:
        nested = enqueues.enqueue(depth - 1)
        assert nested.return_value == f"{depth - 1} returned"
    ran.append(f"{depth} ends")
    return f"{depth} returned"


@task
async def in_a_coroutine(n: int) -> int:
    await asyncio.sleep(0)
    if n:
        nested = await in_a_coroutine.aenqueue(n - 1)
        return int(nested.return_value) + 1
    return 0


@task(takes_context=True)
def sees_its_context(context: TaskContext[..., Any]) -> list[Any]:
    return [context.task_result.status, context.attempt]


def stored(backend: SynchronousBackend) -> list[JobRecord]:
    return list(backend.inspector.jobs(JobFilter(), limit=10_000))[::-1]


# --- It runs at enqueue ---


def test_a_job_has_run_when_an_enqueue_returns(backend: SynchronousBackend) -> None:
    result = remember("this")
    assert ran == ["this"]
    assert (result.state, result.return_value) == (State.SUCCEEDED, "this")
    assert result == backend.get_result(result.id)
    assert result.enqueued_at is not None
    assert result.finished_at is not None


def test_arguments_and_results_travel_through_json(backend: SynchronousBackend) -> None:
    given = [(1, 2)]
    result = remember(given)
    assert (ran, result.return_value) == ([[[1, 2]]], [[1, 2]])
    assert ran[0] is not given
    with pytest.raises(PayloadError):
        remember({1})
    assert len(stored(backend)) == 1


@pytest.mark.parametrize(
    ("failing", "error"), [(fails, ZeroDivisionError), (exits, SystemExit)], ids=["raises", "exits"]
)
def test_what_a_task_raises_is_recorded_and_not_raised(failing: Any, error: type[BaseException]) -> None:
    result = failing()
    assert result.state is State.FAILED
    assert [found.exception_class for found in result.errors] == [error]
    assert f"raise {error.__name__}" in result.errors[0].traceback


def test_it_is_run_as_a_worker_runs_it() -> None:
    told: list[str] = []

    def hear(signal: Any, **kwargs: Any) -> None:
        told.append({task_enqueued: "enqueued", task_started: "started", task_finished: "finished"}[signal])

    signals = [task_enqueued, task_started, task_finished]
    for signal in signals:
        signal.connect(hear)
    try:
        result = sees_its_context()
    finally:
        for signal in signals:
            signal.disconnect(hear)
    assert told == ["enqueued", "started", "finished"]
    assert result.return_value == ["RUNNING", 1]


def test_many_run_in_the_order_in_which_they_were_given(backend: SynchronousBackend) -> None:
    results = backend.enqueue_all(
        [(remember, (1,), {}), (remember_first, (2,), {}), (fails, (), {}), (remember, (3,), {})]
    )
    assert ran == [1, 2, 3]
    assert [result.state.label for result in results] == ["succeeded", "succeeded", "failed", "succeeded"]


def test_it_runs_in_the_thread_of_the_caller() -> None:
    threads: list[int] = []
    running: list[int] = []

    def hear(**kwargs: Any) -> None:
        running.append(threading.get_ident())

    def enqueue() -> None:
        threads.append(threading.get_ident())
        remember(threading.get_ident())

    task_started.connect(hear)
    try:
        workers = [threading.Thread(target=enqueue) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        task_started.disconnect(hear)
    assert sorted(running) == sorted(threads)
    assert sorted(ran) == sorted(threads)


@task
def in_which_thread() -> int:
    return threading.get_ident()


def test_no_thread_takes_what_another_has_just_enqueued(monkeypatch: pytest.MonkeyPatch) -> None:
    enqueue, results = MemoryStore.enqueue, {}
    other = threading.Thread(target=lambda: results.update(other=in_which_thread()))

    def enqueue_beside(self: MemoryStore, jobs: Sequence[NewJob], **now: Any) -> datetime:
        enqueued_at = enqueue(self, jobs, **now)
        if other.ident is None:
            other.start()
            other.join(0.2)  # It has to wait; if it did not, it would be through by now.
        return enqueued_at

    monkeypatch.setattr(MemoryStore, "enqueue", enqueue_beside)
    results["this"] = in_which_thread()
    other.join()
    assert results["this"].return_value == threading.get_ident()
    assert results["other"].return_value == other.ident


def test_a_task_that_enqueues_another_sees_its_result() -> None:
    assert enqueues(3).return_value == "3 returned"
    assert ran == [f"{n} begins" for n in (3, 2, 1, 0)] + [f"{n} ends" for n in (0, 1, 2, 3)]


def test_a_task_that_waits_for_another_thread_that_enqueues_does_not_wait_for_ever() -> None:
    assert waits_for_a_thread().state is State.SUCCEEDED
    assert ran == ["in the thread"]


@task
def waits_for_a_thread() -> None:
    thread = threading.Thread(target=remember, args=["in the thread"], daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_coroutines_enqueue_too() -> None:
    async def enqueue() -> Any:
        result = await in_a_coroutine.aenqueue(3)
        return result.return_value

    assert async_to_sync(enqueue)() == 3


def test_a_coroutine_task_runs_where_no_loop_runs() -> None:
    assert in_a_coroutine(0).return_value == 0


@task(takes_context=True)
def says_something(context: JobContext[..., Any]) -> None:
    context.progress(1, 4, "a quarter")
    context.log("one line")
    context.metadata["step"] = 1


def test_what_a_task_says_is_in_its_result() -> None:
    result = says_something()
    assert (result.progress, result.message, result.metadata) == (0.25, "a quarter", {"step": 1})
    assert list(result.log) == ["one line"]


# --- What does not run ---


def test_a_job_that_is_scheduled_for_later_stays_so(backend: SynchronousBackend) -> None:
    result = remember.using(run_after=timedelta(hours=1)).enqueue("later")
    remember("now")
    assert ran == ["now"]
    assert result.state is backend.get_result(result.id).state is State.SCHEDULED


def test_a_job_that_is_to_be_tried_again_at_once_is() -> None:
    result = fails_twice()
    assert (result.state, result.return_value, result.attempts) == (State.SUCCEEDED, 3, 3)
    assert len(result.errors) == 2


def test_a_job_that_is_to_be_tried_again_later_stays_scheduled() -> None:
    result = fails_until_later()
    assert (result.state, len(result.errors)) == (State.SCHEDULED, 1)


def test_a_paused_queue_runs_when_it_was_resumed_and_something_is_enqueued(
    backend: SynchronousBackend,
) -> None:
    backend.store.pause("default")
    held = remember("held")
    assert (ran, held.state) == ([], State.READY)
    backend.store.resume("default")
    remember("next")
    assert ran == ["next", "held"]
    assert QueueInfo("default").size == 0


def test_a_refusal_runs_nothing(backend: SynchronousBackend) -> None:
    with pytest.raises(EnqueueError):
        backend.enqueue_all([(remember, (1,), {}), (remember, ({2},), {})])
    assert (ran, stored(backend)) == ([], [])


def test_a_receiver_that_raises_does_not_keep_a_stored_job_from_running(
    backend: SynchronousBackend,
) -> None:
    def refuse(**kwargs: Any) -> None:
        raise LookupError("a receiver's own")

    task_enqueued.connect(refuse)
    try:
        with pytest.raises(LookupError):
            remember("all the same")
    finally:
        task_enqueued.disconnect(refuse)
    assert ran == ["all the same"]
    assert [job.state for job in stored(backend)] == [State.SUCCEEDED]


# --- What is kept ---


def test_results_are_kept_in_the_process_for_every_thread(backend: SynchronousBackend) -> None:
    result = remember("kept")
    found = SynchronousBackend("default", {}).get_result(result.id)
    assert found == result


def test_no_worker_stays_registered(backend: SynchronousBackend) -> None:
    remember("one")
    assert backend.inspector.runners() == []


def test_only_the_newest_finished_jobs_are_kept(backend: SynchronousBackend) -> None:
    later = remember.using(run_after=timedelta(hours=1)).enqueue("later")
    results = [remember(n) for n in range(5)]
    forget_oldest(backend.make_store(), kept=3)
    kept = {str(job.id) for job in stored(backend)}
    assert kept == {later.id, *(result.id for result in results[2:])}
    with pytest.raises(TaskResultDoesNotExist):
        results[0].refresh()


def test_a_batch_that_is_larger_than_what_is_kept_has_all_its_results(backend: SynchronousBackend) -> None:
    results = remember.enqueue_many([((n,), {}) for n in range(KEPT + 5)])
    assert all(result.state is State.SUCCEEDED for result in results)
    assert len(stored(backend)) == KEPT


# --- Transactions ---


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_a_job_runs_after_the_commit() -> None:
    with transaction.atomic():
        result = remember("after")
        assert (ran, result.enqueued_at) == ([], None)
    assert ran == ["after"]
    assert result.return_value == "after"


@pytest.mark.django_db(transaction=True)
def test_after_a_rollback_nothing_runs() -> None:
    with transaction.atomic():
        remember("never")
        transaction.set_rollback(True)
    assert ran == []


@override_settings(TASKS=SYNCHRONOUS)
class TestUnderTestCase(TestCase):
    def test_jobs_run_when_the_callbacks_are_captured_and_run(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            result = remember("after")
            assert ran == []
        assert result.return_value == "after"
