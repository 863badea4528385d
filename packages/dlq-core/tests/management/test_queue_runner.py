from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from dlq import conf, implied
from dlq.management.commands import queue_runner
from dlq.runtime.options import RunnerOptions

MEMORY = {"BACKEND": "dlq.MemoryBackend"}


class FakeRunner:
    """Takes down what it is started with, and ends at once."""

    started: list[tuple[conf.Settings, RunnerOptions]]
    code = 0

    def __init__(self, settings: conf.Settings, options: RunnerOptions) -> None:
        self.started.append((settings, options))

    def run(self) -> int:
        with pytest.raises(RuntimeError, match="comes too late"):
            implied.contribute_implied_queue_name("late")
        return self.code


@pytest.fixture(autouse=True)
def started(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[tuple[conf.Settings, RunnerOptions]]:
    settings.TASKS = {"default": MEMORY}
    FakeRunner.started = []
    monkeypatch.setattr(queue_runner, "Runner", FakeRunner)
    return FakeRunner.started


def run(*arguments: str) -> Any:
    """The exit code."""
    with pytest.raises(SystemExit) as end:
        call_command("queue_runner", "-v0", *arguments)
    return end.value.code


def test_a_runner_is_started_with_what_the_arguments_mean(
    started: list[tuple[conf.Settings, RunnerOptions]], tmp_path: Path
) -> None:
    (path := tmp_path / "server.toml").write_text("workers = { a = 2, b = 3 }\nkill_after = 1")
    assert (
        run("--config", str(path), "--machine=2", "--of=2", "--only-queue=a", "--only-queue=b", "--burst")
        == 0
    )
    [(settings, options)] = started
    assert settings.kill_after == 1
    assert {pool.selector.text: pool.processes for pool in options.pools} == {"a": 1, "b": 2}
    assert (options.burst, options.cron) == (True, True)


def test_the_exit_code_is_that_of_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeRunner, "code", 3)
    assert run() == 3


@pytest.mark.parametrize("by", ["argument", "setting"])
def test_everything_may_run_in_one_process(
    by: str,
    started: list[tuple[conf.Settings, RunnerOptions]],
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> None:
    monkeypatch.setattr(queue_runner, "Runner", None)
    monkeypatch.setattr(queue_runner, "InProcessRunner", FakeRunner)
    settings.DLQ_IN_PROCESS = by == "setting"
    assert run(*(["--in-process"] if by == "argument" else [])) == 0
    assert started[0][1].in_process


def test_a_runner_that_reloads_is_made_in_the_process_that_reloads(
    started: list[tuple[conf.Settings, RunnerOptions]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_runner, "InProcessRunner", FakeRunner)
    monkeypatch.setattr(queue_runner, "run_reloading", lambda make: 5)
    assert run("--reload") == 5
    assert started == []
    monkeypatch.setattr(queue_runner, "run_reloading", lambda make: make().run())
    assert run("--reload") == 0
    assert started[0][1].reload


def test_the_pidfile_is_held_while_the_runner_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runner.pid"
    monkeypatch.setattr(FakeRunner, "run", lambda self: path.exists())
    assert run(f"--pidfile={path}") is True
    assert not path.exists()


def test_a_pidfile_of_another_kind_is_an_error(
    tmp_path: Path, started: list[tuple[conf.Settings, RunnerOptions]]
) -> None:
    (path := tmp_path / "manage.py").write_text("import django")
    with pytest.raises(CommandError, match="which is no process id"):
        call_command("queue_runner", "-v0", f"--pidfile={path}")
    assert started == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--machine"], "argument --machine: expected one argument"),
        (["--machine=x", "--of=3"], "argument --machine: invalid int value: 'x'"),
        (["--machine=5", "--of=3"], "--machine 5 --of 3: machines are counted from 1"),
        (["--machine=0", "--of=3"], "--machine 0 --of 3: machines are counted from 1"),
        (["--machine=-1", "--of=3"], "--machine -1 --of 3: machines are counted from 1"),
        (["--exact-configuration"], "--exact-configuration needs --config FILE"),
        (["--only-work", "--only-upkeep"], "--only-work and --only-upkeep contradict each other"),
        (["--backend=typo"], "--backend typo: the backends of DLQ in TASKS are: default."),
    ],
)
def test_arguments_that_cannot_be_are_refused(
    arguments: list[str], says: str, started: list[tuple[conf.Settings, RunnerOptions]]
) -> None:
    with pytest.raises(CommandError) as error:
        call_command("queue_runner", "-v0", *arguments)
    assert says in str(error.value)
    assert started == []


def test_exact_configuration_wants_the_workers_in_the_file(
    tmp_path: Path, started: list[tuple[conf.Settings, RunnerOptions]]
) -> None:
    (path := tmp_path / "server.toml").write_text("kill_after = 1")
    with pytest.raises(CommandError, match=f"the configuration file {path} names no workers"):
        call_command("queue_runner", "-v0", "--exact-configuration", f"--config={path}")
    path.write_text("workers = { a = 2 }")
    assert run("--exact-configuration", f"--config={path}") == 0
    assert [(pool.selector.text, pool.processes) for pool in started[0][1].pools] == [("a", 2)]


def test_exact_configuration_may_have_its_file_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[tuple[conf.Settings, RunnerOptions]]
) -> None:
    (path := tmp_path / "server.toml").write_text("workers = { a = 2 }")
    monkeypatch.setenv("DLQ_CONFIG", str(path))
    assert run("--exact-configuration") == 0
    assert [(pool.selector.text, pool.processes) for pool in started[0][1].pools] == [("a", 2)]
