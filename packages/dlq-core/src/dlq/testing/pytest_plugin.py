"""Fixtures for pytest, found by it wherever dlq-core is installed. They need Django's settings, not pytest-django."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dlq.backend import MemoryBackend
    from dlq.synchronous import SynchronousBackend

__all__ = ["dlq_eager", "dlq_jobs"]

# The imports stand in the fixtures: pytest loads this before Django has its settings.


@pytest.fixture
def dlq_jobs() -> Iterator[MemoryBackend]:
    """Jobs are kept in memory, and there are none yet: see ``dlq.testing.in_memory``."""
    from dlq.testing.backends import in_memory

    with in_memory() as backend:
        yield backend


@pytest.fixture
def dlq_eager() -> Iterator[SynchronousBackend]:
    """Jobs run where they are enqueued: see ``dlq.testing.eager``."""
    from dlq.testing.backends import eager

    with eager() as backend:
        yield backend
