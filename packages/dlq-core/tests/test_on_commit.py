from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, transaction
from django.tasks import task_backends
from django.tasks.exceptions import TaskResultDoesNotExist
from django.test import TestCase, override_settings
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from dlq import (
    EnqueueError,
    MemoryBackend,
    PayloadError,
    TaskResult,
    on_commit,
    task,
)
from dlq.enqueueing import enqueue_on_commit
from dlq.store import MemoryStore

from .stored import stored

pytestmark = pytest.mark.usefixtures("memory")

MEMORY = {"BACKEND": "dlq.MemoryBackend"}


@task
def echo(*args: Any, **kwargs: Any) -> None: ...


@task(enqueue_on_commit=False)
def send_now(to: str) -> None: ...


@pytest.mark.django_db(transaction=True)
class TestInATransaction:
    def test_a_job_is_sent_at_commit(
        self, memory: MemoryBackend, sent: list[tuple[type, TaskResult[..., Any]]]
    ) -> None:
        with transaction.atomic():
            result = echo(1)
            assert (stored(memory), sent) == ([], [])
            assert result.enqueued_at is None
        assert result.enqueued_at is not None
        assert memory.get_result(result.id) == result
        assert sent == [(MemoryBackend, result)]

    def test_its_id_is_known_at_once_and_until_the_commit_its_result_says_why_it_is_missing(
        self, memory: MemoryBackend
    ) -> None:
        with transaction.atomic():
            result = echo(1)
            with pytest.raises(
                TaskResultDoesNotExist,
                match=f"The job {result.id} is sent when the open transaction on 'default' commits",
            ):
                memory.get_result(result.id)
        assert memory.get_result(result.id).id == result.id

    def test_a_rollback_sends_nothing(self, memory: MemoryBackend) -> None:
        with transaction.atomic():
            result = echo(1)
            transaction.set_rollback(True)
        assert stored(memory) == []
        with pytest.raises(TaskResultDoesNotExist, match="was rolled back"):
            memory.get_result(result.id)

    def test_a_rollback_to_a_savepoint_takes_back_what_came_after_it(self, memory: MemoryBackend) -> None:
        with transaction.atomic():
            kept = echo(1)
            with transaction.atomic():
                echo(2)
                transaction.set_rollback(True)
        assert [str(job.id) for job in stored(memory)] == [kept.id]

    def test_a_refusal_is_raised_at_once_and_not_at_commit(self) -> None:
        with transaction.atomic(), pytest.raises(PayloadError):
            echo({1})

    def test_a_task_may_be_sent_at_once(self, memory: MemoryBackend) -> None:
        with transaction.atomic():
            result = send_now("ann")
            assert memory.get_result(result.id) == result
            transaction.set_rollback(True)
        assert len(stored(memory)) == 1

    def test_a_call_may_be_sent_at_once(self, memory: MemoryBackend) -> None:
        with transaction.atomic():
            echo.using(enqueue_on_commit=False).enqueue()
            assert len(stored(memory)) == 1

    def test_a_backend_may_send_everything_at_once_but_for_what_asks_to_wait(
        self, settings: Settings, memory: MemoryBackend
    ) -> None:
        settings.TASKS = {"default": MEMORY | {"OPTIONS": {"enqueue_on_commit": False}}}
        with transaction.atomic():
            at_once = echo(1)
            echo.using(enqueue_on_commit=True).enqueue(2)
            assert [str(job.id) for job in stored(memory)] == [at_once.id]
        assert len(stored(memory)) == 2

    def test_of_many_some_may_wait_and_some_not(self, memory: MemoryBackend) -> None:
        with transaction.atomic():
            waits, goes = memory.enqueue_all([(echo, (1,), {}), (send_now, ("ann",), {})])
            assert [str(job.id) for job in stored(memory)] == [goes.id]
        assert memory.get_results([waits.id, goes.id]) == [waits, goes]

    @pytest.mark.usefixtures("refusing")
    def test_when_the_store_refuses_some_the_others_are_not_sent_at_commit_either(
        self, memory: MemoryBackend
    ) -> None:
        with transaction.atomic(), pytest.raises(EnqueueError):
            memory.enqueue_all([(echo, (1,), {}), (send_now, ("StoreRefused",), {})])
        assert stored(memory) == []

    @pytest.mark.usefixtures("refusing")
    def test_an_error_of_the_store_at_commit_is_raised_by_the_commit(self) -> None:
        with pytest.raises(EnqueueError, match="the store says StoreUnavailable"), transaction.atomic():
            echo("StoreUnavailable")

    def test_outside_a_transaction_a_job_is_sent_at_once(self, memory: MemoryBackend) -> None:
        connection.ensure_connection()
        assert memory.get_result(echo(1).id).args == [1]


@override_settings(TASKS={"default": MEMORY})
class TestUnderTestCase(TestCase):
    def test_jobs_are_sent_when_the_callbacks_are_captured_and_run(self) -> None:
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            result = echo(1)
            assert result.enqueued_at is None
        assert len(callbacks) == 1
        assert echo.get_result(result.id) == result

    def test_a_job_whose_callback_was_run_does_not_wait_for_the_commit_any_more(self) -> None:
        with self.captureOnCommitCallbacks() as callbacks:
            result = echo(1)
        assert on_commit.waiting_ids() == {result.id}
        callbacks[0]()
        assert on_commit.waiting_ids() == frozenset()

    def test_a_batch_is_one_callback(self) -> None:
        with self.captureOnCommitCallbacks() as callbacks:
            results = echo.enqueue_many([((n,), {}) for n in range(10)])
        assert len(callbacks) == 1
        callbacks[0]()
        assert all(result.enqueued_at for result in results)

    def test_jobs_that_do_not_wait_for_the_commit_are_sent_as_in_production(self) -> None:
        result = send_now("ann")
        assert send_now.get_result(result.id) == result


@pytest.mark.django_db
def test_the_fixture_of_pytest_django_sends_jobs_too(
    memory: MemoryBackend, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        echo(1)
    assert len(stored(memory)) == 1


# --- enqueue_on_commit() ---


class JoiningStore(MemoryStore):
    """A store that says that its jobs are part of the transactions of ``default``."""

    database = "default"


@pytest.fixture
def joining(memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    monkeypatch.setitem(memory.stores, "default", JoiningStore())
    return memory


@pytest.mark.django_db(transaction=True)
class TestEnqueueOnCommit:
    def test_a_job_waits_for_the_commit_where_it_could_be_part_of_the_transaction(
        self, joining: MemoryBackend
    ) -> None:
        with transaction.atomic():
            joined = echo("joins")
            waits = enqueue_on_commit(echo, "waits", key=1)
            assert [str(job.id) for job in stored(joining)] == [joined.id]
            with pytest.raises(TaskResultDoesNotExist, match=f"The job {waits.id} is sent when the open"):
                waits.refresh()
        assert joining.get_result(waits.id) == waits
        assert (waits.args, waits.kwargs) == (["waits"], {"key": 1})

    def test_a_job_waits_although_its_task_would_not(self, memory: MemoryBackend) -> None:
        with transaction.atomic():
            enqueue_on_commit(send_now, "ann")
            assert stored(memory) == []
        assert len(stored(memory)) == 1

    def test_a_rollback_sends_nothing(self, joining: MemoryBackend) -> None:
        with transaction.atomic():
            enqueue_on_commit(echo)
            transaction.set_rollback(True)
        assert stored(joining) == []

    def test_outside_a_transaction_a_job_is_sent_at_once(self, joining: MemoryBackend) -> None:
        result = enqueue_on_commit(echo, 1)
        assert joining.get_result(result.id) == result

    def test_a_refusal_is_raised_at_once(self) -> None:
        with transaction.atomic(), pytest.raises(PayloadError):
            enqueue_on_commit(echo, {1})

    def test_a_backend_of_django_s_own_gets_the_job_at_once(self, settings: Settings) -> None:
        settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}
        with transaction.atomic():
            enqueue_on_commit(echo, 1)
            assert len(task_backends["default"].results) == 1


DATABASES = ["default", "other", "third"]


@pytest.mark.parametrize(
    ("opened", "preferred", "waited_for"),
    [
        ([], None, None),
        ([], "default", None),
        (["default"], None, "default"),
        (["other", "default"], None, "default"),
        (["other", "default"], "other", "other"),
        (["default"], "other", "default"),
        (["other", "third"], "default", "other"),
        (["third"], None, "third"),
    ],
)
def test_the_transaction_of_the_store_is_preferred_to_that_of_default_and_that_to_any_other(
    monkeypatch: pytest.MonkeyPatch, opened: list[str], preferred: str | None, waited_for: str | None
) -> None:
    def connections(initialized_only: bool) -> list[SimpleNamespace]:
        return [SimpleNamespace(alias=alias, in_atomic_block=alias in opened) for alias in DATABASES]

    monkeypatch.setattr(on_commit, "connections", SimpleNamespace(all=connections))
    assert on_commit.open_transaction(preferred) == waited_for
