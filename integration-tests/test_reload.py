"""``queue_runner --reload``: the code that runs is the code as it stands, however broken it was meanwhile."""

from __future__ import annotations

import importlib
import itertools
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dlq.states import State
from processes import Process, is_running, until
from sites import Site

pytestmark = pytest.mark.parametrize("vendor", ["sqlite"])

LATE = 60.0
SETTINGS = """\
from project.settings import *
INSTALLED_APPS = [*INSTALLED_APPS, "{app}"]
"""
TASKS = """\
from dlq import task
from project import tasks

VERSION = "{version}"

@task
def version():
    return VERSION

@task
def hold(gate):
    tasks.hold.call(gate)
    return VERSION
"""

_numbers = itertools.count(1)


class App:
    """An app of the site, whose code a test changes."""

    def __init__(self, folder: Path) -> None:
        self.name = f"reloaded{next(_numbers)}"
        self.folder = folder
        (folder / self.name).mkdir()
        (folder / self.name / "__init__.py").touch()
        (folder / self.name / "settings.py").write_text(SETTINGS.format(app=self.name))
        self.write(TASKS.format(version="one"))

    def write(self, code: str, module: str = "tasks") -> None:
        """Change a module."""
        (self.folder / self.name / f"{module}.py").write_text(code)

    def become(self, version: str) -> None:
        self.write(TASKS.format(version=version))

    def task(self, name: str) -> Any:
        return getattr(importlib.import_module(f"{self.name}.tasks"), name)


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = App(folder)
    yield made
    for module in [name for name in sys.modules if name.partition(".")[0] == made.name]:
        del sys.modules[module]


@pytest.fixture
def launch(site: Site, app: App) -> Callable[..., Process]:
    def start(**settings: Any) -> Process:
        environment = {
            "PYTHONPATH": str(app.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DJANGO_SETTINGS_MODULE": f"{app.name}.settings",
        }
        return site.launch("--reload", environment=environment, DLQ_WORKERS={"*": 2}, **settings)

    return start


def says(site: Site, app: App, version: str, runner: Process) -> None:
    """Return as soon as a job was run by this version of the code."""

    def ran() -> bool:
        id = site.enqueue(app.task("version"))
        return site.settled(id, within=LATE).result == f'"{version}"'

    until(ran, LATE, lambda: f"no job was run by {version}", runner)


def pids(site: Site) -> set[int]:
    return {info.pid for info in site.runners()}


def test_a_change_of_code_starts_the_runner_anew(site: Site, app: App, launch: Any) -> None:
    runner = launch()
    says(site, app, "one", runner)
    before = pids(site)
    app.become("two")
    says(site, app, "two", runner)
    assert not before & pids(site)
    assert runner.exit_code is None
    assert not any(map(is_running, before))


def test_what_runs_when_the_code_changes_is_run_again_by_the_new_code(
    site: Site, app: App, launch: Any
) -> None:
    launch()
    held = site.enqueue(app.task("hold"), "gate")
    site.traced("began", "gate", within=LATE)
    app.become("two")
    site.traced("began", "gate", times=2, within=LATE)
    site.open("gate")
    record = site.settled(held, within=LATE)
    assert (record.state, record.result) == (State.SUCCEEDED, '"two"')
    assert (record.attempts, record.interruptions, record.history) == (1, 0, record.history[-1:])


@pytest.mark.parametrize("module", ["tasks", "apps"])
def test_after_a_syntax_error_it_waits_for_the_next_change(
    site: Site, app: App, launch: Any, module: str
) -> None:
    """In a module that the runner loads, and in one without which Django itself does not start."""
    app.write("", "apps")
    runner = launch()
    says(site, app, "one", runner)
    app.write("def broken(:\n", module)
    runner.logged("it starts again when code changes", within=LATE)
    assert "SyntaxError" in runner.log
    assert runner.exit_code is None
    if module == "apps":
        app.write("", "apps")
    app.become("two")
    says(site, app, "two", runner)


def test_a_wrong_setting_is_waited_out_as_well(site: Site, app: App, launch: Any) -> None:
    runner = launch()
    says(site, app, "one", runner)
    app.write(SETTINGS.format(app=app.name) + 'DLQ_WORKERS = {"a b": 1}\n', "settings")
    runner.logged("it starts again when code changes", within=LATE)
    assert "'a b'" in runner.log
    app.write(SETTINGS.format(app=app.name), "settings")
    app.become("two")
    says(site, app, "two", runner)


def wait_broken(site: Site, app: App, runner: Process) -> None:
    app.write("def broken(:\n")
    runner.logged("it starts again when code changes", within=LATE)


def wait_for_nothing(site: Site, app: App, runner: Process) -> None: ...


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("everywhere", [False, True], ids=["to the first process", "to all"])
@pytest.mark.parametrize("meanwhile", [wait_for_nothing, wait_broken])
def test_a_signal_ends_all_of_it(
    site: Site, app: App, launch: Any, number: signal.Signals, everywhere: bool, meanwhile: Any
) -> None:
    runner = launch()
    says(site, app, "one", runner)
    inner = runner.children()
    meanwhile(site, app, runner)
    (runner.send_all if everywhere else runner.send)(number)
    assert runner.wait() == 0
    until(lambda: not any(map(is_running, inner)), 5, lambda: "the inner process lives on")
    assert site.runners() == []
    assert "Traceback" not in runner.log.replace("Traceback (most recent call last):\n  File", "", 1)


def test_the_inner_process_ends_with_the_outer_one(site: Site, app: App, launch: Any) -> None:
    runner = launch()
    says(site, app, "one", runner)
    inner = runner.children()
    runner.send(signal.SIGKILL)
    until(lambda: not any(map(is_running, inner)), LATE, lambda: "the inner process lives on")
    assert site.runners() == []


def test_wrong_arguments_end_it_at_once(site: Site) -> None:
    done = site.manage("queue_runner", "--reload", "--machine", "5", "--of", "3")
    assert done.returncode == 1
    assert "--machine 5 --of 3" in done.stderr
