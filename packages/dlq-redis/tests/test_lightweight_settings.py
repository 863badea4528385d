"""``queue_settings_lightweight``: the settings of django-lightweight-queue, said in those of DLQ."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from dlq import conf
from dlq_redis.lightweight_settings import translated


def said(**old: Any) -> dict[str, Any]:
    """What the printed settings are when they are read."""
    found: dict[str, Any] = {}
    exec(translated(old), found)
    return {name: value for name, value in found.items() if name.isupper()}


def test_workers_apps_and_the_server_are_taken_over() -> None:
    new = said(
        BACKEND="django_lightweight_queue.backends.reliable_redis.ReliableRedisBackend",
        WORKERS={"email": 3, "default": 1},
        IGNORE_APPS=("legacy",),
        REDIS_HOST="redis.internal",
        REDIS_PASSWORD="p@ss/word",
        REDIS_DATABASE=4,
        ATOMIC_JOBS=False,
    )
    assert new == {
        "TASKS": {
            "default": {
                "BACKEND": "dlq_redis.backends.ReliableRedisBackend",
                "OPTIONS": {"url": "redis://:p%40ss%2Fword@redis.internal:6379/4"},
            }
        },
        "DLQ_WORKERS": {"email": 3, "default": 1},
        "DLQ_IGNORE_APPS": ("legacy",),
        "DLQ_ATOMIC": False,
    }


def test_jobs_stay_atomic_where_nothing_was_said() -> None:
    assert said(WORKERS={})["DLQ_ATOMIC"] is True


def test_a_backend_of_its_own_for_a_queue_becomes_an_alias_with_these_queues() -> None:
    tasks = said(
        BACKEND="django_lightweight_queue.backends.redis.RedisBackend",
        BACKEND_OVERRIDES={
            "pay": "django_lightweight_queue.backends.reliable_redis.ReliableRedisBackend",
            "mail": "django_lightweight_queue.backends.reliable_redis.ReliableRedisBackend",
            "now": "django_lightweight_queue.backends.synchronous.SynchronousBackend",
        },
    )["TASKS"]
    assert tasks["default"]["BACKEND"] == "dlq_redis.backends.RedisBackend"
    assert tasks["reliable_redis"]["QUEUES"] == ["mail", "pay"]
    assert tasks["synchronous"] == {"BACKEND": "dlq.synchronous.SynchronousBackend", "QUEUES": ["now"]}


def test_middleware_of_the_old_package_is_left_out() -> None:
    theirs = "shop.middleware.Tracing"
    assert "DLQ_MIDDLEWARE" not in said(
        MIDDLEWARE=("django_lightweight_queue.middleware.logging.LoggingMiddleware",)
    )
    assert said(MIDDLEWARE=("django_lightweight_queue.middleware.logging.X", theirs))["DLQ_MIDDLEWARE"] == [
        theirs
    ]


def test_what_has_no_counterpart_is_named() -> None:
    text = translated({"ENABLE_PROMETHEUS": True, "REDIS_PREFIX": "shop", "COLOUR": "blue"})
    assert "dlq-metrics" in text
    assert "--prefix 'shop'" in text
    assert "# COLOUR = 'blue' is no setting that is known" in text


@pytest.mark.parametrize("prefix", ["LIGHTWEIGHT_QUEUE_", "DQUEUE_"])
def test_what_the_command_prints_is_what_dlq_accepts(
    prefix: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    setattr(settings, f"{prefix}WORKERS", {"mail*": 2})
    setattr(settings, f"{prefix}BACKEND", "django_lightweight_queue.backends.redis.RedisBackend")
    call_command("queue_settings_lightweight")
    new: dict[str, Any] = {}
    exec(capsys.readouterr().out, new)
    for name in ("TASKS", "DLQ_WORKERS", "DLQ_ATOMIC"):
        setattr(settings, name, new[name])
    (pool,) = conf.load().pools()
    assert (pool.selector.text, pool.processes, conf.our_aliases()) == ("mail*", 2, ["default"])


def test_a_site_without_such_settings_is_told_so() -> None:
    with pytest.raises(CommandError, match="LIGHTWEIGHT_QUEUE_"):
        call_command("queue_settings_lightweight")
