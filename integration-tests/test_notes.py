"""What a running job says about itself is there for other processes while it runs, and afterwards."""

from __future__ import annotations

import json
import os
import signal
from typing import Any
from uuid import UUID

from dlq.states import State
from processes import until
from project import controlled
from sites import EVERYWHERE, Site

SHOWN = ("progress", "message", "metadata", "log")


def shown(site: Site, job: UUID) -> tuple[Any, ...]:
    """What a command in another process shows."""
    document = json.loads(site.manage("queue_job", str(job), "--json").stdout)
    return tuple(document[name] for name in SHOWN)


@EVERYWHERE
def test_progress_metadata_and_log_are_read_by_others_while_the_job_runs_and_after(site: Site) -> None:
    site.start({"*": 1})
    job = site.enqueue(controlled.report, "gate")
    site.traced("began", "gate")
    until(lambda: site.job(job).progress is not None, 5, lambda: f"nothing said: {site.job(job)}")
    lines = ["first line", "second line"]
    until(lambda: list(site.job(job).log) == lines, 5, lambda: f"no log: {site.job(job)}")
    metadata = {"source": "upload", "rows": 400}
    assert shown(site, job) == (0.25, "reads rows", metadata, lines)
    running = json.loads(site.manage("queue_status", "--json").stdout)["default"]["running"]
    assert [(found["progress"], found["message"]) for found in running] == [(0.25, "reads rows")]

    site.open("gate")
    assert site.settled(job).state is State.SUCCEEDED
    assert shown(site, job) == (1.0, "has read all", metadata, [*lines, "last line"])
    result = site.backend.get_result(str(job))
    assert (result.progress, result.message, result.metadata) == (1.0, "has read all", metadata)


def test_what_was_said_before_a_worker_was_lost_is_kept(site: Site) -> None:
    site.start({"*": 1})
    job = site.enqueue(controlled.report, "gate")
    pid = site.traced("began", "gate").pid
    until(lambda: site.job(job).log, 5, lambda: "no log")
    os.kill(pid, signal.SIGKILL)
    site.traced("began", "gate", times=2)
    site.open("gate")
    assert site.settled(job).state is State.SUCCEEDED
    assert shown(site, job)[3] == ["first line", "second line", "first line", "second line", "last line"]
