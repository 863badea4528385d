from __future__ import annotations

import pytest
from pytest_django import Settings

from dlq import MemoryBackend, queue_backend
from leftovers import django_db_setup  # noqa: F401  # pytest finds it here


@pytest.fixture
def memory(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    """The default backend, in memory and empty."""
    monkeypatch.setattr(MemoryBackend, "stores", {})
    settings.TASKS = {"default": {"BACKEND": "dlq.MemoryBackend"}}
    backend = queue_backend()
    assert isinstance(backend, MemoryBackend)
    return backend
