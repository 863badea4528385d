import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from dlq import ConfigError, implied
from dlq.discovery import known_tasks, load_all_tasks
from dlq.implied import contribute_implied_queue_name, implied_pools, implied_queues, no_more_implied_queues
from dlq.pools import WorkerPool, parse_workers
from dlq.selectors import Selector

pytestmark = pytest.mark.usefixtures("memory")

MEMORY = {"BACKEND": "dlq.MemoryBackend"}
DUMMY = {"BACKEND": "django.tasks.backends.dummy.DummyBackend", "QUEUES": []}

type Install = Callable[..., None]


@pytest.fixture(autouse=True)
def no_dashboard(settings: Settings) -> None:
    settings.DLQ_IGNORE_APPS = ["dlq_admin"]  # Its task implies a queue.


@pytest.fixture(autouse=True)
def nothing_contributed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implied, "_contributed", {})


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[Install]:
    """Install an app that has these modules."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def install(app: str, **modules: str) -> None:
        (tmp_path / app).mkdir()
        for name, source in {"__init__": "", **modules}.items():
            (tmp_path / app / f"{name}.py").write_text(source)
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, app]

    yield install
    for name in set(sys.modules) - before:
        del sys.modules[name]


def tasks(*options: str) -> str:
    """The source of a module with one task for each of these options."""
    defined = [f"@task({option})\ndef task{number}(): ...\n" for number, option in enumerate(options)]
    return "\n".join(["from dlq import task", *defined])


# --- Discovery ---


def names() -> list[str]:
    return [module.__name__ for module in load_all_tasks()]


def test_the_tasks_of_installed_apps_are_loaded(install: Install) -> None:
    install("app_with", tasks=tasks(""))
    install("app_without")
    assert "app_with.tasks" in names()
    assert "app_without.tasks" not in names()


def test_apps_can_be_ignored(install: Install, settings: Settings) -> None:
    install("app_ignored", tasks="raise RuntimeError('imported')")
    settings.DLQ_IGNORE_APPS = ["app_ignored"]
    assert "app_ignored.tasks" not in names()


@pytest.mark.parametrize("source", ["import app_that_is_not_there", "raise ImportError('from inside')"])
def test_tasks_that_cannot_be_imported_are_not_passed_over(install: Install, source: str) -> None:
    install("app_broken", tasks=source)
    with pytest.raises(ImportError):
        load_all_tasks()


def test_every_task_in_such_a_module_is_known_and_each_once(install: Install) -> None:
    source = (
        "from django.tasks import task as plain\n" + tasks("", "queue='b'") + "again = task0\nother = 3\n"
    )
    install("app_many", tasks=source + "urgent = task0.using(queue='urgent')\n@plain\ndef django(): ...\n")
    found = [
        (task.name, task.queue_name) for task in known_tasks() if task.func.__module__ == "app_many.tasks"
    ]
    assert found == [("task0", "default"), ("task1", "b"), ("task0", "urgent"), ("django", "default")]


# --- Implied queues ---


def test_tasks_imply_their_queues(install: Install) -> None:
    install("app_implying", tasks=tasks("queue='b'", "queue='a'", "queue='a'"))
    assert implied_queues() == [("a", "default"), ("b", "default")]


def test_tasks_of_other_backends_imply_nothing(install: Install, settings: Settings) -> None:
    settings.TASKS = {"default": DUMMY, "ours": MEMORY}
    install("app_mixed", tasks=tasks("queue='a'", "queue='b', backend='ours'"))
    assert implied_queues() == [("b", "ours")]


def test_apps_can_imply_a_queue(settings: Settings) -> None:
    settings.TASKS = {"default": MEMORY, "emails": MEMORY | {"QUEUES": ["email"]}}
    contribute_implied_queue_name("cron")
    contribute_implied_queue_name("email")
    contribute_implied_queue_name("cron")
    assert implied_queues() == [("cron", "default"), ("email", "emails")]


@pytest.mark.parametrize("queue", ["", "a b", "a*", 3])
def test_a_queue_that_cannot_be_called_so_is_not_implied(queue: Any) -> None:
    with pytest.raises(ConfigError, match="must be 1 to 255 printable characters"):
        contribute_implied_queue_name(queue)
    assert implied_queues() == []


def test_a_queue_that_comes_too_late_is_an_error() -> None:
    with (
        no_more_implied_queues(),
        pytest.raises(RuntimeError, match=r"'cron' comes too late: .* during set-up"),
    ):
        contribute_implied_queue_name("cron")
    contribute_implied_queue_name("cron")
    assert implied_queues() == [("cron", "default")]


# --- Their workers ---


def test_an_implied_queue_that_nothing_stands_for_gets_one_worker() -> None:
    for queue in ("email", "cron", "reports-daily"):
        contribute_implied_queue_name(queue)
    pools = parse_workers({"email": 3, "reports*": 1})
    assert implied_pools(pools) == [WorkerPool(selector=Selector("cron"), processes=1, backend="default")]


@pytest.mark.parametrize(
    ("workers", "gets_one"),
    [
        ({}, True),
        ({"*,!email": 1}, True),
        ({"em*": 1}, False),
        ({"email": 0}, False),
        ({"*": 0}, False),
        ({"email": {"processes": 0, "backend": "default"}}, False),
        ({"email": {"backend": "other"}}, True),
        ({"email": {"processes": 0, "backend": "other"}}, True),
    ],
)
def test_whether_an_implied_queue_gets_a_worker(
    settings: Settings, workers: dict[str, Any], gets_one: bool
) -> None:
    settings.TASKS = {"default": MEMORY, "other": MEMORY}
    contribute_implied_queue_name("email")
    assert bool(implied_pools(parse_workers(workers))) is gets_one


def test_the_same_queue_on_another_backend_gets_a_worker_of_its_own(
    install: Install, settings: Settings
) -> None:
    settings.TASKS = {"default": MEMORY, "other": MEMORY}
    install("app_two", tasks=tasks("queue='a'", "queue='a', backend='other'"))
    assert implied_pools(parse_workers({"*": 1})) == [WorkerPool(selector=Selector("a"), backend="other")]
    assert implied_pools(parse_workers({"*": 0})) == []
