"""Fixtures of the tests of dlq-core."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import hypothesis
import pytest
from django.tasks import task_backends
from django.tasks.signals import task_enqueued
from pytest_django import Settings

from dlq import MemoryBackend, StoreNotReady, StoreRefused, StoreUnavailable, TaskResult
from dlq.backend import _memory_stores
from dlq.job import NewJob
from dlq.store import MemoryStore
from leftovers import django_db_setup  # noqa: F401  # pytest finds it here

# A machine that is busy is slow, not wrong.
hypothesis.settings.register_profile("without deadlines", deadline=None)
hypothesis.settings.load_profile("without deadlines")


@pytest.fixture(autouse=True)
def quick_ears(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who listens ends soon when a test does."""
    monkeypatch.setattr("dlq.runtime.ear.AT_A_TIME", 0.02)


@pytest.fixture
def memory(settings: Settings) -> MemoryBackend:
    """The default backend: jobs in memory, and none there yet."""
    _memory_stores.clear()
    settings.TASKS = {"default": {"BACKEND": "dlq.MemoryBackend"}}
    return task_backends["default"]


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store fails as a database or Redis would, when a job has the name of an error as an argument."""
    enqueue = MemoryStore.enqueue

    def refuse(self: MemoryStore, jobs: Sequence[NewJob], *, now: datetime | None = None) -> datetime:
        for error in (StoreUnavailable, StoreNotReady, StoreRefused):
            if any(error.__name__ in job.payload for job in jobs):
                raise error(f"the store says {error.__name__}")
        return enqueue(self, jobs, now=now)

    monkeypatch.setattr(MemoryStore, "enqueue", refuse)


@pytest.fixture
def sent() -> Iterator[list[tuple[type, TaskResult[..., Any]]]]:
    """What ``task_enqueued`` told its receivers: senders and results."""
    heard: list[tuple[type, TaskResult[..., Any]]] = []

    def hear(sender: type, task_result: TaskResult[..., Any], **kwargs: Any) -> None:
        heard.append((sender, task_result))

    task_enqueued.connect(hear)
    yield heard
    task_enqueued.disconnect(hear)
