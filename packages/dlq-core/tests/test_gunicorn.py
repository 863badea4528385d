"""The hooks for gunicorn, called by hand; with processes they are tested in integration-tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_django import Settings as DjangoSettings

from dlq import MemoryBackend
from dlq.contrib import gunicorn
from dlq.runtime.inprocess import InProcessRunner

LATE = 30.0


def worker(**config: float) -> Any:
    return SimpleNamespace(cfg=SimpleNamespace(**({"graceful_timeout": 30, "timeout": 30} | config)))


@pytest.fixture(autouse=True)
def site(memory: MemoryBackend, settings: DjangoSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DLQ_WORKERS = {"default": 1}
    monkeypatch.setattr(gunicorn, "_embedded", None)


class Runners(list[Any]):
    """The runners that were made, with the patience that each was stopped with."""

    started = threading.Event()


@pytest.fixture
def runners(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runners]:
    made = Runners()
    made.started.clear()

    class Noting(InProcessRunner):
        def start(self) -> None:
            super().start()
            made.append(self)
            made.started.set()

        def stop(self, timeout: float | None = None) -> None:
            super().stop(0.0)
            self.patience = timeout

    monkeypatch.setattr(gunicorn, "InProcessRunner", Noting)
    yield made
    for runner in made:
        runner.stop()


def test_a_worker_has_a_runner_from_its_fork_to_its_exit(memory: MemoryBackend, runners: Runners) -> None:
    gunicorn.post_fork(None, worker())
    assert runners.started.wait(LATE)
    gunicorn.worker_exit(None, worker())
    (runner,) = runners
    assert runner.patience is not None
    assert memory.inspector.runners() == []


def test_without_preload_it_waits_until_the_site_is_loaded(
    runners: Runners, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = threading.Event()
    monkeypatch.setattr(gunicorn, "apps", SimpleNamespace(ready_event=ready))
    gunicorn.post_fork(None, worker())
    assert runners == []
    ready.set()
    assert runners.started.wait(LATE)


def test_a_worker_that_exits_before_the_site_is_loaded_gets_no_runner(
    runners: Runners, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = threading.Event()
    monkeypatch.setattr(gunicorn, "apps", SimpleNamespace(ready_event=ready))
    gunicorn.post_fork(None, worker())
    gunicorn.worker_exit(None, worker())
    ready.set()
    for thread in threading.enumerate():
        if thread.name == "dlq-start":
            thread.join(LATE)
    assert runners == []


def test_a_worker_without_a_runner_exits_all_the_same() -> None:
    gunicorn.worker_exit(None, worker())


def test_a_runner_that_cannot_start_leaves_the_requests_alone(
    settings: DjangoSettings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DLQ_WORKERS = {"a b": 1}
    gunicorn.post_fork(None, worker())
    for thread in threading.enumerate():
        if thread.name == "dlq-start":
            thread.join(LATE)
    assert "The runner cannot start; this worker serves requests only." in caplog.text
    assert "'a b' in the queue selector" in caplog.text
    gunicorn.worker_exit(None, worker())


@pytest.mark.parametrize(
    ("config", "shutdown_timeout", "patience"),
    [
        ({"graceful_timeout": 60, "timeout": 60}, 30.0, 30.0),
        ({"graceful_timeout": 30, "timeout": 60}, 30.0, 24.0),
        ({"graceful_timeout": 60, "timeout": 10}, 30.0, 8.0),
        ({"graceful_timeout": 60, "timeout": 0}, 100.0, 48.0),
        ({"graceful_timeout": 0, "timeout": 0}, 100.0, 100.0),
    ],
)
def test_jobs_are_handed_back_before_gunicorn_kills_the_worker(
    runners: Runners, settings: DjangoSettings, config: Any, shutdown_timeout: float, patience: float
) -> None:
    settings.DLQ_SHUTDOWN_TIMEOUT = shutdown_timeout
    gunicorn.post_fork(None, worker())
    assert runners.started.wait(LATE)
    gunicorn.worker_exit(None, worker(**config))
    assert runners[0].patience == pytest.approx(patience)
