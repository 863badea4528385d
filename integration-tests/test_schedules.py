"""Schedules with real runners: each due time fires once, whoever is killed, whatever clocks say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from dlq.states import State
from dlq.store.schedules import Fired, Proposal
from dlq_cron.definition import define, proposal_of
from processes import until
from project import tasks
from sites import EVERYWHERE, Site

HERE = Path(__file__).resolve().parent
CRON: dict[str, Any] = {"INSTALLED_APPS": ["dlq", "dlq_db", "dlq_cron"]}
EVERY_SECOND = {
    "task": "project.tasks.mark_due_time",
    "spec": "* * * * * *",
    "missed": "all",
    "timezone": "UTC",
}


def overdue(site: Site, count: int, times: int) -> list[Proposal]:
    """Schedules that are due once a minute, and that nobody has looked at for so many minutes."""
    backend = site.backend
    now = backend.schedules.clock().replace(second=0, microsecond=0)
    return [
        proposal_of(
            define(
                f"k{number:03}",
                tasks.noop,
                "* * * * *",
                timezone="UTC",
                missed="all",
                end=now,
            ),
            backend,
            now - timedelta(minutes=times),
            static=False,
            found=None,
        )
        for number in range(count)
    ]


@EVERYWHERE
def test_schedulers_that_are_killed_at_any_moment_fire_each_due_time_once(site: Site) -> None:
    schedules = site.backend.schedules
    due = overdue(site, count=150, times=2)
    assert schedules.put(due) == []
    fired = subprocess.run(
        [sys.executable, "-m", "project.firing", "20"],
        env=site.environment(CRON, None),
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (fired.returncode, fired.stderr) == (0, "")
    print(f"{fired.stdout.strip()} schedulers were killed.")
    assert int(fired.stdout) >= 3
    history = schedules.history(1000)
    wanted = {
        (each.schedule.key, each.due_at + timedelta(minutes=n)) for each in due for n in (0, 1) if each.due_at
    }
    assert Counter((fire.key, fire.due_at) for fire in history) == dict.fromkeys(wanted, 1)
    assert len(wanted) == 300
    assert {fire.outcome for fire in history} == {Fired.ENQUEUED}
    jobs: set[UUID] = {fire.job for fire in history if fire.job is not None}
    assert len(jobs) == 300
    assert site.counts() == {State.READY: 300}
    assert len(site.jobs(list(jobs))) == 300


def seconds_fired(site: Site) -> list[int]:
    """The due times for which the task of a schedule has run, in order."""
    return sorted(int(trace.label.split("@")[1]) for trace in site.traces("due"))


def has_run(site: Site, times: int) -> None:
    until(
        lambda: len(site.traces("due")) >= times,
        40,
        lambda: f"ran {len(site.traces('due'))} times, not {times}",
    )


@EVERYWHERE
def test_two_runners_fire_each_second_once_though_their_services_are_killed(site: Site) -> None:
    settings = CRON | {"DLQ_SCHEDULES": {"tick": EVERY_SECOND}}
    runners = [site.start({"*": 1}, **settings), site.start({"*": 1}, **settings)]
    for number in range(2):
        has_run(site, 2 * number + 2)
        os.kill(site.service_pid(runners[number]), signal.SIGKILL)
    has_run(site, 7)
    for runner in runners:
        runner.send(signal.SIGTERM)
    assert [runner.wait(30) for runner in runners] == [0, 0]
    until(lambda: site.counts().keys() <= {State.SUCCEEDED, State.READY}, 10, lambda: f"{site.counts()}")
    due = [fire.due_at for fire in reversed(site.backend.schedules.history(1000))]
    first = due[0]
    assert due == [first + timedelta(seconds=number) for number in range(len(due))]
    ran = seconds_fired(site)
    assert len(ran) == len(set(ran)) >= 7
    assert set(ran) <= {int(at.timestamp()) for at in due}


@pytest.mark.parametrize("vendor", ["postgresql"])
@pytest.mark.parametrize("minutes", [-10, 10])
def test_only_the_clock_of_the_store_counts(site: Site, minutes: int) -> None:
    shift_clock(site.url, minutes)
    runner = site.start({"*": 1}, **CRON, DLQ_SCHEDULES={"tick": EVERY_SECOND})
    has_run(site, 3)
    runner.send(signal.SIGTERM)
    assert runner.wait(30) == 0
    schedules = site.backend.schedules
    history = schedules.history(1000)
    apart = (schedules.clock() - datetime.now(tz=history[0].at.tzinfo)).total_seconds() / 60
    assert apart == pytest.approx(minutes, abs=1)
    assert len({fire.due_at for fire in history}) == len(history)
    for fire in history:
        assert timedelta(0) <= fire.at - fire.due_at < timedelta(minutes=1)


def shift_clock(url: str, minutes: int) -> None:
    """Let the clock of a database be so many minutes ahead of this machine's."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION public.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS "
            f"$$ SELECT pg_catalog.statement_timestamp() + interval '{minutes} minutes' $$"
        )
        name = connection.execute("SELECT current_database()").fetchone()
        assert name is not None
        connection.execute(f'ALTER DATABASE "{name[0]}" SET search_path = public, pg_catalog')


@pytest.mark.parametrize("vendor", ["sqlite"])
@pytest.mark.parametrize("argument", ["--skip-cron", "--only-work"])
def test_a_runner_that_must_not_schedule_does_not(site: Site, argument: str) -> None:
    settings = CRON | {"DLQ_SCHEDULES": {"tick": EVERY_SECOND}}
    site.start({"*": 1}, argument, **settings)
    site.settled(site.enqueue(tasks.noop))
    assert site.backend.schedules.listed(10) == []


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_schedules_fire_in_one_process_too(site: Site) -> None:
    site.start({"*": 1}, "--in-process", **CRON, DLQ_SCHEDULES={"tick": EVERY_SECOND})
    has_run(site, 2)
