"""What apps add to a runner: steps through outages and defects, until the runner stops."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from dlq import services
from dlq.conf import Settings
from dlq.errors import StoreUnavailable
from dlq.runtime.inprocess import InProcessRunner
from dlq.runtime.options import RunnerOptions
from dlq.runtime.service_thread import ServiceThread
from dlq.services import Service, register_services, services_for

LATE = 30.0
"""Seconds that no test waits."""
OPTIONS = RunnerOptions(pools=[], aliases=["default"], cron=True)


class Added(Service):
    """Counts its steps; the first of them raise what it is given."""

    def __init__(self, *errors: BaseException, pause: float = 0.0) -> None:
        self.name = "added"
        self.errors = list(errors)
        self.pause = pause
        self.steps = threading.Semaphore(0)
        self.closed = threading.Event()

    def step(self) -> float:
        self.steps.release()
        if self.errors:
            raise self.errors.pop(0)
        return self.pause

    def close(self) -> None:
        self.closed.set()

    def has_stepped(self, times: int = 1) -> bool:
        return all(self.steps.acquire(timeout=LATE) for _ in range(times))


@pytest.fixture
def run() -> Iterator[Callable[[Service], ServiceThread]]:
    started: list[ServiceThread] = []

    def start(service: Service) -> ServiceThread:
        started.append(ServiceThread(service))
        started[-1].start()
        return started[-1]

    yield start
    for thread in started:
        thread.stop()
        assert thread.join(LATE)


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "_makers", [])


def test_a_service_steps_until_it_is_stopped_and_is_closed(run: Callable[[Service], ServiceThread]) -> None:
    thread = run(service := Added())
    assert service.has_stepped(3)
    thread.stop()
    assert thread.join(LATE)
    assert service.closed.is_set()


def test_a_long_pause_is_cut_short_by_the_stop(run: Callable[[Service], ServiceThread]) -> None:
    thread = run(service := Added(pause=1e6))
    assert service.has_stepped()
    thread.stop()
    assert thread.join(LATE)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RuntimeError("a defect"), SystemExit(3)])
def test_neither_an_outage_nor_a_defect_ends_a_service(
    run: Callable[[Service], ServiceThread], error: BaseException
) -> None:
    run(service := Added(error, error))
    assert service.has_stepped(3)


def test_what_cannot_be_made_is_left_out_and_the_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    good = Added()

    @register_services
    def broken(options: RunnerOptions) -> list[Service]:
        raise RuntimeError("no")

    @register_services
    def working(options: RunnerOptions) -> list[Service]:
        return [good] if options.cron else []

    register_services(working)  # Again, as when an app is set up twice: once is enough.
    assert services_for(OPTIONS) == [good]
    assert "broken" in caplog.text
    assert services_for(RunnerOptions(pools=[], aliases=["default"])) == []


def test_a_runner_in_one_process_runs_services_until_it_stops(faulty: object) -> None:
    service = Added()
    register_services(lambda options: [service])
    with InProcessRunner(Settings(), OPTIONS):
        assert service.has_stepped(2)
        assert not service.closed.is_set()
    assert service.closed.is_set()
