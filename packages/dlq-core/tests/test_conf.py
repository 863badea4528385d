from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from dlq import ConfigError, MemoryBackend, conf
from dlq.conf import BackendOptions, Retention, WorkerPool
from dlq.parsing import parse
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
            "OPTIONS['retension'] is unknown. There are: OPTIONS['alive_threshold'], OPTIONS['delivery'], ",
        ),
        ({"poll_interval": "1s"}, "OPTIONS['poll_interval'] is '1s', which is not of the type float."),
        (
            {"delivery": "twice"},
            "OPTIONS['delivery'] is 'twice'; it must be one of 'at-least-once', 'at-most-once'.",
        ),
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
            "DLQ_WORKERZ is unknown. There are: DLQ_ATOMIC, DLQ_CALLABLES, DLQ_CONFIG, DLQ_IGNORE_APPS, DLQ_IN_PRO",
        ),
        ("DLQ_WORKERS", ["email"], "DLQ_WORKERS is ['email'], which is not of the type Mapping["),
        ("DLQ_MIDDLEWARE", "a.B", "DLQ_MIDDLEWARE is 'a.B', which is not of the type Sequence[str]."),
        ("DLQ_IGNORE_APPS", ["a", 3], "DLQ_IGNORE_APPS is ['a', 3], which is not of the type Sequence[str]."),
        (
            "DLQ_LOGGER_FACTORY",
            3,
            "DLQ_LOGGER_FACTORY is 3, which is not of the type Callable[..., Any] | str | None",
        ),
        ("DLQ_ATOMIC", 1, "DLQ_ATOMIC is 1, which is not of the type bool."),
        (
            "DLQ_ON_ERROR",
            print,
            "DLQ_ON_ERROR is <built-in function print>, which is not of the type str | None.",
        ),
        ("DLQ_SKIP_CRON", "no", "DLQ_SKIP_CRON is 'no', which is not of the type bool."),
        ("DLQ_IN_PROCESS", None, "DLQ_IN_PROCESS is None, which is not of the type bool."),
        ("DLQ_CONFIG", "", "DLQ_CONFIG is '', which is not of the type Path | None."),
        (
            "DLQ_METRICS_ADDRESS",
            "9808",
            "DLQ_METRICS_ADDRESS is '9808'; it must be a host and a port, such as '127.0.0.1:9808'",
        ),
        ("DLQ_METRICS_TOKEN", "", "DLQ_METRICS_TOKEN is empty; give it a long secret"),
        (
            "DLQ_SITE_URL",
            "localhost:8000",
            "DLQ_SITE_URL is 'localhost:8000'; it must begin with http:// or https://",
        ),
        ("DLQ_CALLABLES", ["send"], "DLQ_CALLABLES has 'send', which is neither a dotted path"),
        ("DLQ_CALLABLES", ["shop.*.send"], "DLQ_CALLABLES has 'shop.*.send', which is neither"),
        ("DLQ_CALLABLES", ["*"], "DLQ_CALLABLES has '*', which is neither"),
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


def test_one_process_for_every_queue_is_the_default() -> None:
    assert conf.Settings().pools() == [WorkerPool(selector=Selector("*"), processes=1)]


def test_every_setting_has_a_default_of_its_type() -> None:
    given = asdict(conf.Settings())
    assert parse(conf.Settings, given, str) == conf.Settings()


def test_lists_and_paths_are_converted(settings: Settings) -> None:
    settings.DLQ_MIDDLEWARE = ["a.B", "c.D"]
    settings.DLQ_CONFIG = "/etc/dlq.toml"
    assert conf.load().middleware == ("a.B", "c.D")
    assert conf.load().config == Path("/etc/dlq.toml")


@pytest.mark.parametrize("pattern", ["shop.mail.send", "shop.mail.*", "_a.b2"])
def test_a_callable_is_allowed_by_its_path_or_with_all_of_its_module(
    settings: Settings, pattern: str
) -> None:
    settings.DLQ_CALLABLES = [pattern]
    assert conf.load().callables == (pattern,)


# --- The environment ---


@pytest.mark.parametrize(
    ("word", "value"), [("1", True), ("True", True), ("yes", True), ("0", False), ("no", False)]
)
def test_the_environment_wins_over_the_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, word: str, value: bool
) -> None:
    settings.DLQ_SKIP_CRON = settings.DLQ_IN_PROCESS = not value
    monkeypatch.setenv("DLQ_SKIP_CRON", word)
    monkeypatch.setenv("DLQ_IN_PROCESS", word)
    assert (conf.load().skip_cron, conf.load().in_process) == (value, value)


@pytest.mark.parametrize("word", ["", "2", "maybe", " 1"])
def test_an_environment_that_says_neither_yes_nor_no_is_refused(
    monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setenv("DLQ_SKIP_CRON", word)
    with pytest.raises(
        ConfigError, match=f"DLQ_SKIP_CRON='{word}'; it must be one of 1, true, yes, 0, false, no"
    ):
        conf.load()


def test_an_empty_name_of_a_file_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLQ_CONFIG", "")
    with pytest.raises(ConfigError, match="empty DLQ_CONFIG"):
        conf.load()


def test_each_setting_knows_where_it_comes_from(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DLQ_KILL_AFTER = 1
    settings.DLQ_SKIP_CRON = True
    monkeypatch.setenv("DLQ_SKIP_CRON", "0")
    assert conf.origins() == {"kill_after": "settings", "skip_cron": "environment"}


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


def test_a_bare_wildcard_names_no_queue(settings: Settings) -> None:
    settings.TASKS = {"emails": MEMORY | {"QUEUES": ["email"]}, "default": MEMORY}
    assert alias_of("*") == alias_of("reports,*") == alias_of("*,!email") == "default"
    assert alias_of("email,*") == "emails"


def test_an_excluded_queue_says_nothing_of_the_backend(settings: Settings) -> None:
    settings.TASKS = {"emails": MEMORY | {"QUEUES": ["email"]}, "default": MEMORY}
    assert alias_of("e*,!email") == "default"


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
