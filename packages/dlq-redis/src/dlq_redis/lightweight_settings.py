"""The settings of django-lightweight-queue, said in those of DLQ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pprint import pformat
from typing import Any
from urllib.parse import quote

__all__ = ["PREFIXES", "translated"]

PREFIXES = ("LIGHTWEIGHT_QUEUE_", "DQUEUE_")
"""What the names of its settings, and of those of its fork, begin with."""

_BACKENDS = {
    "synchronous.SynchronousBackend": "dlq.synchronous.SynchronousBackend",
    "redis.RedisBackend": "dlq_redis.backends.RedisBackend",
    "reliable_redis.ReliableRedisBackend": "dlq_redis.backends.ReliableRedisBackend",
    "debug_web.DebugWebBackend": "dlq.contrib.debug_web.DebugWebBackend",
}
_OWN_MIDDLEWARE = ("django_lightweight_queue.", "dqueue.")
_SERVER = ("REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "REDIS_DATABASE")


def translated(old: Mapping[str, Any]) -> str:
    """Python for a settings file that does what these settings did; their names are without the prefix.

    What has no counterpart, and what is not known, is named in comments.
    """
    lines = [f"TASKS = {pformat(_tasks(old), sort_dicts=False, width=100)}"]
    for name, value in old.items():
        lines += _SAYINGS.get(name, _unknown)(name, value)
    if "ATOMIC_JOBS" not in old:
        lines += _atomic("ATOMIC_JOBS", True)
    return "\n".join(lines) + "\n"


def _tasks(old: Mapping[str, Any]) -> dict[str, Any]:
    default = _backend(old.get("BACKEND", "synchronous.SynchronousBackend"), old)
    tasks = {"default": default}
    queues: dict[str, list[str]] = {}
    for queue, path in old.get("BACKEND_OVERRIDES", {}).items():
        queues.setdefault(path, []).append(queue)
    for path, names in queues.items():
        alias = _class_of(path).split(".")[0]
        tasks[alias] = {**_backend(path, old), "QUEUES": sorted(names)}
    return tasks


def _backend(path: str, old: Mapping[str, Any]) -> dict[str, Any]:
    backend = _BACKENDS.get(_class_of(path), path)
    return (
        {"BACKEND": backend, "OPTIONS": {"url": _url(old)}}
        if ".backends." in backend
        else {"BACKEND": backend}
    )


def _class_of(path: str) -> str:
    """The module and the class of a backend: ``redis.RedisBackend``."""
    return ".".join(path.split(".")[-2:])


def _url(old: Mapping[str, Any]) -> str:
    host, port, password, database = (old.get(name) for name in _SERVER)
    secret = f":{quote(password, safe='')}@" if password else ""
    return f"redis://{secret}{host or '127.0.0.1'}:{port or 6379}/{database or 0}"


def _nothing(name: str, value: Any) -> Iterator[str]:
    """It is part of ``TASKS``."""
    yield from ()


def _renamed(new: str) -> Callable[[str, Any], Iterator[str]]:
    def say(name: str, value: Any) -> Iterator[str]:
        yield f"{new} = {pformat(value, sort_dicts=False, width=100)}"

    return say


def _atomic(name: str, value: Any) -> Iterator[str]:
    yield f"DLQ_ATOMIC = {bool(value)}  # The default of DLQ is False."


def _middleware(name: str, value: Any) -> Iterator[str]:
    if theirs := [path for path in value if not path.startswith(_OWN_MIDDLEWARE)]:
        yield f"DLQ_MIDDLEWARE = {theirs!r}"


def _logger_factory(name: str, value: Any) -> Iterator[str]:
    if value != "logging.getLogger":
        yield f"DLQ_LOGGER_FACTORY = {value!r}"


def _prefix(name: str, value: Any) -> Iterator[str]:
    yield f"# Keys are apart from the old ones. To move the jobs: queue_import_lightweight --prefix {value!r}"


def _metrics(name: str, value: Any) -> Iterator[str]:
    if value:
        yield f"# {name} = {value!r}: install dlq-metrics, whose runners serve /metrics."


def _unknown(name: str, value: Any) -> Iterator[str]:
    yield f"# {name} = {value!r} is no setting that is known, and has no counterpart."


_SAYINGS: Mapping[str, Callable[[str, Any], Iterator[str]]] = {
    **dict.fromkeys(("BACKEND", "BACKEND_OVERRIDES", *_SERVER), _nothing),
    "WORKERS": _renamed("DLQ_WORKERS"),
    "IGNORE_APPS": _renamed("DLQ_IGNORE_APPS"),
    "SITE_URL": _renamed("DLQ_SITE_URL"),
    "ATOMIC_JOBS": _atomic,
    "MIDDLEWARE": _middleware,
    "LOGGER_FACTORY": _logger_factory,
    "REDIS_PREFIX": _prefix,
    "ENABLE_PROMETHEUS": _metrics,
    "PROMETHEUS_START_PORT": _metrics,
}
