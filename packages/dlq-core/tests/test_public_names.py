from types import ModuleType

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.tasks.exceptions import InvalidTask

import dlq
from dlq import errors

PUBLIC_NAMES = [
    "Attempt",
    "Backoff",
    "CallableRefused",
    "Concurrency",
    "ConfigError",
    "Counted",
    "Discard",
    "DlqError",
    "EnqueueError",
    "EnqueueUnanswered",
    "Expired",
    "Exponential",
    "Failure",
    "InvalidOption",
    "JobCancelled",
    "JobContext",
    "JobFilter",
    "JobNotFinished",
    "KeyRefused",
    "MemoryBackend",
    "PayloadError",
    "PayloadTooLarge",
    "QueueBackend",
    "QueueInfo",
    "Retry",
    "Snooze",
    "State",
    "StoreError",
    "StoreNotReady",
    "StoreRefused",
    "StoreUnavailable",
    "SynchronousBackend",
    "Task",
    "TaskRefused",
    "TaskResult",
    "TaskTimeout",
    "UndiscardableError",
    "Unique",
    "UnknownTask",
    "UpcastFailed",
    "WorkerLost",
    "broadcast",
    "cancel_jobs",
    "contribute_implied_queue_name",
    "copy_job",
    "current_context",
    "discard_jobs",
    "enqueue",
    "enqueue_on_commit",
    "queue_backend",
    "retry_jobs",
    "task",
]


def test_the_public_names_are_these() -> None:
    assert sorted(PUBLIC_NAMES) == PUBLIC_NAMES
    assert dlq.__all__ == PUBLIC_NAMES


def test_nothing_else_is_in_the_package_but_its_modules() -> None:
    names = {name for name, value in vars(dlq).items() if not isinstance(value, ModuleType)}
    assert {name for name in names if not name.startswith("_")} == set(PUBLIC_NAMES)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_in_the_one_tree_and_in_its_drawing(name: str) -> None:
    assert issubclass(getattr(errors, name), errors.DlqError)
    assert f"{name} " in f"{errors.__doc__} ".replace("\n", " ")


@pytest.mark.parametrize(
    ("error", "of_others"),
    [
        (errors.ConfigError, ImproperlyConfigured),
        (errors.InvalidOption, InvalidTask),
        (errors.PayloadError, TypeError),
        (errors.TaskRefused, InvalidTask),
        (errors.TaskTimeout, TimeoutError),
    ],
)
def test_code_that_expects_an_error_of_django_or_python_catches_ours(
    error: type[Exception], of_others: type[Exception]
) -> None:
    assert issubclass(error, of_others)


@pytest.mark.parametrize("error", [errors.PayloadError, errors.PayloadTooLarge, errors.TaskRefused])
def test_one_error_covers_every_refusal_at_enqueue(error: type[Exception]) -> None:
    assert issubclass(error, errors.EnqueueError)
