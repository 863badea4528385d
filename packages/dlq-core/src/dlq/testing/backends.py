"""Other backends for the time of a test, in the place of those that ``TASKS`` names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from django.test import override_settings

from dlq import conf
from dlq.backend import MemoryBackend, queue_backend
from dlq.synchronous import SynchronousBackend

__all__ = ["eager", "in_memory"]

COMMON = {option.name for option in fields(conf.BackendOptions)}


@contextmanager
def in_memory() -> Iterator[MemoryBackend]:
    """Keep the jobs of the block in memory, where none is at first; gives the backend under ``default``.

    Every backend of ours is replaced. Nothing runs by itself: see ``run_jobs`` and ``drain``. Afterwards all is as
    before, and the jobs are gone.
    """
    with _replaced("dlq.MemoryBackend", MemoryBackend, {}):
        backend = queue_backend()
        assert isinstance(backend, MemoryBackend)
        yield backend


@contextmanager
def eager() -> Iterator[SynchronousBackend]:
    """Run the jobs of the block where they are enqueued; gives the backend under ``default``.

    Every backend of ours is replaced by ``dlq.synchronous.SynchronousBackend``, so arguments and results still go
    through JSON, and what a task raises is recorded in its result. Jobs do not wait for a commit, because that of
    a TestCase never comes, unless their task says ``enqueue_on_commit=True``.
    """
    with _replaced("dlq.synchronous.SynchronousBackend", SynchronousBackend, {"enqueue_on_commit": False}):
        backend = queue_backend()
        assert isinstance(backend, SynchronousBackend)
        yield backend


@contextmanager
def _replaced(path: str, backend: type[MemoryBackend], options: Mapping[str, Any]) -> Iterator[None]:
    ours = conf.our_aliases()
    replaced = {alias: _params(path, conf.tasks().get(alias, {}), options) for alias in ["default", *ours]}
    before = backend.stores.copy()
    backend.stores.clear()
    try:
        with override_settings(TASKS={**conf.tasks(), **replaced}):
            yield
    finally:
        backend.stores.clear()
        backend.stores.update(before)


def _params(path: str, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    # What a store alone understands would be refused by another.
    kept = {name: value for name, value in params.get("OPTIONS", {}).items() if name in COMMON}
    return {"BACKEND": path, "QUEUES": params.get("QUEUES", []), "OPTIONS": {**kept, **options}}
