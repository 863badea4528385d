from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from dlq import ConfigError, conf, implied
from dlq.pools import WorkerPool
from dlq.runtime.options import RunnerOptions, runner_options
from dlq.selectors import Selector

MEMORY = {"BACKEND": "dlq.MemoryBackend"}
DUMMY = {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}


@pytest.fixture(autouse=True)
def site(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two backends of ours and one that is not, and an app that implies the queue "cron"."""
    settings.TASKS = {"default": MEMORY, "emails": MEMORY | {"QUEUES": ["email", "sms"]}, "theirs": DUMMY}
    settings.DLQ_WORKERS = {"email": 2, "queue1": 3, "*": {"threads": 4}}
    settings.DLQ_IGNORE_APPS = ["dlq_admin"]  # Its task implies a queue.
    monkeypatch.setattr(implied, "_contributed", {"cron": None, "sms": None})


def options(**arguments: Any) -> RunnerOptions:
    return runner_options(arguments, conf.load())


def workers(**arguments: Any) -> list[tuple[str, int, str | None]]:
    return [(pool.selector.text, pool.processes, pool.backend) for pool in options(**arguments).pools]


# --- Which workers ---


def test_without_arguments_a_runner_runs_everything() -> None:
    assert workers() == [
        ("*", 1, "default"),
        ("email", 2, "emails"),
        ("queue1", 3, "default"),
        ("sms", 1, "emails"),
    ]
    assert options() == RunnerOptions(
        pools=options().pools, aliases=["emails", "default"], upkeep=True, cron=True
    )


def test_a_machine_runs_its_share_of_all_workers_implied_ones_too() -> None:
    assert workers(machine=1, of=3) == [("email", 1, "emails"), ("queue1", 1, "default")]
    assert workers(machine=2, of=3) == [("*", 1, "default"), ("queue1", 1, "default"), ("sms", 1, "emails")]
    assert workers(machine=3, of=3) == [("email", 1, "emails"), ("queue1", 1, "default")]


def test_a_machine_without_workers_keeps_the_backends_up() -> None:
    assert workers(machine=9, of=9) == []
    assert options(machine=9, of=9).aliases == ["emails", "default"]


def test_one_backend_alone() -> None:
    assert workers(backend="emails") == [("email", 2, "emails"), ("sms", 1, "emails")]
    assert options(backend="emails").aliases == ["emails"]


def test_entries_without_processes_are_left_out(settings: Settings) -> None:
    settings.DLQ_WORKERS = {"email": 0, "sms": 0, "*": 1}
    assert workers() == [("*", 1, "default")]
    assert options().aliases == ["default"]


def test_one_queue_alone_keeps_the_settings_of_its_pools(settings: Settings) -> None:
    assert options(only_queue=["report"]).pools == [
        WorkerPool(selector=Selector("report"), threads=4, backend="default")
    ]
    assert workers(only_queue=["queue1"]) == [("queue1", 3, "default"), ("queue1", 1, "default")]


def test_a_queue_of_a_wildcard_stays_with_the_backend_of_the_wildcard(settings: Settings) -> None:
    settings.DLQ_WORKERS = {"*": {"backend": "default"}, "email,sms": 0}
    assert workers(only_queue=["email"]) == [("email", 1, "default")]


def test_several_queues_alone_are_filtered_before_the_deal(settings: Settings) -> None:
    settings.DLQ_WORKERS = {"a": 1, "email": 2, "queue1": 3}
    assert workers(only_queue=["sms", "email", "sms"]) == [("email", 2, "emails"), ("sms", 1, "emails")]
    assert workers(only_queue=["sms", "email"], machine=2, of=3) == [("email", 1, "emails")]
    assert workers(only_queue=["sms", "email"], machine=1, of=3) == [("sms", 1, "emails")]


@pytest.mark.parametrize("queue", ["sms2", "email*"])
def test_a_queue_that_nothing_serves_is_an_error(settings: Settings, queue: str) -> None:
    settings.DLQ_WORKERS = {"email": 0, "queue1": 1}
    with pytest.raises(ConfigError, match=f"--only-queue '?{queue.replace('*', '.')}"):
        options(only_queue=[queue])
    with pytest.raises(
        ConfigError, match=r"--only-queue email: no workers serve it\..*'queue1', 'cron', 'sms'"
    ):
        options(only_queue=["sms", "email"])


def test_exact_configuration_takes_what_the_file_says_and_nothing_else(settings: Settings) -> None:
    settings.DLQ_CONFIG = "server.toml"
    settings.DLQ_WORKERS = {"queue1": 3}
    exact = options(exact_configuration=True)
    assert workers(exact_configuration=True) == [("queue1", 3, "default")]
    assert (exact.aliases, exact.upkeep, exact.cron) == (["default"], True, False)


def test_upkeep_alone_has_no_workers_and_keeps_every_backend_up() -> None:
    assert options(only_upkeep=True) == RunnerOptions(pools=[], aliases=["default", "emails"], upkeep=True)
    assert options(only_upkeep=True, backend="emails").aliases == ["emails"]


# --- The rest ---


@pytest.mark.parametrize(
    ("arguments", "cron"),
    [
        ({}, True),
        ({"machine": 1, "of": 2}, True),
        ({"machine": 2, "of": 2}, True),
        ({"skip_cron": True}, False),
        ({"only_work": True}, False),
        ({"only_upkeep": True}, False),
        ({"only_queue": ["email"]}, True),
        ({"only_queue": []}, True),
        ({"burst": True}, True),
    ],
)
def test_schedules_fire_on_every_machine_but_where_that_is_ruled_out(
    arguments: dict[str, Any], cron: bool
) -> None:
    assert options(**arguments).cron is cron


def test_settings_can_keep_schedules_from_firing(settings: Settings) -> None:
    settings.DLQ_SKIP_CRON = True
    assert options().cron is False


def test_one_queue_of_a_wildcard_is_served_where_the_wildcard_is() -> None:
    assert workers(only_queue=["email"]) == [("email", 2, "emails"), ("email", 1, "default")]


def test_work_alone_has_no_upkeep() -> None:
    assert options(only_work=True).upkeep is False
    assert workers(only_work=True) == workers()


def test_in_process_is_asked_for_by_the_argument_or_the_settings(settings: Settings) -> None:
    assert options(in_process=True).in_process
    settings.DLQ_IN_PROCESS = True
    assert options(in_process=False).in_process


def test_the_other_arguments_are_handed_on() -> None:
    chosen = options(burst=True, pidfile="/run/dlq.pid", touchfile="/run/%s")
    assert (chosen.burst, chosen.reload, chosen.pidfile, chosen.touchfile) == (
        True,
        False,
        Path("/run/dlq.pid"),
        "/run/%s",
    )
    assert options(reload=True).reload


# --- What cannot be ---


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"only_work": True, "only_upkeep": True}, "--only-work and --only-upkeep contradict each other"),
        (
            {"only_upkeep": True, "only_queue": ["email"]},
            "--only-upkeep and --only-queue contradict each other",
        ),
        ({"only_upkeep": True, "burst": True}, "--only-upkeep and --burst contradict each other"),
        ({"only_upkeep": True, "machine": 1, "of": 2}, "--only-upkeep and --machine contradict each other"),
        (
            {"exact_configuration": True, "machine": 1},
            "--exact-configuration and --machine contradict each other",
        ),
        ({"exact_configuration": True, "of": 1}, "--exact-configuration and --of contradict each other"),
        (
            {"exact_configuration": True, "only_queue": ["email"]},
            "--exact-configuration and --only-queue contradict each other",
        ),
        ({"exact_configuration": True}, "--exact-configuration needs --config FILE"),
        ({"pidfile": "x", "reload": True}, "--reload and --pidfile contradict each other"),
        ({"burst": True, "reload": True}, "--reload and --burst contradict each other"),
        ({"machine": 1}, "--machine N and --of M go together"),
        ({"of": 3}, "--machine N and --of M go together"),
        ({"machine": 5, "of": 3}, "--machine 5 --of 3: machines are counted from 1"),
        ({"machine": 0, "of": 3}, "--machine 0 --of 3: machines are counted from 1"),
        ({"machine": -1, "of": 3}, "--machine -1 --of 3: machines are counted from 1"),
        ({"machine": 0, "of": 0}, "--machine 0 --of 0: machines are counted from 1"),
        ({"backend": "theirs"}, "--backend theirs: the backends of DLQ in TASKS are: default, emails."),
        ({"pidfile": ""}, "--pidfile is empty"),
        ({"touchfile": ""}, "--touchfile is empty"),
    ],
)
def test_arguments_that_cannot_be_are_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        options(**arguments)
    assert says in str(error.value)


def test_a_deployment_without_workers_is_an_error(settings: Settings) -> None:
    settings.DLQ_WORKERS = {"*": 0}
    with pytest.raises(
        ConfigError, match=r"no workers for the backends default, emails.*or run --only-upkeep"
    ):
        options()


def test_a_site_without_a_backend_of_ours_is_told_what_to_add(settings: Settings) -> None:
    settings.TASKS = {"default": DUMMY}
    with pytest.raises(ConfigError, match=r"TASKS has no backend of DLQ\. Add one"):
        options()
