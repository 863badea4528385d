from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection

import pytest
from pytest_django import Settings

from dlq import MemoryBackend
from dlq.hooks import Process
from dlq.runtime.options import RunnerOptions
from dlq.signals import store_called
from dlq.testing.contract.builders import OUTCOMES, add_many, claim, register, runner_info, settle
from dlq_metrics import exporter as exporter_module
from dlq_metrics.collecting import Collecting
from dlq_metrics.exporter import Exporter, exporters_for

PROCESS = Process(name="runner", kind="runner", pid=1)


@pytest.fixture
def source() -> Iterator[Collecting]:
    """A runner's process, as hooks begin and end it."""
    source = Collecting()
    source._start(PROCESS)
    yield source
    source._end(PROCESS)


@pytest.fixture
def start(source: Collecting, memory: MemoryBackend) -> Iterator[Callable[..., Exporter]]:
    started: list[Exporter] = []

    def start(address: str = "127.0.0.1:0") -> Exporter:
        started.append(Exporter(address, ["default"], source))
        started[-1].step()
        return started[-1]

    yield start
    for each in started:
        each.close()
    assert not [t.name for t in threading.enumerate() if t.name == "dlq-metrics-http"]


def get(exporter: Exporter, path: str) -> tuple[int, str]:
    assert exporter.port is not None
    connection = HTTPConnection("127.0.0.1", exporter.port, timeout=30)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def _work(memory: MemoryBackend) -> None:
    worker = register(memory.store)
    add_many(memory.store, 3)
    settle(memory.store, worker, *map(OUTCOMES["succeeded"], claim(memory.store, worker)))


CLAIMED = 'dlq_runner_claims_total{backend="default",queue="default",task="shop.tasks.send"} '
SUCCEEDED = (
    'dlq_jobs_finished_total{backend="default",outcome="succeeded",queue="default",task="shop.tasks.send"} '
)


def test_it_serves_what_the_runner_has_seen_and_what_the_store_knows(
    start: Callable[..., Exporter], memory: MemoryBackend
) -> None:
    _work(memory)
    exporter = start()
    status, body = get(exporter, "/metrics")
    assert status == 200
    assert f"{CLAIMED}3.0" in body
    assert f"{SUCCEEDED}3.0" in body
    assert 'dlq_store_up{backend="default"} 1.0' in body


def test_what_workers_send_is_added_up_and_survives_the_service(
    start: Callable[..., Exporter], source: Collecting, memory: MemoryBackend
) -> None:
    for _ in range(2):
        if not (pid := os.fork()):
            source._forget()
            source._begin_to_send(PROCESS)
            _work(memory)
            source._send(PROCESS)
            os._exit(0)
        os.waitpid(pid, 0)
    first = start()
    assert f"{CLAIMED}6.0" in get(first, "/metrics")[1]
    first.close()
    assert f"{CLAIMED}6.0" in get(start(), "/metrics")[1]


def test_health_is_live_while_it_serves_and_ready_when_its_runner_beats(
    start: Callable[..., Exporter], memory: MemoryBackend
) -> None:
    exporter = start()
    assert get(exporter, "/health/live") == (200, "live\n")
    assert get(exporter, "/health/ready") == (503, "default: this runner has not beaten lately\n")
    memory.store.register_runner(runner_info(host=socket.gethostname(), pid=os.getpid()))
    assert get(start(), "/health/ready") == (200, "ready\n")


def test_an_unknown_path_names_the_known_ones(start: Callable[..., Exporter]) -> None:
    assert get(start(), "/") == (404, "/metrics, /health/live, /health/ready\n")


def test_a_port_that_is_taken_is_said_once_and_tried_again(
    start: Callable[..., Exporter], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start()
    with caplog.at_level(logging.WARNING, "dlq.metrics"):
        second = start(f"127.0.0.1:{first.port}")
        second.step()
    (record,) = caplog.records
    assert f"cannot listen on 127.0.0.1:{first.port} (Address already in use)" in record.getMessage()
    assert "DLQ_METRICS_ADDRESS" in record.getMessage()
    assert second.port is None
    port = first.port
    first.close()
    monkeypatch.setattr(exporter_module, "TRY_AGAIN", 0.0)
    second._listen_at = 0.0
    second.step()
    assert second.port == port


def test_nobody_listens_without_an_address(settings: Settings) -> None:
    options = RunnerOptions(pools=[], aliases=["default"])
    assert [service.name for service in exporters_for(options)] == ["metrics"]
    settings.DLQ_METRICS_ADDRESS = None
    assert exporters_for(options) == []


def test_nothing_is_counted_after_the_runner_has_ended(source: Collecting, memory: MemoryBackend) -> None:
    source._end(PROCESS)
    _work(memory)
    assert source.figures.take() == []
    assert not store_called.has_listeners()
