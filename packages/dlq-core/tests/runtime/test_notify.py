from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dlq.runtime.notify import Supervisor

type Say = Callable[[Supervisor], None]


@pytest.fixture
def address() -> Iterator[str]:
    # The paths of pytest are longer than an address may be.
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder) / "notify")


@pytest.fixture
def systemd(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(address)
        end.setblocking(False)
        yield end


@pytest.fixture
def stopped(clock: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("dlq.runtime.notify.time", clock)
    return clock


def heard(end: socket.socket) -> list[str]:
    said = []
    while True:
        try:
            said.append(end.recv(4096).decode())
        except BlockingIOError:
            return said


@pytest.mark.parametrize(
    ("say", "text"), [(Supervisor.ready, "READY=1"), (Supervisor.stopping, "STOPPING=1")]
)
def test_systemd_is_told(systemd: socket.socket, say: Say, text: str) -> None:
    say(Supervisor())
    assert heard(systemd) == [text]


@pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="only Linux has abstract addresses")
def test_an_address_may_be_abstract(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"dlq-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0{name}")
        end.setblocking(False)
        Supervisor().ready()
        assert heard(end) == ["READY=1"]


def test_where_there_is_no_systemd_nothing_is_said(monkeypatch: pytest.MonkeyPatch, stopped: Any) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    supervisor = Supervisor()
    supervisor.ready()
    supervisor.alive()
    assert supervisor.interval is None


def test_a_systemd_that_is_gone_is_no_error(systemd: socket.socket, address: str) -> None:
    supervisor = Supervisor()
    systemd.close()
    Path(address).unlink()
    supervisor.stopping()


def test_children_are_not_to_speak_for_the_runner(systemd: socket.socket) -> None:
    os.environ["WATCHDOG_USEC"], os.environ["WATCHDOG_PID"] = "1000000", str(os.getpid())
    Supervisor()
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & os.environ.keys()


def test_the_watchdog_is_fed_twice_as_often_as_it_must_be(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch, stopped: Any
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    supervisor = Supervisor()
    assert supervisor.interval == 1.5
    for _ in range(100):
        supervisor.alive()
        stopped.advance(0.1)
    assert heard(systemd) == ["WATCHDOG=1"] * 7


@pytest.mark.parametrize(
    ("microseconds", "pid"),
    [(None, None), ("0", None), ("soon", None), ("3000000", "1")],
    ids=["none", "0", "no number", "that of another process"],
)
def test_a_watchdog_that_does_not_wait_for_us_is_not_fed(
    systemd: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    stopped: Any,
    microseconds: str | None,
    pid: str | None,
) -> None:
    for name, value in (("WATCHDOG_USEC", microseconds), ("WATCHDOG_PID", pid)):
        if value is not None:
            monkeypatch.setenv(name, value)
    supervisor = Supervisor()
    supervisor.alive()
    assert supervisor.interval is None
    assert heard(systemd) == []
