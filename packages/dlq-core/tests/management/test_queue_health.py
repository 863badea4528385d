from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import BaseCommand, ManagementUtility
from pytest_django import Settings

from dlq import MemoryBackend, StoreUnavailable
from dlq.signals import store_called
from dlq.store import MemoryInspector, MemoryStore
from dlq.testing.contract.builders import runner_info

type Run = Callable[..., str]


def beat(backend: MemoryBackend, age: float, id: str = "runner-1") -> None:
    backend.store.register_runner(runner_info(id), now=datetime.now(UTC) - timedelta(seconds=age))


@pytest.fixture
def sick(run: Run) -> Run:
    """Calls queue_health, which is to exit with 1, and returns the reason that it gives."""

    def call(*arguments: str) -> str:
        err = io.StringIO()
        with pytest.raises(SystemExit) as ended:
            run("queue_health", *arguments, err=err)
        assert ended.value.code == 1
        return err.getvalue()

    return call


def test_it_is_healthy_while_any_runner_beats(memory: MemoryBackend, run: Run) -> None:
    beat(memory, 3600, "lost")
    beat(memory, 1, "alive")
    assert run("queue_health") == "healthy\n"


def test_it_says_that_there_is_no_runner(memory: MemoryBackend, sick: Run) -> None:
    assert sick() == "default: no runner is registered\n"


def test_the_last_beat_may_be_as_old_as_the_alive_threshold(
    memory: MemoryBackend, run: Run, sick: Run
) -> None:
    beat(memory, 20)
    assert run("queue_health") == "healthy\n"
    beat(memory, 40, "runner-2")
    memory.store.retire("runner-1")
    said = sick()
    assert said.startswith("default: the last beat, of runner-2, is 4")
    assert said.endswith(" s old, over 30 s\n")


def test_the_age_can_be_given(memory: MemoryBackend, run: Run, sick: Run) -> None:
    beat(memory, 40)
    assert run("queue_health", "--max-age", "3600") == "healthy\n"
    assert sick("--max-age", "2.5").endswith(" s old, over 2.5 s\n")


@pytest.mark.parametrize("age", ["-1", "nan"])
def test_an_age_that_makes_no_sense_is_refused(memory: MemoryBackend, refused: Run, age: str) -> None:
    beat(memory, 1)
    assert refused("queue_health", f"--max-age={age}") == f"--max-age {age} must be 0 seconds or more."


def test_every_backend_must_be_healthy(
    memory: MemoryBackend, other: MemoryBackend, run: Run, sick: Run
) -> None:
    beat(memory, 1)
    assert sick() == "other: no runner is registered\n"
    assert run("queue_health", "--backend", "default") == "healthy\n"
    beat(other, 1)
    assert run("queue_health") == "healthy\n"


def test_a_store_that_does_not_answer_is_the_reason(
    memory: MemoryBackend, sick: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: MemoryInspector) -> None:
        raise StoreUnavailable("no answer within 25 s")

    monkeypatch.setattr(MemoryInspector, "runners", away)
    assert sick() == "default: no answer within 25 s\n"


def test_wrong_settings_are_the_reason(settings: Settings, refused: Run) -> None:
    settings.TASKS = {"default": {"BACKEND": "dlq.MemoryBackend", "OPTIONS": {"typo": 1}}}
    assert "OPTIONS['typo'] is unknown" in refused("queue_health")


def test_a_probe_runs_no_system_checks(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load_the_urls(self: BaseCommand, *args: object, **kwargs: object) -> None:
        raise AssertionError("the site's URLs are loaded")

    monkeypatch.setattr(BaseCommand, "check", load_the_urls)
    beat(memory, 1)
    ManagementUtility(["manage.py", "queue_health"]).execute()
    assert capsys.readouterr().out == "healthy\n"


def test_it_asks_once_on_connections_of_its_own_and_gives_them_back(
    memory: MemoryBackend, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []
    beat(memory, 1)
    runners = MemoryInspector.runners

    def ask(self: MemoryInspector) -> object:
        did.append("ask")
        return runners(self)

    def hear(verb: str, **kwargs: object) -> None:
        did.append(verb)

    monkeypatch.setattr(MemoryStore, "dedicate", lambda self: did.append("dedicate"))
    monkeypatch.setattr(MemoryStore, "close", lambda self: did.append("close"))
    monkeypatch.setattr(MemoryInspector, "runners", ask)
    store_called.connect(hear)
    try:
        run("queue_health")
    finally:
        store_called.disconnect(hear)
    assert did == ["dedicate", "ask", "close"]
