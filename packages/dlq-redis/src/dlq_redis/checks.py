"""System checks that ask the servers: only for ``manage.py check --deploy``, for others must work without them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.tasks import task_backends

from dlq.errors import ConfigError, StoreError
from dlq_redis.backends import ReliableRedisBackend
from dlq_redis.store import RedisStore

__all__ = ["check_servers"]


def check_servers(**kwargs: Any) -> list[checks.CheckMessage]:
    """Whether each server can be used, and what its settings put at stake."""
    backends = [backend for backend in task_backends.all() if isinstance(backend, ReliableRedisBackend)]
    return [message for backend in backends for message in _found(backend)]


def _found(backend: ReliableRedisBackend) -> Iterator[checks.CheckMessage]:
    where = f'TASKS["{backend.alias}"]'
    try:
        store: RedisStore = backend.make_store()
    except ConfigError:
        return  # The backend's own check says so.
    try:
        store.ping()
        found = store.advice()
    except StoreError as error:
        yield checks.Error(f"{where}: {error}", id="dlq_redis.E001")
        return
    for each in found:
        yield checks.Warning(f"{where}: {store.server.name}: {each.text}.", hint=each.remedy, id=each.id)
