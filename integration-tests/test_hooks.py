"""What a site's own code hears of the processes of a runner, and what everybody sees of them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from dlq.states import State
from processes import until
from project import tasks
from sites import Site

APPS = ["dlq", "dlq_db", "project.hooked.Hooked"]


def test_hooks_are_called_once_in_each_process_and_those_that_fail_are_reported(site: Site) -> None:
    runner = site.start({"*": 1}, INSTALLED_APPS=APPS, DLQ_ON_ERROR="project.hooked.on_error")
    (info,) = site.runners()
    service, (worker,) = site.service_pid(runner), info.workers
    assert site.settled(site.enqueue(tasks.leave)).state is State.FAILED  # A task is not their business.
    runner.send(signal.SIGTERM)
    assert runner.wait() == 0

    for kind, name, pid in (
        ("runner", info.id, runner.pid),
        ("worker", worker.id, worker.pid),
        ("service", f"{info.id}/service", service),
    ):
        events = f"{kind}.start", f"{kind}.start+{kind}.stop", f"{kind}.start+{kind}.stop+{kind}.exit"
        for event in events:  # Each has the object, and the metadata, of the one before.
            assert [(t.label, t.pid) for t in site.traces(event)] == [(name, pid)], event
        errors = site.traces("error", f"LookupError-{kind}")
        assert [t.pid for t in errors] == [pid] * 3
    assert len(site.traces("error")) == 9
    assert runner.log.count("The hook _fail of worker.start raised in ") == 1


@pytest.mark.parametrize("vendor", ["sqlite"])
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_titles_say_what_a_process_is_and_never_what_a_job_was_given(site: Site) -> None:
    pytest.importorskip("setproctitle")
    runner = site.start({"mail,default": 1})
    (info,) = site.runners()
    site.enqueue(tasks.hold, "secret")
    site.traced("began", "secret")
    pids = [runner.pid, *runner.children()]
    titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in pids}
    assert sorted(title.strip() for title in titles.values()) == [
        "dlq: runner",
        f"dlq: service {info.id}",
        f"dlq: worker {info.workers[0].id} [mail,default]",
    ]
    assert not any("secret" in title for title in titles.values())
    site.open("secret")
    until(lambda: site.counts().keys() <= {State.SUCCEEDED}, 5, lambda: f"{site.counts()}")
