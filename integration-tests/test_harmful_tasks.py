"""What a task does to its process ends that job alone: the next ones run as if nothing had been."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from inspect import iscoroutinefunction
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from pytest_django import DjangoDbBlocker

from databases import Databases
from dlq.job import JobRecord
from dlq.states import State
from processes import Process, is_running, until
from project import harmful, surroundings, tasks
from sites import HERE, Site


class Mode(NamedTuple):
    """A kind of worker, and how jobs meet it."""

    vendor: str
    pool: Mapping[str, int]
    together: int = 1
    """How many functions run at a time."""
    on_loop: bool = False
    """Whether tasks run as coroutines."""


MODES = {
    "process": Mode("sqlite", {"processes": 1}),
    "threads": Mode("postgresql", {"processes": 1, "threads": 2}, together=2),
    "functions beside a loop": Mode("sqlite", {"processes": 1, "concurrency": 4, "threads": 2}, together=2),
    "coroutines": Mode("postgresql", {"processes": 1, "concurrency": 4}, on_loop=True),
}


@dataclass(frozen=True, kw_only=True)
class Ruin:
    """What a task does, and what becomes of its job."""

    task: tasks.AnyTask
    arguments: tuple[Any, ...] = ()
    exception: str | None = None
    """The class that the job ends with; None when it succeeds."""
    words: str = ""
    """What its traceback says."""
    result: Any = None
    logged: str = ""
    """What the log says of the job."""
    lost: bool = False
    """Whether it costs the process."""
    interruptions: int = 0
    otherwise: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What is different in some modes."""

    def in_mode(self, mode: str) -> Ruin:
        """The same ruin as it goes there."""
        return replace(self, **self.otherwise.get(mode, {}))


def raises(task: tasks.AnyTask, exception: str, words: str = "enough", **options: Any) -> Ruin:
    return Ruin(task=task, exception=exception, words=words, **options)


def throws(name: str, exception: str, words: str = "enough", **options: Any) -> Ruin:
    return raises(harmful.throw, exception, words, arguments=(name,), **options)


def gives(name: str, words: str) -> Ruin:
    return raises(harmful.give, "builtins.TypeError", words, arguments=(name,))


def changes(task: tasks.AnyTask, what: str = "", *arguments: Any, **options: Any) -> Ruin:
    return Ruin(task=task, arguments=arguments, logged=f"{what}, which is put back", **options)


def forks(task: tasks.AnyTask, code: int) -> Ruin:
    return Ruin(
        task=task, result=code, logged="forked has come back to the worker; it ends" if code > 0 else ""
    )


def kills(task: tasks.AnyTask, words: str) -> Ruin:
    return raises(task, "dlq.errors.WorkerLost", words, lost=True, interruptions=1)


ONLY_IN_MAIN_THREAD = {
    "exception": "builtins.ValueError",
    "words": "signal only works in main thread",
    "logged": "",
}
ELSEWHERE_IN_THREADS = {"threads": ONLY_IN_MAIN_THREAD, "functions beside a loop": ONLY_IN_MAIN_THREAD}
NOT_JSON = "The return value must survive JSON unchanged"

RUINS = {
    "sys.exit": raises(harmful.leave, "builtins.SystemExit"),
    "KeyboardInterrupt": throws("KeyboardInterrupt", "builtins.KeyboardInterrupt"),
    "a BaseException": throws("BaseException", "project.harmful.Unheard"),
    "GeneratorExit": throws("GeneratorExit", "builtins.GeneratorExit"),
    "StopIteration": throws(
        "StopIteration",
        "builtins.StopIteration",
        otherwise={"coroutines": {"exception": "builtins.RuntimeError"}},
    ),
    "CancelledError": throws("CancelledError", "asyncio.exceptions.CancelledError"),
    "an exception without words": throws(
        "without words", "project.harmful.Unspeakable", "project.harmful.Unspeakable"
    ),
    "os._exit": kills(harmful.end_process, "exited with code 3"),
    "recursion": raises(harmful.recurse, "builtins.RecursionError", "maximum recursion depth"),
    "recursion in C": raises(harmful.recurse_in_c, "builtins.RecursionError", "maximum recursion depth"),
    "all memory": raises(harmful.exhaust_memory, "builtins.MemoryError", "MemoryError"),
    "an object": gives("object", NOT_JSON),
    "an object without words": gives("evil", NOT_JSON),
    "a set": gives("set", NOT_JSON),
    "a cycle": gives("cycle", "contains itself"),
    "a deep value": gives("deep", "nested too deeply"),
    "NaN": gives("NaN", NOT_JSON),
    "200 MB of output": Ruin(task=harmful.print_much),
    "a closed connection": Ruin(task=harmful.close_connection),
    "a closed connection in use": raises(
        harmful.close_connection_and_use_it,
        "django.db.utils.OperationalError",
        "closed",
        otherwise={
            mode: {"exception": "django.db.utils.ProgrammingError"}
            for mode in ("process", "functions beside a loop")
        },
    ),
    "an open transaction": Ruin(task=harmful.leave_transaction_open),
    "a broken transaction": raises(
        harmful.break_transaction,
        "django.db.utils.ProgrammingError",
        "nonsense",
        otherwise={
            mode: {"exception": "django.db.utils.OperationalError"}
            for mode in ("process", "functions beside a loop")
        },
    ),
    "a fork that returns": forks(harmful.fork_and_return, 70),
    "a fork that raises": forks(harmful.fork_and_raise, 70),
    "a fork that exits": forks(harmful.fork_and_leave, 70),
    "a fork that is terminated": forks(harmful.fork_and_terminate, -signal.SIGTERM),
    "a segmentation fault": kills(harmful.crash_process, "exited with signal 11 (SIGSEGV)"),
    "another working directory": changes(harmful.move, "the working directory"),
    "no working directory": changes(harmful.move_to_nowhere, "the working directory"),
    "another umask": changes(harmful.set_umask, "the umask"),
    "another locale": changes(harmful.set_locale, "the locale"),
    "another language": Ruin(task=harmful.set_language),
    "a low recursion limit": changes(harmful.set_recursion_limit, "the recursion limit"),
    "ignored signals": changes(
        harmful.ignore_signals,
        "SIGCHLD, SIGTERM, SIGUSR1",
        otherwise=ELSEWHERE_IN_THREADS,
    ),
    "blocked signals": changes(harmful.block_signals),
    "an alarm": changes(harmful.set_alarm, otherwise={"process": {"logged": ""}}),
    "a timer": changes(harmful.set_timer, "", signal.ITIMER_REAL, otherwise={"process": {"logged": ""}}),
    "a timer of its own time": changes(harmful.set_timer, "", signal.ITIMER_VIRTUAL),
    "a timer of its processor time": changes(harmful.set_timer, "", signal.ITIMER_PROF),
    "closed streams": changes(harmful.close_streams, "the standard streams"),
    "closed descriptors": changes(harmful.close_descriptors, "the standard streams"),
    "descriptors for other files": changes(harmful.take_descriptors, "the standard streams"),
    "no streams": changes(harmful.lose_streams, "the standard streams"),
    "kill -9": kills(harmful.kill_process, "exited with signal 9 (SIGKILL)"),
}

LOOPS = ("functions beside a loop", "coroutines")
ALONE_AFTERWARDS = {mode: {"interruptions": 1} for mode in LOOPS}
"""Who has cancelled a job, itself or another, shows when it runs again, alone."""

RUINS_OF_LOOPS = {
    "tasks that stay": Ruin(
        task=harmful.leave_tasks,
        otherwise={
            mode: {"logged": "left tasks running on the event loop: _stay, _stay, _stay"} for mode in LOOPS
        },
    ),
    "cancelling itself": raises(
        harmful.cancel_itself, "asyncio.exceptions.CancelledError", otherwise=ALONE_AFTERWARDS
    ),
    "sys.exit in a task of its own": raises(
        harmful.exit_from_subtask, "builtins.SystemExit", "from a task of its own"
    ),
    "stopping the loop": raises(
        harmful.stop_loop,
        "builtins.RuntimeError",
        "Event loop stopped",
        otherwise={mode: {"exception": None} for mode in LOOPS},
    ),
    "cancelling all tasks": raises(
        harmful.cancel_everything,
        "asyncio.exceptions.CancelledError",
        "CancelledError",
        otherwise=ALONE_AFTERWARDS,
    ),
}

WITH_A_NEIGHBOUR = (
    "sys.exit",
    "KeyboardInterrupt",
    "a cycle",
    "a closed connection",
    "an open transaction",
    "a fork that returns",
    "another working directory",
    "blocked signals",
    "an alarm",
    "closed descriptors",
)


class QuietSite(Site):
    """Its runners print to nowhere; what they log is kept."""

    def launch(self, *arguments: str, command: str = "queue_runner", **settings: Any) -> Process:
        """As that of every site."""
        start = ["sh", "-c", 'exec "$@" >/dev/null', "sh", sys.executable, "manage.py", command, *arguments]
        log = self._folder / f"runner-{len(self._runners) + 1}.log"
        runner = Process(start, self.environment(settings, None), HERE, log)
        self._runners.append(runner)
        return runner


class Worker:
    """The one worker of a runner, that all ruins of a mode meet one after another."""

    def __init__(self, name: str, databases: Databases, folders: Iterator[Path]) -> None:
        self.name = name
        self.mode = MODES[name]
        self._databases = databases
        self._folders = folders
        self._resources = ExitStack()
        self._is_started = False
        self.is_sound = False
        """Whether a test has come to its end."""
        self.found: dict[str, Any] = {}
        """What jobs have found last."""

    def start(self) -> None:
        """Start it, with a database and a runner of its own, unless it is there."""
        if self._is_started:
            return
        folder = next(self._folders)
        url = self._resources.enter_context(self._databases.new(folder))
        self.site = self._resources.enter_context(QuietSite.at(url, folder))
        self.site.options |= {"max_interruptions": 0, "poll_interval": 0.02}
        self.runner = self.site.start({"*": self.mode.pool})
        self.probe()  # Threads start when they are needed first.
        self.look()
        self._is_started = True

    def end(self) -> None:
        """End it."""
        self._resources.close()
        self._is_started = False

    def enqueue(self, task: tasks.AnyTask, *arguments: Any) -> UUID:
        """Enqueue a job of this kind of worker."""
        if self.mode.on_loop and not iscoroutinefunction(task.func):
            return self.site.enqueue(harmful.on_loop, task.name, *arguments)
        return self.site.enqueue(task, *arguments)

    def look(self) -> dict[str, Any]:
        """What jobs find, in every thread of the worker."""
        found, other = self.probe()
        assert found == other
        assert found["database"] == [42, False, True]
        self.found = found
        return found

    def probe(self) -> list[dict[str, Any]]:
        """What each of two jobs finds."""
        probe, arguments = (
            (surroundings.probe_on_loop, ())
            if self.mode.on_loop
            else (surroundings.probe, (self.mode.together,))
        )
        ids = self.site.enqueue_each(probe, [arguments] * 2)
        return [self._answer(self.site.settled(id)) for id in ids]

    def _answer(self, record: JobRecord) -> dict[str, Any]:
        assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 0), record
        assert record.result is not None
        answer: dict[str, Any] = json.loads(record.result)
        return answer

    def ends(self, id: UUID, ruin: Ruin) -> None:
        """Assert that the job has ended as it should."""
        record = self.site.settled(id)
        state = State.FAILED if ruin.exception else State.SUCCEEDED
        assert (record.state, record.interruptions) == (state, ruin.interruptions), record
        assert {attempt.failure.exception for attempt in record.history} == ({ruin.exception} - {None})
        if ruin.exception is None:
            assert (record.attempts, json.loads(record.result or "")) == (1, ruin.result)
        else:
            assert ruin.words in record.history[-1].failure.traceback
        if ruin.logged:
            says = [line for line in self.runner.log.splitlines() if str(id) in line]
            assert any(ruin.logged in line for line in says), says


@pytest.fixture(scope="module", params=MODES)
def workers(
    request: pytest.FixtureRequest,
    databases: dict[str, Databases],
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[Worker]:
    """The worker of each mode, for all tests."""
    folders = (tmp_path_factory.mktemp("harmful") for _ in count())
    worker = Worker(request.param, databases[MODES[request.param].vendor], folders)
    with django_db_blocker.unblock():
        yield worker
        worker.end()


@pytest.fixture
def worker(workers: Worker) -> Iterator[Worker]:
    """The worker, ready; after a test that has failed it is another, so that one defect fails one test."""
    workers.is_sound = False
    workers.start()
    yield workers
    if not workers.is_sound:
        workers.end()


@pytest.mark.parametrize("name", RUINS | RUINS_OF_LOOPS)
def test_a_ruinous_task_ends_alone_and_the_next_jobs_find_all_as_it_was(worker: Worker, name: str) -> None:
    ruin = (RUINS | RUINS_OF_LOOPS)[name].in_mode(worker.name)
    before = worker.found
    worker.ends(worker.enqueue(ruin.task, *ruin.arguments), ruin)
    if ruin.lost:
        worker.probe()  # As at its start.
    after = worker.look()
    assert after["world"] == before["world"]
    assert (after["process"] != before["process"]) is ruin.lost
    worker.is_sound = True


@pytest.mark.parametrize("workers", [mode for mode in MODES if mode != "process"], indirect=True)
def test_a_running_neighbour_is_not_touched(worker: Worker) -> None:
    neighbour = worker.site.enqueue(tasks.hold_on_loop if worker.mode.on_loop else tasks.hold, "neighbour")
    process = worker.site.traced("began", "neighbour").pid
    for name in WITH_A_NEIGHBOUR:
        ruin = replace(RUINS[name].in_mode(worker.name), logged="")
        worker.ends(worker.enqueue(ruin.task, *ruin.arguments), ruin)
    worker.site.open("neighbour")
    worker.ends(neighbour, Ruin(task=tasks.hold, result=process))
    worker.is_sound = True


def test_a_fork_that_goes_on_ends_when_it_comes_back(worker: Worker) -> None:
    before = worker.found
    id = worker.enqueue(harmful.fork_and_go_on, "fork")
    child = int(worker.site.settled(id).result or 0)
    assert worker.look() == before
    assert is_running(child)
    worker.site.open("fork")
    worker.runner.logged(f"A process that job {id}")
    until(lambda: not is_running(child), 10, lambda: "The child goes on.")
    assert worker.look() == before
    worker.is_sound = True


def test_what_a_task_sets_in_the_environment_stays_for_the_jobs_of_its_process(worker: Worker) -> None:
    worker.ends(worker.enqueue(harmful.set_environment), Ruin(task=harmful.set_environment))
    assert worker.look()["environment"] == "set"
    worker.is_sound = True


def test_at_last_with_threads_and_forks_left_behind_a_sigterm_still_ends_the_runner(worker: Worker) -> None:
    before = worker.found
    threads = worker.enqueue(harmful.start_threads, "never")
    worker.ends(
        threads, Ruin(task=harmful.start_threads, logged="left threads running: stray-0, stray-1, stray-2")
    )
    assert worker.site.settled(worker.enqueue(harmful.fork_and_go_on, "never")).state is State.SUCCEEDED
    assert worker.look() == before
    worker.runner.send(signal.SIGTERM)
    assert worker.runner.wait() == 0
