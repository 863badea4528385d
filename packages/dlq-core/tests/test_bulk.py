from typing import Any

import pytest
from django.db import transaction
from django.tasks.exceptions import InvalidTask
from pytest_django import Settings

from dlq import EnqueueError, MemoryBackend, PayloadError, TaskResult, task
from dlq.store import MemoryStore

pytestmark = pytest.mark.usefixtures("memory")

Sent = list[tuple[type, TaskResult[..., Any]]]


@task(queue="email")
def send(to: Any, subject: str = "") -> None: ...


def arguments(sent: Sent) -> list[list[Any]]:
    return [result.args for _, result in sent]


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many jobs the store was given at a time."""
    sizes: list[int] = []
    enqueue = MemoryStore.enqueue

    def count(self: MemoryStore, jobs: Any, **kwargs: Any) -> Any:
        sizes.append(len(jobs))
        return enqueue(self, jobs, **kwargs)

    monkeypatch.setattr(MemoryStore, "enqueue", count)
    return sizes


@pytest.mark.parametrize(
    ("calls", "sizes"), [(0, []), (1, [1]), (2, [2]), (3, [2, 1]), (5, [2, 2, 1])], ids=str
)
def test_jobs_are_sent_by_the_batch_and_the_rest_at_the_end(
    batches: list[int], sent: Sent, calls: int, sizes: list[int]
) -> None:
    with send.bulk_enqueue(batch_size=2) as enqueue:
        for number in range(calls):
            enqueue(number, subject="hello")
            assert sum(batches) == (number + 1) // 2 * 2
    assert batches == sizes
    assert arguments(sent) == [[number] for number in range(calls)]
    assert all(result.kwargs == {"subject": "hello"} for _, result in sent)


def test_a_thousand_are_one_batch(batches: list[int]) -> None:
    with send.bulk_enqueue() as enqueue:
        for number in range(1001):
            enqueue(number)
    assert batches == [1000, 1]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_block_that_raises_drops_what_was_not_sent(sent: Sent, error: type[BaseException]) -> None:
    def raise_after_three() -> None:
        with send.bulk_enqueue(batch_size=2) as enqueue:
            for number in range(3):
                enqueue(number)
            raise error

    with pytest.raises(error):
        raise_after_three()
    assert arguments(sent) == [[0], [1]]


def test_the_queue_may_be_another(sent: Sent) -> None:
    with send.bulk_enqueue(queue_override="slow") as enqueue:
        enqueue("ann")
    assert [result.task for _, result in sent] == [send.using(queue="slow")]


def test_a_queue_that_the_backend_does_not_have_is_refused_before_the_block(settings: Settings) -> None:
    settings.TASKS = {"default": {"BACKEND": "dlq.MemoryBackend", "QUEUES": ["email"]}}
    with pytest.raises(InvalidTask, match="Queue 'slow' is not valid"):
        send.bulk_enqueue(queue_override="slow")


@pytest.mark.parametrize("size", [0, -1, 1.5, "10", True, None])
def test_a_batch_has_a_size(size: Any) -> None:
    with pytest.raises(ValueError, match=f"batch_size={size!r} must be a whole number from 1"):
        send.bulk_enqueue(batch_size=size)


def test_a_job_keeps_the_arguments_that_it_was_given(sent: Sent) -> None:
    row = {"to": "ann"}
    with send.bulk_enqueue() as enqueue:
        enqueue(row)
        row["to"] = "bob"
        enqueue(row)
    assert arguments(sent) == [[{"to": "ann"}], [{"to": "bob"}]]


def test_arguments_that_are_not_json_are_refused_where_they_are_given(sent: Sent) -> None:
    with send.bulk_enqueue() as enqueue:
        enqueue("ann")
        with pytest.raises(PayloadError, match=r"args\[0\] is \{1, 2\}"):
            enqueue({1, 2})
        enqueue("bob")
    assert arguments(sent) == [["ann"], ["bob"]]


def test_nothing_can_be_enqueued_when_the_block_has_ended(sent: Sent) -> None:
    with send.bulk_enqueue() as enqueue:
        enqueue("ann")
    with pytest.raises(RuntimeError, match="never sent"):
        enqueue("bob")
    assert arguments(sent) == [["ann"]]


@pytest.mark.usefixtures("refusing")
def test_a_batch_that_the_store_refuses_is_told_to_the_block(sent: Sent) -> None:
    with send.bulk_enqueue(batch_size=2) as enqueue:
        enqueue("ann")
        with pytest.raises(EnqueueError, match="StoreUnavailable"):
            enqueue("StoreUnavailable")
        enqueue("bob")
    assert arguments(sent) == [["bob"]]


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_all_wait_for_the_commit(memory: MemoryBackend, sent: Sent) -> None:
    with transaction.atomic():
        with send.bulk_enqueue(batch_size=2) as enqueue:
            for number in range(3):
                enqueue(number)
        assert sent == []
    assert arguments(sent) == [[0], [1], [2]]
