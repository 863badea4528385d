from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from dlq import ConfigError, MemoryBackend, conf
from dlq.conf import BackendOptions, Retention, WorkerPool
from dlq.selectors import Selector

MEMORY = {"BACKEND": "dlq.MemoryBackend"}
DUMMY = {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}
DAY = 86_400


class DerivedBackend(MemoryBackend):
    """A backend of another package."""


# --- OPTIONS ---


def test_options_have_defaults() -> None:
    assert BackendOptions.parse({}) == BackendOptions()


def test_times_are_seconds_or_timedeltas() -> None:
    options = BackendOptions.parse({"poll_interval": timedelta(milliseconds=250), "heartbeat_interval": 2})
    assert (options.poll_interval, options.heartbeat_interval) == (0.25, 2.0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"retension": {}},
            "OPTIONS['retension'] is unknown. There are: OPTIONS['alive_threshold'], OPTIONS['enqueue_on_commit'], ",
        ),
        ({"poll_interval": "1s"}, "OPTIONS['poll_interval'] is '1s', which is not of the type float."),
        ({"poll_interval": True}, "OPTIONS['poll_interval'] is True, which is not of the type float."),
        ({"poll_interval": -1}, "OPTIONS['poll_interval'] is -1, which must not be negative."),
        ({"poll_interval": timedelta(seconds=-1)}, "which must not be negative"),
        ({"poll_interval": float("nan")}, "OPTIONS['poll_interval'] is nan"),
        ({"poll_interval": 0}, "poll_interval=0 must be more than 0 seconds"),
        ({"heartbeat_interval": 0}, "heartbeat_interval=0 must be more than 0 seconds"),
        ({"max_payload": 1.5}, "OPTIONS['max_payload'] is 1.5, which is not of the type int."),
        ({"max_payload": True}, "OPTIONS['max_payload'] is True, which is not of the type int."),
        ({"max_interruptions": -1}, "OPTIONS['max_interruptions'] is -1, which must not be negative."),
        ({"enqueue_on_commit": 1}, "OPTIONS['enqueue_on_commit'] is 1, which is not of the type bool."),
        ({"retention": 5}, "OPTIONS['retention'] is 5, which is not of the type Retention."),
        (
            {"retention": {"suceeded": 5}},
            "OPTIONS['retention']['suceeded'] is unknown. There are: OPTIONS['retention']['cancelled'], OPTIONS[",
        ),
        (
            {"retention": {"failed": -1}},
            "OPTIONS['retention']['failed'] is -1, which must not be negative.",
        ),
        ("poll_interval=1", "OPTIONS must be a mapping, not 'poll_interval=1'"),
    ],
)
def test_a_wrong_option_is_named_with_its_value(options: Any, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        BackendOptions.parse(options)
    assert says in str(error.value)


def test_one_late_beat_is_no_loss() -> None:
    assert BackendOptions.parse({"heartbeat_interval": 10, "alive_threshold": 30}).alive_threshold == 30
    with pytest.raises(
        ConfigError, match="alive_threshold=29 must be at least three times heartbeat_interval=10"
    ):
        BackendOptions.parse({"heartbeat_interval": 10, "alive_threshold": 29})


@pytest.mark.parametrize(
    ("given", "retention"),
    [
        ({}, Retention(succeeded=DAY, failed=None, cancelled=DAY)),
        ({"succeeded": 0}, Retention(succeeded=0, failed=None, cancelled=DAY)),
        ({"succeeded": None}, Retention(succeeded=None, failed=None, cancelled=DAY)),
        ({"failed": timedelta(days=30)}, Retention(succeeded=DAY, failed=30 * DAY, cancelled=DAY)),
        (Retention(failed=5), Retention(failed=5)),
    ],
)
def test_retention_is_a_time_for_each_state_none_for_ever_and_zero_for_not_at_all(
    given: object, retention: Retention
) -> None:
    assert BackendOptions.parse({"retention": given}).retention == retention


def test_a_backend_says_which_of_them_has_the_wrong_option(memory: MemoryBackend) -> None:
    backend = MemoryBackend("emails", {"OPTIONS": {"max_payload": "1M"}})
    with pytest.raises(ConfigError, match=r"""TASKS\["emails"\]: OPTIONS\['max_payload'\] is '1M'"""):
        _ = backend.config


# --- DLQ_* ---


def test_settings_are_read_as_they_are_now(settings: Settings) -> None:
    settings.DLQ_SHUTDOWN_TIMEOUT = timedelta(minutes=2)
    settings.DLQ_KILL_AFTER = 1
    assert (conf.load().shutdown_timeout, conf.load().kill_after) == (120.0, 1.0)
    settings.DLQ_KILL_AFTER = 3
    assert conf.load().kill_after == 3.0


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        (
            "DLQ_WORKERZ",
            {},
            "DLQ_WORKERZ is unknown. There are: DLQ_KILL_AFTER, DLQ_SHUTDOWN_TIMEOUT, DLQ_WORKERS.",
        ),
        ("DLQ_WORKERS", ["email"], "DLQ_WORKERS is ['email'], which is not of the type Mapping["),
        ("DLQ_SHUTDOWN_TIMEOUT", "30", "DLQ_SHUTDOWN_TIMEOUT is '30', which is not of the type float."),
        ("DLQ_SHUTDOWN_TIMEOUT", None, "DLQ_SHUTDOWN_TIMEOUT is None, which is not of the type float."),
        ("DLQ_KILL_AFTER", -5, "DLQ_KILL_AFTER is -5, which must not be negative."),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(
    settings: Settings, name: str, value: object, says: str
) -> None:
    setattr(settings, name, value)
    with pytest.raises(ConfigError) as error:
        conf.load()
    assert str(error.value).startswith(says)


@pytest.mark.parametrize(
    ("workers", "pool"),
    [
        ({"email": 3}, WorkerPool(selector=Selector("email"), processes=3)),
        ({"a,b*": {"threads": 8}}, WorkerPool(selector=Selector("a,b*"), processes=1, threads=8)),
        ({"*": {"concurrency": 100}}, WorkerPool(selector=Selector("*"), concurrency=100)),
        (
            {"*": {"processes": 2, "backend": "other"}},
            WorkerPool(selector=Selector("*"), processes=2, backend="other"),
        ),
        ({"*": {"backend": None}}, WorkerPool(selector=Selector("*"))),
    ],
)
def test_workers_are_given_as_a_number_of_processes_or_as_a_mapping(
    settings: Settings, workers: dict[str, Any], pool: WorkerPool
) -> None:
    settings.DLQ_WORKERS = workers
    assert conf.load().pools() == [pool]


def test_pools_keep_the_order_of_the_settings(settings: Settings) -> None:
    settings.DLQ_WORKERS = {"b": 1, "a": 2, "*": 1}
    assert [pool.selector.text for pool in conf.load().pools()] == ["b", "a", "*"]


def test_one_process_for_every_queue_is_the_default() -> None:
    assert conf.Settings().pools() == [WorkerPool(selector=Selector("*"), processes=1)]


@pytest.mark.parametrize(
    ("workers", "says"),
    [
        (
            {"email": 0},
            "DLQ_WORKERS['email'] must have at least one process and one thread; leave the entry out",
        ),
        ({"email": {"threads": 0}}, "DLQ_WORKERS['email'] must have at least one process and one thread"),
        ({"email": -1}, "DLQ_WORKERS['email']['processes'] is -1, which must not be negative."),
        ({"email": True}, "DLQ_WORKERS['email']['processes'] is True, which is not of the type int."),
        ({"email": "3"}, "DLQ_WORKERS['email'] is '3'; it must be a number of processes or a mapping"),
        ({"email": None}, "DLQ_WORKERS['email'] is None; it must be a number of processes or a mapping"),
        (
            {"email": {"process": 3}},
            "DLQ_WORKERS['email']['process'] is unknown. There are: DLQ_WORKERS['email']['backend'], DLQ_WORKERS[",
        ),
        ({"email": {"selector": "a"}}, "it must be a number of processes or a mapping"),
        (
            {"email": {"backend": 3}},
            "DLQ_WORKERS['email']['backend'] is 3, which is not of the type str | None.",
        ),
        ({"a*b": 1}, "'a*b' in the queue selector 'a*b' is neither a queue name"),
        ({7: 1}, "DLQ_WORKERS[7] must have a queue selector as its key"),
    ],
)
def test_a_wrong_pool_is_named_with_its_value(settings: Settings, workers: Any, says: str) -> None:
    settings.DLQ_WORKERS = workers
    with pytest.raises(ConfigError) as error:
        conf.load().pools()
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("given", "kind", "slots"),
    [
        ({}, "process", 1),
        ({"threads": 8}, "threads", 8),
        ({"concurrency": 50, "threads": 2}, "coroutines", 50),
    ],
)
def test_a_pool_has_one_kind_and_a_number_of_slots(given: dict[str, int], kind: str, slots: int) -> None:
    pool = WorkerPool(selector=Selector("*"), **given)
    assert (pool.kind, pool.slots) == (kind, slots)


# --- Which backends are ours ---


def test_aliases_of_other_backends_are_none_of_our_business(settings: Settings) -> None:
    settings.TASKS = {
        "default": DUMMY,
        "ours": MEMORY,
        "derived": {"BACKEND": f"{__name__}.DerivedBackend"},
        "missing": {"BACKEND": "does.not.exist"},
        "function": {"BACKEND": "django.tasks.task"},
        "empty": {},
    }
    assert conf.our_aliases() == ["ours", "derived"]


def alias_of(selector: str, backend: str | None = None) -> str:
    return conf.pool_alias(WorkerPool(selector=Selector(selector), backend=backend))


def test_a_pool_works_for_the_backend_that_it_names(settings: Settings) -> None:
    settings.TASKS = {"default": MEMORY, "emails": MEMORY | {"QUEUES": ["email"]}}
    assert alias_of("email", backend="default") == "default"


def test_a_pool_works_for_the_backend_whose_queues_name_one_of_its_own(settings: Settings) -> None:
    settings.TASKS = {"default": MEMORY, "emails": MEMORY | {"QUEUES": ["email", "sms"]}}
    assert alias_of("sms") == alias_of("em*") == "emails"


def test_other_pools_work_for_the_default_backend(settings: Settings) -> None:
    settings.TASKS = {"emails": MEMORY | {"QUEUES": ["email"]}, "default": MEMORY}
    assert alias_of("reports") == "default"


def test_where_the_default_backend_is_not_ours_pools_work_for_the_first_that_is(settings: Settings) -> None:
    settings.TASKS = {"default": DUMMY, "jobs": MEMORY, "others": MEMORY}
    assert alias_of("*") == "jobs"


@pytest.mark.parametrize("backend", ["default", "typo"])
def test_a_pool_cannot_work_for_a_backend_that_is_not_ours(settings: Settings, backend: str) -> None:
    settings.TASKS = {"default": DUMMY, "jobs": MEMORY}
    with pytest.raises(
        ConfigError, match=f"names the backend '{backend}' for 'a,b'.*backends of DLQ.* are: jobs"
    ):
        alias_of("a,b", backend=backend)


def test_without_a_backend_of_ours_the_error_has_the_line_to_add(settings: Settings) -> None:
    settings.TASKS = {"default": DUMMY}
    with pytest.raises(
        ConfigError, match=r'TASKS = \{"default": \{"BACKEND": "dlq_db.backends.DatabaseBackend"'
    ):
        alias_of("*")
