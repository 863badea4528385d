"""A runner under systemd's protocol for services (sd_notify(3)), spoken to a socket of the test."""

from __future__ import annotations

import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processes import Process
from project import embedded, tasks
from sites import Site

LATE = 20.0
WATCHDOG = 0.4
"""Seconds that the watchdog waits; half of it is how often it hears something."""
MANY = 10
"""Intervals of silence after which it is no coincidence."""


class Systemd:
    """The other end of ``NOTIFY_SOCKET``."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)

    def environment(self, watchdog: float = WATCHDOG) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": str(int(watchdog * 1e6))}

    def hear(self, within: float = LATE) -> str:
        self._socket.settimeout(within)
        return self._socket.recv(4096).decode()

    def hear_of(self, text: str) -> None:
        """Return as soon as this was said, whatever else was."""
        while self.hear() != text:
            pass

    def falls_silent(self) -> None:
        """Return as soon as nothing was said for much longer than is usual."""
        for _ in range(1000):
            try:
                self.hear(within=MANY * WATCHDOG / 2)
            except TimeoutError:
                return
        raise AssertionError("it goes on talking")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    # The paths of pytest are longer than an address may be.
    with tempfile.TemporaryDirectory() as folder:
        made = Systemd(Path(folder))
        yield made
        made.close()


type Launch = Callable[..., Process]

pytestmark = [pytest.mark.parametrize("vendor", ["sqlite"])]
both = pytest.mark.parametrize("mode", [(), ("--in-process",)], ids=["processes", "in process"])


@both
def test_it_says_ready_alive_and_stopping(site: Site, systemd: Systemd, mode: tuple[str, ...]) -> None:
    runner = site.launch(*mode, environment=systemd.environment(), DLQ_WORKERS={"*": 1})
    systemd.hear_of("READY=1")
    for _ in range(3):
        assert systemd.hear() == "WATCHDOG=1"
    held = site.enqueue(tasks.hold, "gate")
    site.traced("began", "gate")
    runner.send(signal.SIGTERM)
    systemd.hear_of("STOPPING=1")
    # It is fed as well while jobs are waited for.
    for _ in range(3):
        assert systemd.hear() == "WATCHDOG=1"
    site.open("gate")
    assert runner.wait() == 0
    assert site.job(held).finished_at is not None


@both
def test_the_watchdog_hears_of_the_control_loop_and_of_nothing_else(
    site: Site, systemd: Systemd, mode: tuple[str, ...]
) -> None:
    runner = site.launch(*mode, environment=systemd.environment(), DLQ_WORKERS={"*": 1})
    systemd.hear_of("READY=1")
    runner.send(signal.SIGSTOP)
    systemd.falls_silent()
    runner.send(signal.SIGCONT)
    systemd.hear_of("WATCHDOG=1")


def test_it_is_ready_only_when_its_store_has_answered(site: Site, systemd: Systemd) -> None:
    database = Path(site.url.removeprefix("sqlite:///")).parent
    database.rename(database.with_name("away"))
    runner = site.launch(environment=systemd.environment(), DLQ_WORKERS={"*": 1})
    runner.logged("Trying again until it is back.")
    with pytest.raises(TimeoutError):
        systemd.hear(within=0.5)
    database.with_name("away").rename(database)
    systemd.hear_of("READY=1")


def test_without_a_watchdog_it_says_no_more_than_it_must(site: Site, systemd: Systemd) -> None:
    runner = site.launch(environment={"NOTIFY_SOCKET": systemd.address}, DLQ_WORKERS={"*": 1})
    assert systemd.hear() == "READY=1"
    site.has_workers(runner, 1)
    runner.send(signal.SIGTERM)
    assert systemd.hear() == "STOPPING=1"
    assert runner.wait() == 0


@both
def test_jobs_cannot_speak_for_the_runner(site: Site, systemd: Systemd, mode: tuple[str, ...]) -> None:
    site.launch(*mode, environment=systemd.environment(), DLQ_WORKERS={"*": 1})
    ids = site.enqueue_each(embedded.environment, [("NOTIFY_SOCKET",), ("WATCHDOG_USEC",)])
    assert [record.result for record in site.all_settled(ids)] == ["null", "null"]
