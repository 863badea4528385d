"""What is asked of a store that takes the call and never answers, or is not ready, comes to an end."""

from __future__ import annotations

import signal

import pytest

from proxy import Proxy
from sites import Site


@pytest.mark.parametrize("vendor", ["postgresql"])
def test_health_and_status_end_by_themselves_when_the_store_never_answers(site: Site, proxy: Proxy) -> None:
    proxy.stall = True
    commands = [site.launch(command=name, through=proxy) for name in ("queue_health", "queue_status")]
    for command in commands:
        assert command.wait(within=40) == 1
        assert "the database 'default' did not answer" in command.log
        assert "Traceback" not in command.log


@pytest.mark.parametrize("vendor", ["sqlite"])
@pytest.mark.parametrize("migrated", [False])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGQUIT, 128 + signal.SIGQUIT)])
def test_a_runner_that_waits_for_its_store_can_be_stopped(
    site: Site, number: signal.Signals, code: int
) -> None:
    runner = site.launch(DLQ_WORKERS={"*": 1})
    runner.logged("Trying again until it is back.")
    runner.send(number)
    assert runner.wait() == code
