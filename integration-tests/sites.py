"""``Site``: a Django project with jobs of its own, and with the real processes that a test starts on it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import pytest
from django.db import transaction
from django.tasks.base import Task

from dlq.backend import QueueBackend
from dlq.job import JobRecord
from dlq.states import FINISHED, State
from dlq.workers import RunnerInfo
from homes import Home, home_at
from processes import SLACK, Process, until

__all__ = ["EVERYWHERE", "HEARTBEAT", "POLL", "THRESHOLD", "Site", "Trace", "Way"]

HERE = Path(__file__).resolve().parent

EVERYWHERE = pytest.mark.parametrize("vendor", ["sqlite", "postgresql", "mariadb", "redis"])
"""Has a test run on every kind of store."""

HEARTBEAT = 0.1
THRESHOLD = 1.0
POLL = 0.1


class Trace(NamedTuple):
    """A line that a task wrote: see ``project.tasks``."""

    event: str
    label: str
    pid: int
    thread: int
    at: float


class Way(Protocol):
    """Something between a process and its database."""

    def url(self, url: str) -> str:
        """The way through it to what ``url`` names."""


class Site:
    """Where jobs are, and how the processes that work on them are set up."""

    def __init__(self, folder: Path, url: str, home: Home) -> None:
        """``folder`` is for its files; ``url`` is the server or database with its jobs, ``home`` what belongs to it."""
        self.url = url
        self.alias = home.alias
        self._home = home
        self.options: dict[str, Any] = {
            "heartbeat_interval": HEARTBEAT,
            "alive_threshold": THRESHOLD,
            "poll_interval": POLL,
        }
        self._folder = folder
        self._runners: list[Process] = []
        self._traces = folder / "traces"
        self._traces.mkdir()

    @classmethod
    @contextlib.contextmanager
    def at(cls, url: str, folder: Path) -> Iterator[Site]:
        """A site whose jobs are at ``url``; what it has started ends with the context."""
        with home_at(url, folder) as home:
            site = cls(folder, url, home)
            try:
                yield site
            finally:
                site._end_all()

    def _end_all(self) -> None:
        for runner in self._runners:
            runner.end()
            print(f"--- {runner.log_file.name}\n{runner.log}")  # pytest shows it when the test has failed.

    # --- The store, beside the processes

    @property
    def backend(self) -> QueueBackend:
        """The backend that the processes know as ``default``."""
        return self._home.backend(self.options)

    def enqueue(self, task: Task[..., Any], *args: Any, **kwargs: Any) -> UUID:
        """Enqueue one job."""
        return UUID(self.backend.enqueue(task, args, kwargs).id)

    def enqueue_each(self, task: Task[..., Any], arguments: Sequence[Sequence[Any]]) -> list[UUID]:
        """Enqueue one job for each tuple of arguments."""
        results = self.backend.enqueue_all([(task, args, {}) for args in arguments])
        return [UUID(result.id) for result in results]

    def transaction(self) -> transaction.Atomic:
        """A transaction of somebody who enqueues."""
        return transaction.atomic(using=self.alias)

    def job(self, id: UUID) -> JobRecord:
        """What the store knows of a job."""
        return self.jobs([id])[0]

    def jobs(self, ids: Sequence[UUID]) -> list[JobRecord]:
        """What the store knows of some jobs, in the order asked for."""
        found = {record.id: record for record in self.backend.store.get(ids)}
        return [found[id] for id in ids]

    def counts(self) -> Counter[State]:
        """How many jobs are in each state."""
        total: Counter[State] = Counter()
        for queue in self.backend.inspector.counts():
            total.update(queue.states)
        return total

    def settled(self, id: UUID, within: float = 10.0) -> JobRecord:
        """The job, as soon as it has finished."""
        until(lambda: self.job(id).state in FINISHED, within, lambda: f"not finished: {self.job(id)}")
        return self.job(id)

    def all_settled(self, ids: Sequence[UUID], within: float = 10.0) -> list[JobRecord]:
        """The jobs, as soon as all of the site's have finished."""
        until(lambda: self.counts().keys() <= FINISHED, within, lambda: f"not finished: {self.counts()}")
        return self.jobs(ids)

    def runners(self) -> list[RunnerInfo]:
        """The registered runners."""
        return self.backend.inspector.runners()

    # --- What tasks did, and what they wait for

    def traces(self, event: str, label: str | None = None) -> list[Trace]:
        """What tasks wrote of this event, in order."""
        file = self._traces / "log"
        lines = file.read_text().splitlines() if file.exists() else []
        split = (line.split() for line in lines)
        found = [Trace(what, name, int(pid), int(thread), float(at)) for what, name, pid, thread, at in split]
        return [trace for trace in found if trace.event == event and label in (None, trace.label)]

    def traced(self, event: str, label: str, times: int = 1, within: float = 10.0) -> Trace:
        """What a task wrote when this happened for the first, or another, time; as soon as it has."""
        until(
            lambda: len(self.traces(event, label)) >= times,
            within,
            lambda: f"{event} {label}: seen {len(self.traces(event, label))} times, not {times}",
        )
        return self.traces(event, label)[times - 1]

    def open(self, *gates: str) -> None:
        """Let tasks pass these gates."""
        for gate in gates:
            (self._traces / f"{gate}.open").touch()

    # --- Processes

    def start(
        self, workers: Mapping[str, Any], *arguments: str, through: Way | None = None, **settings: Any
    ) -> Process:
        """A ``queue_runner``, when all of its workers are registered."""
        runner = self.launch(*arguments, through=through, DLQ_WORKERS=workers, **settings)
        self.has_workers(runner, sum(map(_processes_in, workers.values())))
        return runner

    def launch(
        self,
        *arguments: str,
        command: str = "queue_runner",
        through: Way | None = None,
        environment: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Process:
        """A ``queue_runner``, or another command that goes on, whatever becomes of it."""
        runner = Process(
            [sys.executable, "manage.py", command, *arguments],
            self.environment(settings, through) | dict(environment or {}),
            HERE,
            self._folder / f"runner-{len(self._runners) + 1}.log",
        )
        self._runners.append(runner)
        return runner

    def manage(
        self, *arguments: str, through: Way | None = None, **settings: Any
    ) -> subprocess.CompletedProcess[str]:
        """Another command of ``manage.py``, to its end."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            env=self.environment(settings, through),
            cwd=HERE,
            capture_output=True,
            text=True,
            timeout=30 * SLACK,
            check=False,
        )

    def stall(self, runner: Process, peer: Process) -> None:
        """Stop a runner, but not in the middle of a write to SQLite, whose one lock would stop its peer as well."""

        def beats() -> int:
            return sum(info.beat for info in self.runners() if info.pid == peer.pid)

        for _ in range(10):
            runner.send_all(signal.SIGSTOP)
            before = beats()
            with contextlib.suppress(AssertionError):
                until(lambda: beats() > before + 1, THRESHOLD / 2, lambda: "")  # noqa: B023
                return
            runner.send_all(signal.SIGCONT)
        raise AssertionError(f"the peer does not beat:\n{peer.log}")

    def has_workers(self, runner: Process, count: int) -> None:
        """Return as soon as so many workers of a runner are registered."""
        until(
            lambda: len(self.worker_pids(runner)) == count,
            20,
            lambda: f"of {count} workers, {len(self.worker_pids(runner))} are registered",
            runner,
        )

    def worker_pids(self, runner: Process) -> list[int]:
        """The processes of a runner's registered workers."""
        return [worker.pid for info in self.runners() if info.pid == runner.pid for worker in info.workers]

    def service_pid(self, runner: Process) -> int:
        """The process that beats for a runner: its one child that is no worker."""
        (pid,) = set(runner.children()) - set(self.worker_pids(runner))
        return pid

    def environment(self, settings: Mapping[str, Any], through: Way | None) -> dict[str, str]:
        """The environment of a process of this site, with these settings in place of the project's."""
        url = self.url if through is None else through.url(self.url)
        tasks = {"default": self._home.entry(self.options, url)}
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "DLQ_PROJECT_DATABASE_URL": url if self._home.database == self.url else self._home.database,
            "DLQ_PROJECT_SETTINGS": json.dumps({"TASKS": tasks, **settings}),
            "DLQ_PROJECT_TRACES": str(self._traces),
            "PYTHONUNBUFFERED": "1",
        }


def _processes_in(pool: int | Mapping[str, int]) -> int:
    return pool if isinstance(pool, int) else pool.get("processes", 1)
