import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.tasks import task_backends
from django.test import TestCase
from pytest_django import Settings

from dlq import MemoryBackend, PayloadError, State, queue_backend, task
from dlq.synchronous import SynchronousBackend
from dlq.testing import assert_enqueued, eager, enqueued, in_memory
from dlq.testing.pytest_plugin import dlq_eager, dlq_jobs

__all__ = ["dlq_eager", "dlq_jobs"]

PACKAGE = Path(__file__).parents[1]

ran: list[Any] = []


@task
def remember(what: Any) -> Any:
    ran.append(what)
    return what


@task(enqueue_on_commit=True)
def waits_for_the_commit() -> None:
    ran.append("after the commit")


@task
def fails() -> None:
    raise ValueError("on purpose")


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


# --- in_memory() ---


def test_jobs_in_memory_are_gone_afterwards_and_those_from_before_are_back(memory: MemoryBackend) -> None:
    before = remember("before")
    with in_memory() as backend:
        assert enqueued() == []
        remember("inside")
        assert len(enqueued()) == 1
        assert backend is queue_backend()
    assert queue_backend().get_result(before.id) == before
    assert [job.task for job in enqueued()] == [remember.module_path]


def test_backends_of_ours_are_replaced_and_those_of_others_are_not(settings: Settings) -> None:
    settings.TASKS = {
        "default": {
            "BACKEND": "dlq_db.backends.DatabaseBackend",
            "QUEUES": ["default"],
            "OPTIONS": {"max_payload": 100, "database_alias": "default"},
        },
        "second": {"BACKEND": "dlq.synchronous.SynchronousBackend"},
        "dummy": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"},
    }
    with in_memory() as backend:
        assert type(backend) is type(queue_backend("second")) is MemoryBackend
        assert (backend.config.max_payload, backend.queues) == (100, {"default"})
        assert type(task_backends["dummy"]).__name__ == "DummyBackend"
    assert type(task_backends["default"]).__name__ == "DatabaseBackend"


def test_a_site_without_a_backend_of_ours_has_one_under_default(settings: Settings) -> None:
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}
    with in_memory():
        assert type(queue_backend()) is MemoryBackend
    assert type(task_backends["default"]).__name__ == "DummyBackend"


def test_all_is_as_before_when_the_block_raises(memory: MemoryBackend) -> None:
    remember("before")
    with pytest.raises(PayloadError), in_memory():
        remember({"refused"})
    assert len(enqueued()) == 1


# --- eager() ---


class TestEager(TestCase):
    def test_a_job_runs_where_it_is_enqueued_and_is_serialised_all_the_same(self) -> None:
        with eager() as backend:
            result = remember((1, 2))
            assert ran == [[1, 2]]
            assert result.return_value == [1, 2]
            assert backend.get_result(result.id) == result
            assert_enqueued(remember, args=[(1, 2)])

    def test_what_a_task_raises_is_in_its_result(self) -> None:
        with eager():
            assert fails().state is State.FAILED

    def test_a_task_that_asks_to_wait_for_the_commit_does(self) -> None:
        with eager():
            with self.captureOnCommitCallbacks(execute=True):
                waits_for_the_commit()
                assert ran == []
            assert ran == ["after the commit"]

    def test_jobs_of_one_block_are_not_there_in_the_next(self) -> None:
        with eager():
            remember(1)
        with eager():
            assert enqueued() == []


# --- The fixtures ---


def test_a_fixture_keeps_jobs_in_memory(dlq_jobs: MemoryBackend) -> None:
    remember(1)
    assert_enqueued(remember, count=1)
    assert type(queue_backend()) is MemoryBackend
    assert dlq_jobs is queue_backend()


def test_each_test_begins_without_jobs(dlq_jobs: MemoryBackend) -> None:
    assert enqueued() == []


def test_a_fixture_runs_jobs_where_they_are_enqueued(dlq_eager: SynchronousBackend) -> None:
    assert remember("now").return_value == "now"
    assert type(dlq_eager) is SynchronousBackend


def test_pytest_is_told_where_the_fixtures_are() -> None:
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    [module] = project["entry-points"]["pytest11"].values()
    assert import_module(module).dlq_jobs is dlq_jobs


def test_the_plugin_can_be_loaded_before_there_are_settings(tmp_path: Path) -> None:
    (tmp_path / "test_site.py").write_text(
        "from django.conf import settings\n"
        "\n"
        "settings.configure(TASKS={'default': {'BACKEND': 'dlq.MemoryBackend'}})\n"
        "\n"
        "from dlq import task\n"
        "from dlq.testing import assert_enqueued, run_jobs\n"
        "\n"
        "@task\n"
        "def add(a, b):\n"
        "    return a + b\n"
        "\n"
        "def test_jobs(dlq_jobs):\n"
        "    result = add(1, 2)\n"
        "    assert_enqueued(add)\n"
        "    assert run_jobs() == 1\n"
        "    assert result.wait(0) == 3\n"
        "\n"
        "def test_eager(dlq_eager):\n"
        "    assert add(1, 2).return_value == 3\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "dlq.testing.pytest_plugin", "-q", str(tmp_path)],
        cwd=tmp_path,
        env=environment | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "2 passed" in ended.stdout, ended.stdout + ended.stderr
