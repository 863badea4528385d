"""A runner that cannot start says what a person is to do, and waits where waiting helps."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from databases import migrate
from dlq.states import State
from processes import Process
from project import tasks
from proxy import Proxy
from sites import Site

WORKERS = {"*": 1}
AGAIN = "Trying again until it is back."


def works(site: Site, runner: Process) -> None:
    site.has_workers(runner, 1)
    assert site.settled(site.enqueue(tasks.mark, "works")).state is State.SUCCEEDED
    assert "the store is back" in runner.log


@pytest.mark.parametrize("vendor", ["postgresql", "mariadb"])
def test_a_runner_waits_for_a_server_that_is_down(site: Site, proxy: Proxy) -> None:
    proxy.refuse = True
    runner = site.launch(through=proxy, DLQ_WORKERS=WORKERS)
    runner.logged(AGAIN)
    proxy.refuse = False
    works(site, runner)


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_runner_waits_for_a_file_that_is_away(site: Site) -> None:
    folder = Path(urlsplit(site.url).path.removeprefix("/")).parent
    folder.rename(folder.with_name("away"))
    runner = site.launch(DLQ_WORKERS=WORKERS)
    runner.logged(AGAIN)
    folder.with_name("away").rename(folder)
    works(site, runner)


@pytest.mark.parametrize("vendor", ["postgresql"])
def test_a_runner_that_waits_for_its_store_can_be_stopped(site: Site, proxy: Proxy) -> None:
    proxy.refuse = True
    runner = site.launch(through=proxy, DLQ_WORKERS=WORKERS)
    runner.logged(AGAIN)
    runner.send(signal.SIGTERM)
    assert runner.wait(within=2) == 0


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql", "mariadb"])
@pytest.mark.parametrize("migrated", [False])
def test_a_runner_on_an_unmigrated_database_names_the_remedy_and_waits_for_it(site: Site) -> None:
    runner = site.launch(DLQ_WORKERS=WORKERS)
    runner.logged("Run: manage.py migrate --database default")
    assert "Traceback" not in runner.log
    migrate(site.url)
    works(site, runner)


@pytest.mark.parametrize("vendor", ["sqlite"])
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"TASKS": {"default": {"BACKEND": "dlq_db.backends.Missing"}}}, "dlq_db.backends.Missing"),
        (
            {"TASKS": {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}},
            'TASKS = {"default": {"BACKEND": "dlq_db.backends.DatabaseBackend"}}',
        ),
        ({"DLQ_WORKERS": {"*": "many"}}, "must be a number of processes, a mapping"),
    ],
    ids=["wrong path", "none of ours", "wrong type"],
)
def test_wrong_settings_are_named_with_their_remedy(site: Site, settings: dict[str, Any], says: str) -> None:
    done = site.manage("queue_runner", **settings)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
