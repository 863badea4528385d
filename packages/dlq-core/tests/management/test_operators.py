"""What all commands of operators have in common."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import ManagementUtility
from django.db import transaction
from pytest_django import Settings

from dlq import MemoryBackend, StoreUnavailable
from dlq.ids import new_job_id
from dlq.management.operators import dedicated
from dlq.store import MemoryInspector, MemoryStore

type Run = Callable[..., str]

COMMANDS = {
    "queue_pause": ["email"],
    "queue_resume": ["email"],
    "queue_clear": ["email", "--yes"],
    "queue_deduplicate": ["email"],
    "queue_prune": [],
    "queue_job": [str(new_job_id())],
    "queue_workers": [],
    "queue_status": ["--once"],
}
each_command = pytest.mark.parametrize(("command", "arguments"), COMMANDS.items(), ids=COMMANDS)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that cannot be reached, and says so in two lines."""

    def call(*args: Any, **kwargs: Any) -> None:
        raise StoreUnavailable("the store is away:\n  try again later")

    for owner in (MemoryStore, MemoryInspector):
        for name in ("get", "counts", "runners", "jobs", "pause", "resume", "prune", "instruct", "cancel"):
            if hasattr(owner, name):
                monkeypatch.setattr(owner, name, call)


@each_command
@pytest.mark.usefixtures("away")
def test_an_error_of_the_store_is_told_in_one_line(refused: Run, command: str, arguments: list[str]) -> None:
    assert refused(command, *arguments) == "the store is away: try again later"


@pytest.mark.usefixtures("away", "memory")
def test_an_error_leaves_no_traceback_and_the_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ManagementUtility(["manage.py", "queue_prune", "--skip-checks"]).execute()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "CommandError: the store is away: try again later\n"


@each_command
def test_a_backend_that_is_not_of_dlq_is_refused(
    other: MemoryBackend, refused: Run, command: str, arguments: list[str]
) -> None:
    for alias in ("django", "nowhere"):
        assert refused(command, *arguments, "--backend", alias) == (
            f"--backend {alias}: the backends of DLQ in TASKS are: default, other."
        )


@each_command
def test_without_a_backend_of_dlq_the_lines_to_add_are_named(
    settings: Settings, refused: Run, command: str, arguments: list[str]
) -> None:
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}
    assert "TASKS has no backend of DLQ. Add one" in refused(command, *arguments)


@each_command
def test_help_is_there(
    memory: MemoryBackend, capsys: pytest.CaptureFixture[str], command: str, arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        ManagementUtility(["manage.py", command, "--help"]).execute()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "--backend ALIAS" in said
    assert "--config FILE" in said


@pytest.mark.django_db
def test_inside_a_transaction_connections_stay_as_they_are(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []
    monkeypatch.setattr(MemoryStore, "dedicate", lambda self: did.append("dedicate"))
    monkeypatch.setattr(MemoryStore, "close", lambda self: did.append("close"))
    with transaction.atomic(), dedicated("default"):
        pass
    assert did == []


def test_connections_are_given_back_after_an_error(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []
    monkeypatch.setattr(MemoryStore, "close", lambda self: did.append("close"))
    with pytest.raises(StoreUnavailable), dedicated("default"):
        raise StoreUnavailable("away")
    assert did == ["close"]


def test_a_caller_may_pass_streams_of_its_own(memory: MemoryBackend, run: Run) -> None:
    out = io.StringIO()
    assert run("queue_resume", "email", out=out) == out.getvalue() == "Queue email was not paused.\n"
