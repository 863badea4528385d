import pytest
from django.db import transaction
from django.tasks import task as django_task
from django.test import TestCase

from dlq import State, task
from dlq.testing import assert_enqueued, assert_not_enqueued, enqueued, in_memory, run_jobs


@task(queue="email")
def send(to: str, copies: object = ()) -> None: ...


@task
def other(n: int = 0) -> None: ...


@django_task
def of_django() -> None: ...


class TestAssertions(TestCase):
    def setUp(self) -> None:
        self.backend = self.enterContext(in_memory())
        with self.captureOnCommitCallbacks(execute=True):
            send("ann", copies=(1, 2))
            send.using(queue="slow").enqueue("bob")
            other(5)

    def test_jobs_are_listed_in_the_order_of_their_enqueue(self) -> None:
        assert [job.task for job in enqueued()] == [send.module_path, send.module_path, other.module_path]
        assert [job.queue for job in enqueued(send)] == ["email", "slow"]
        assert enqueued(of_django) == []

    def test_jobs_that_are_there_are_found(self) -> None:
        assert_enqueued(send)
        assert_enqueued(send, count=2)
        assert_enqueued(send, args=["ann"], kwargs={"copies": [1, 2]}, count=1)
        assert_enqueued(send, args=("bob",), kwargs={}, queue="slow")
        assert_enqueued(send, kwargs={"copies": (1, 2)}, queue="email")
        assert_enqueued(other, args=[5])
        assert_enqueued(of_django, count=0)

    def test_jobs_that_are_not_there_are_not(self) -> None:
        assert_not_enqueued(of_django)
        assert_not_enqueued(send, args=["eve"])
        assert_not_enqueued(send, args=["ann"], queue="slow")
        assert_not_enqueued(send, args=[], kwargs={})

    def test_jobs_that_have_run_count_too(self) -> None:
        assert run_jobs() == 3
        assert_enqueued(send, args=["bob"])
        assert {job.state for job in enqueued()} == {State.SUCCEEDED}

    def test_a_failure_says_what_was_asked_for_and_what_is_there(self) -> None:
        with pytest.raises(AssertionError) as failure:
            assert_enqueued(send, args=["eve"], queue="email")
        assert str(failure.value).splitlines() == [
            f"There is no job of {send.module_path} with args=['eve'], queue='email'.",
            "Backend 'default' has 3 jobs:",
            f"  {send.module_path} args=['ann'] kwargs={{'copies': [1, 2]}} queue='email' (ready)",
            f"  {send.module_path} args=['bob'] kwargs={{}} queue='slow' (ready)",
            f"  {other.module_path} args=[5] kwargs={{}} queue='default' (ready)",
        ]

    def test_a_wrong_number_is_a_failure(self) -> None:
        with pytest.raises(AssertionError, match=r"There are 2 jobs of .*send, not 1\."):
            assert_enqueued(send, count=1)
        with pytest.raises(AssertionError, match=r"There is 1 job of .*other, not 0\."):
            assert_enqueued(other, count=0)
        with pytest.raises(AssertionError, match=r"There is no job of .*of_django, not 3\."):
            assert_enqueued(of_django, count=3)

    def test_a_job_that_should_not_be_there_is_a_failure(self) -> None:
        with pytest.raises(
            AssertionError, match=r"(?s)There is 1 job of .*other with args=\[5\]\..*has 3 jobs"
        ):
            assert_not_enqueued(other, args=[5])

    def test_a_failure_says_that_jobs_wait_for_a_commit(self) -> None:
        with self.captureOnCommitCallbacks():
            send("eve")
            with pytest.raises(
                AssertionError, match=r"1 more are sent when .*captureOnCommitCallbacks\(execute"
            ):
                assert_enqueued(send, args=["eve"])

    def test_a_job_of_another_backend_is_looked_for_there(self) -> None:
        with self.settings(TASKS={name: {"BACKEND": "dlq.MemoryBackend"} for name in ("default", "second")}):
            with self.captureOnCommitCallbacks(execute=True):
                send.using(backend="second").enqueue("eve")
            assert_enqueued(send, args=["eve"], backend="second")
            assert_enqueued(send.using(backend="second"), args=["eve"])
            assert_not_enqueued(send, args=["eve"])
            assert [job.queue for job in enqueued(backend="second")] == ["email"]

    def test_more_jobs_than_fit_a_page_are_counted(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            other.enqueue_many([((n,), {}) for n in range(1200)])
        assert_enqueued(other, count=1201)


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_job_is_not_there() -> None:
    with in_memory():
        with transaction.atomic():
            other(1)
            transaction.set_rollback(True)
        assert_not_enqueued(other)
