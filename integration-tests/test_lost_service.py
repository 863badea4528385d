"""The process that beats for a runner is replaced when it dies, and nobody takes the runner for lost."""

from __future__ import annotations

import os
import signal

from dlq.states import State
from processes import until
from project import tasks
from sites import EVERYWHERE, Site


def test_a_killed_service_process_is_replaced_and_beats_go_on(site: Site) -> None:
    runner, peer = site.start({"*": 1}), site.start({"other": 1})
    held = site.enqueue(tasks.hold, "gate")
    site.traced("began", "gate")
    service, beat = site.service_pid(runner), _beat(site, runner.pid)
    os.kill(service, signal.SIGKILL)
    until(lambda: _beat(site, runner.pid) > beat + 3, 10, lambda: "no beat came after the kill", runner)
    assert site.service_pid(runner) != service
    # The new one does what the old one did: it takes back the jobs of workers that die.
    os.kill(site.traces("began")[0].pid, signal.SIGKILL)
    site.traced("began", "gate", times=2)
    site.open("gate")

    assert site.settled(held).state is State.SUCCEEDED
    assert "is lost" not in peer.log
    assert len(site.runners()) == 2


@EVERYWHERE
def test_the_loss_of_worker_and_service_together_strands_no_job(site: Site) -> None:
    runner = site.start({"*": 1})
    held = site.enqueue(tasks.hold, "gate")
    for victim in (site.service_pid(runner), site.traced("began", "gate").pid):
        os.kill(victim, signal.SIGKILL)
    site.traced("began", "gate", times=2)
    site.open("gate")

    record = site.settled(held)
    assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 1)


def _beat(site: Site, pid: int) -> int:
    (beat,) = [info.beat for info in site.runners() if info.pid == pid]
    return beat
