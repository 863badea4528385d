"""Fixtures of the tests of dlq-admin: stores with jobs in them, and people who may do more or less."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.tasks import task_backends
from django.test import Client
from pytest_django import Settings

from dlq import MemoryBackend, QueueBackend
from dlq.backend import _memory_stores
from leftovers import django_db_setup  # noqa: F401  # pytest finds it here

from .browsing import log_in

KINDS = {"memory": "dlq.MemoryBackend", "sqlite": "dlq_db.backends.DatabaseBackend"}


@pytest.fixture(autouse=True)
def _database(db: None) -> None:
    """Users and sessions are in the database, wherever jobs are."""


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, settings: Settings) -> Iterator[QueueBackend]:
    """The default backend, without jobs, in two kinds of store."""
    _memory_stores.clear()
    settings.TASKS = {"default": {"BACKEND": KINDS[request.param]}}
    yield task_backends["default"]
    _memory_stores.clear()


@pytest.fixture
def memory(settings: Settings) -> Iterator[MemoryBackend]:
    """The default backend, in memory, without jobs."""
    _memory_stores.clear()
    settings.TASKS = {"default": {"BACKEND": KINDS["memory"]}}
    yield task_backends["default"]
    _memory_stores.clear()


@pytest.fixture
def admin() -> Client:
    """A browser in which an administrator is logged in."""
    return log_in(administrator=True)


@pytest.fixture
def reader() -> Client:
    """A browser of somebody who may look at the dashboard, and do nothing."""
    return log_in("view_dashboard")
