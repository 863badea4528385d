"""What operators and supervisors are told of a live site, and of a dead one."""

from __future__ import annotations

import json
import signal

import pytest

from project import tasks
from proxy import Proxy
from sites import EVERYWHERE, Site


@EVERYWHERE
def test_status_shows_queues_runners_and_workers(site: Site) -> None:
    runner = site.start({"default,email": 1, "other*": {"threads": 2}})
    site.all_settled(site.enqueue_each(tasks.noop, [()] * 3))
    site.enqueue(tasks.hold.using(queue="email"), "gate")
    site.traced("began", "gate")
    site.enqueue(tasks.noop.using(queue="nobody"))

    status = json.loads(site.manage("queue_status", "--json").stdout)["default"]
    assert status["queues"] == {"default": {"succeeded": 3}, "email": {"running": 1}, "nobody": {"ready": 1}}
    ((name, shown),) = status["runners"].items()
    assert f"-{runner.pid}-" in name
    assert shown["beat_age"] >= 0
    kinds = sorted(
        (worker["queues"], worker["kind"], worker["slots"]) for worker in shown["workers"].values()
    )
    assert kinds == [("default,email", "process", 1), ("other*", "threads", 2)]

    text = site.manage("queue_status").stdout
    for word in ("Backend default", "nobody", name, "other* (threads, 2 at a time)"):
        assert word in text


def test_health_is_good_while_a_runner_beats_and_says_why_not_otherwise(site: Site) -> None:
    nobody = site.manage("queue_health")
    assert (nobody.returncode, nobody.stderr.strip()) == (1, "default: no runner is registered")
    runner = site.start({"*": 1})
    healthy = site.manage("queue_health", "--max-age", "5")
    assert (healthy.returncode, healthy.stdout.strip()) == (0, "healthy")

    runner.send_all(signal.SIGSTOP)
    late = site.manage("queue_health", "--max-age", "0.2")
    assert late.returncode == 1
    assert "the last beat, of " in late.stderr
    assert "s old, over 0.2 s" in late.stderr


@pytest.mark.parametrize("vendor", ["postgresql"])
def test_health_and_status_say_that_the_store_does_not_answer(site: Site, proxy: Proxy) -> None:
    proxy.refuse = True
    for command in ("queue_health", "queue_status"):
        done = site.manage(command, through=proxy)
        assert done.returncode == 1
        assert "the database 'default' did not answer" in done.stderr
        assert "Traceback" not in done.stderr
