"""A runner whose parts are threads: the same promises as with processes, but for what only a kill can do."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pytest_django import Settings as DjangoSettings

from dlq import MemoryBackend, State, hooks, task
from dlq.conf import Settings, WorkerPool
from dlq.errors import ConfigError, TaskTimeout
from dlq.runtime.executor import ThreadExecutor
from dlq.runtime.inprocess import InProcessRunner
from dlq.runtime.options import RunnerOptions
from dlq.runtime.threaded import _UnguardedPage
from dlq.selectors import Selector
from dlq.store import MemoryInspector, MemoryStore
from dlq.testing.contract.builders import add, record, register, state_of
from dlq.workers import Order, RunnerInfo

LATE = 30.0
"""Seconds that no test waits."""
SOON = 0.02

KINDS = {
    "in the main thread elsewhere": {},
    "threads": {"threads": 2},
    "coroutines": {"concurrency": 2},
}


# --- Tasks, each with the gate that its test opens ---

gate = threading.Event()
began = threading.Semaphore(0)
left = threading.Event()


@task(queue="mail")
def hold() -> None:
    began.release()
    gate.wait(LATE)
    left.set()


@task(queue="mail", sigkill_on_stop=True)
def hold_if_there_is_time() -> None:
    began.release()
    gate.wait(LATE)


@task(queue="mail")
async def hold_on_loop() -> None:
    began.release()
    while not gate.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    left.set()


@task(queue="mail", timeout=0.01)
def notice_timeout() -> str:
    try:
        while True:
            gate.wait(0.001)
    except TaskTimeout:
        return "noticed"


@task(queue="mail")
def answer() -> int:
    return 42


# --- The rig ---


@pytest.fixture(autouse=True)
def closed_gates() -> Iterator[None]:
    gate.clear()
    left.clear()
    while began.acquire(blocking=False):
        pass
    yield
    gate.set()


@pytest.fixture(autouse=True)
def quick(faulty: MemoryBackend, settings: DjangoSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for long, nothing was said yet, and nobody has hooks."""
    options = {"poll_interval": SOON, "heartbeat_interval": SOON, "alive_threshold": 1.0}
    settings.TASKS = {"default": {"BACKEND": "dlq.MemoryBackend", "OPTIONS": options}}
    monkeypatch.setattr("dlq.runtime.inprocess.LAST_WORDS", LATE)
    monkeypatch.setattr("dlq.hooks._hooks", {event: [] for event in hooks.EVENTS})
    monkeypatch.setattr(_UnguardedPage, "_has_said_so", False)


type Make = Callable[..., InProcessRunner]


@pytest.fixture
def make(faulty: MemoryBackend) -> Iterator[Make]:
    """Makes runners, by default of one pool for the queue ``mail``; they are stopped when the test ends."""
    made: list[InProcessRunner] = []

    def one(
        *pools: WorkerPool, in_main_thread: bool = False, patience: float = LATE, **options: Any
    ) -> InProcessRunner:
        chosen = RunnerOptions(pools=pools or [pool("mail")], aliases=["default"], **options)
        made.append(
            InProcessRunner(Settings(shutdown_timeout=patience), chosen, in_main_thread=in_main_thread)
        )
        return made[-1]

    yield one
    gate.set()
    for runner in made:
        runner.stop(LATE)


@pytest.fixture
def errors(settings: DjangoSettings) -> list[BaseException]:
    """What was reported to ``DLQ_ON_ERROR``."""
    _reported.clear()
    settings.DLQ_ON_ERROR = f"{__name__}.report"
    return _reported


_reported: list[BaseException] = []


def report(error: BaseException) -> None:
    _reported.append(error)


def pool(selector: str, **fields: Any) -> WorkerPool:
    return WorkerPool(selector=Selector(selector), **fields)


def runners(store: Any) -> list[RunnerInfo]:
    return MemoryInspector(store).runners()


class Happens:
    """Waits until a verb of the store has been called, this or another time."""

    def __init__(self, store: Any, verb: str) -> None:
        self._calls = threading.Semaphore(0)
        self._store, self._verb = store, verb
        self._again()

    def _again(self) -> None:
        self._store.meanwhile[self._verb] = self._note

    def _note(self) -> None:
        self._again()
        self._calls.release()

    def times(self, count: int) -> None:
        for _ in range(count):
            assert self._calls.acquire(timeout=LATE), f"{self._verb} was not called"


def until(condition: Callable[[], object]) -> None:
    """Wait for what no hook tells of."""
    waiting = threading.Event()
    for _ in range(int(LATE / SOON)):
        if condition():
            return
        waiting.wait(SOON)
    raise AssertionError("it did not happen")


def settled(store: Any, id: Any) -> State:
    until(lambda: state_of(store, id) not in (State.READY, State.RUNNING, State.SCHEDULED))
    return state_of(store, id)


def job(of: Any) -> UUID:
    return UUID(of.enqueue().id)


# --- It runs jobs ---


def test_a_job_begins_long_before_anybody_would_look(
    make: Make, store: Any, settings: DjangoSettings
) -> None:
    hours = {"poll_interval": 3600, "heartbeat_interval": 3600, "alive_threshold": 3 * 3600}
    settings.TASKS = {"default": {"BACKEND": "dlq.MemoryBackend", "OPTIONS": hours}}
    rests = Happens(store, "exchange")
    make().start()
    rests.times(1)
    assert settled(store, job(answer)) is State.SUCCEEDED


@pytest.mark.parametrize("fields", KINDS.values(), ids=KINDS)
def test_every_kind_of_worker_runs_jobs(make: Make, store: Any, fields: dict[str, int]) -> None:
    before, runner = job(answer), make(pool("mail", **fields))
    runner.start()
    assert settled(store, before) is State.SUCCEEDED
    assert settled(store, job(answer)) is State.SUCCEEDED


def test_it_is_known_to_its_store_with_its_workers_while_it_lives(make: Make, store: Any) -> None:
    with make(pool("mail"), pool("slow", threads=3)) as runner:
        until(lambda: runners(store) and len(runners(store)[0].workers) == 2)
        (info,) = runners(store)
    assert (info.id, info.pid) == (runner.info.id, runner.info.pid)
    assert {(worker.queues, worker.slots, worker.kind) for worker in info.workers} == {
        ("mail", 1, "threads"),
        ("slow", 3, "threads"),
    }
    assert len({worker.id for worker in info.workers}) == 2
    assert runners(store) == []


def test_it_beats(make: Make, store: Any) -> None:
    beats = Happens(store, "beat")
    with make():
        beats.times(3)
        assert runners(store)[0].beat >= 3


def test_upkeep_alone_needs_no_workers(make: Make, store: Any) -> None:
    looks, runner = (
        Happens(store, "look"),
        InProcessRunner(Settings(), RunnerOptions(pools=[], aliases=["default"])),
    )
    with runner:
        looks.times(2)
        assert list(runners(store)[0].workers) == []


def test_process_counts_become_one_and_it_says_so_once(
    make: Make, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with make(pool("mail", processes=4), pool("slow"), pool("other", processes=2, threads=2)):
        until(lambda: runners(store) and len(runners(store)[0].workers) == 3)
    said = [line for line in caplog.messages if "threads of one process" in line]
    assert said == [
        "All workers are threads of one process here: there is one worker each for mail, other, not several."
    ]


def test_a_worker_is_not_replaced_for_what_it_has_done(
    make: Make, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with make(pool("mail", max_jobs=1, max_memory=1)) as runner:
        ids = [job(answer) for _ in range(3)]
        assert [settled(store, id) for id in ids] == [State.SUCCEEDED] * 3
        assert [worker.id for worker in runners(store)[0].workers] == [f"{runner.info.id}/1"]
    assert "max_jobs and max_memory of mail count for nothing" in caplog.text


def test_a_burst_ends_when_no_job_is_left(make: Make, store: Any, handlers: dict[int, Any]) -> None:
    ids = [job(answer) for _ in range(5)]
    later = add(store, queue="elsewhere")
    assert make(pool("mail"), pool("other"), burst=True).run() == 0
    assert {state_of(store, id) for id in ids} == {State.SUCCEEDED}
    assert state_of(store, later) is State.READY
    assert runners(store) == []


def test_the_file_of_a_queue_is_touched_when_a_job_succeeded(make: Make, store: Any, tmp_path: Path) -> None:
    runner = make(touchfile=str(tmp_path / "%s.touched"))
    with runner:
        settled(store, job(answer))
    assert [file.name for file in tmp_path.iterdir()] == ["mail.touched"]
    (tmp_path / "mail.touched").unlink()
    with make():
        settled(store, job(answer))
    assert list(tmp_path.iterdir()) == []


# --- The end ---


def test_stop_waits_for_what_runs_and_starts_nothing_more(make: Make, store: Any, in_thread: Any) -> None:
    running, runner = job(hold), make()
    runner.start()
    assert began.acquire(timeout=LATE)
    waiting, stopping = job(answer), in_thread(runner.stop)
    until(lambda: runner._ends_at)
    gate.set()
    stopping.join(LATE)
    assert (state_of(store, running), state_of(store, waiting)) == (State.SUCCEEDED, State.READY)
    assert runners(store) == []


@pytest.mark.parametrize("fields", KINDS.values(), ids=KINDS)
def test_when_patience_ends_what_runs_goes_back_uncounted_and_is_nobodys_business(
    make: Make, store: Any, fields: dict[str, int]
) -> None:
    id, runner = job(hold), make(pool("mail", **fields))
    runner.start()
    assert began.acquire(timeout=LATE)
    runner.stop(0.0)
    assert runner.is_busy
    assert runners(store) == []
    # Another takes it, while the first still runs it.
    other = register(store, "elsewhere/1")
    (claim,) = store.exchange(other, [], ["mail"], 1).claims
    gate.set()
    assert left.wait(LATE)
    until(lambda: not runner.is_busy)
    assert (claim.id, claim.attempts, claim.interruptions) == (id, 0, 0)
    assert (state_of(store, id), record(store, id).worker) == (State.RUNNING, "elsewhere/1")


def test_a_coroutine_goes_back_as_well(make: Make, store: Any) -> None:
    id, runner = job(hold_on_loop), make(pool("mail", concurrency=2))
    runner.start()
    assert began.acquire(timeout=LATE)
    runner.stop(0.0)
    found = record(store, id)
    assert (found.state, found.attempts, found.interruptions, found.history) == (State.READY, 0, 0, ())


def test_what_need_not_finish_is_not_waited_for(make: Make, store: Any) -> None:
    id, runner = job(hold_if_there_is_time), make()
    runner.start()
    assert began.acquire(timeout=LATE)
    runner.stop(LATE * 1000)
    assert (state_of(store, id), record(store, id).interruptions) == (State.READY, 0)


def test_a_store_that_does_not_come_back_cannot_keep_it(
    make: Make, store: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dlq.runtime.inprocess.LAST_WORDS", 10 * SOON)
    id, runner = job(hold), make()
    runner.start()
    assert began.acquire(timeout=LATE)
    store.is_away = True
    runner.stop(0.0)
    assert "The store did not take everything back in time" in caplog.text
    # Past the fault: once the store is back, what is left of the runner may yet hand the job back.
    assert MemoryStore.get(store, [id])[0].state is State.RUNNING
    store.is_away = False


def test_what_a_store_refuses_to_take_back_is_offered_again(make: Make, store: Any) -> None:
    id, runner = job(hold), make()
    runner.start()
    assert began.acquire(timeout=LATE)
    for verb in ("reconcile", "held"):
        store.fail(verb)
    runner.stop(0.0)
    assert (state_of(store, id), record(store, id).interruptions) == (State.READY, 0)


def test_stopping_again_and_before_the_start_does_nothing(make: Make, store: Any) -> None:
    runner = make()
    runner.stop()
    runner.start()
    runner.stop()
    runner.stop()
    assert runners(store) == []


def test_a_runner_starts_once(make: Make) -> None:
    runner = make()
    runner.start()
    with pytest.raises(RuntimeError, match="was started before; make another one"):
        runner.start()


# --- As a process of its own ---


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """The signal handlers of the moment, called by hand."""
    now: dict[int, Any] = {}

    def install(number: int, handler: Any) -> Any:
        before = now.get(number)
        now[number] = handler
        return before

    monkeypatch.setattr("dlq.runtime.inprocess.signal.signal", install)
    return now


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("again", [0, 3])
def test_a_signal_lets_running_jobs_finish(
    make: Make, store: Any, in_thread: Any, handlers: dict[int, Any], number: int, again: int
) -> None:
    id, runner = job(hold), make()
    running = in_thread(runner.run)
    assert began.acquire(timeout=LATE)
    handlers[number](number, None)
    for _ in range(again):
        handlers[signal.SIGTERM](signal.SIGTERM, None)  # As some platforms do.
    until(lambda: runner._ends_at)
    gate.set()
    running.join(LATE)
    assert state_of(store, id) is State.SUCCEEDED
    assert set(handlers.values()) == {None}


def test_a_second_ctrl_c_hands_back_and_ends_the_process(
    make: Make, store: Any, in_thread: Any, handlers: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr("dlq.runtime.inprocess.end_process", ended.append)
    id, runner = job(hold), make()
    running = in_thread(runner.run)
    assert began.acquire(timeout=LATE)
    for _ in range(2):
        handlers[signal.SIGINT](signal.SIGINT, None)
    running.join(LATE)
    assert (state_of(store, id), record(store, id).interruptions) == (State.READY, 0)
    assert ended == [0]


def test_sigquit_ends_the_process_at_once(
    make: Make, store: Any, in_thread: Any, handlers: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    codes: list[int] = []
    monkeypatch.setattr("dlq.runtime.inprocess.end_process", lambda code: (codes.append(code), ended.set()))
    runner = make()
    running = in_thread(runner.run)
    until(lambda: runners(store))
    handlers[signal.SIGQUIT](signal.SIGQUIT, None)
    assert ended.wait(LATE)
    assert codes == [128 + signal.SIGQUIT]
    runner.stop()
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    running.join(LATE)


def test_in_the_foreground_jobs_run_in_the_thread_that_called(
    make: Make, store: Any, handlers: dict[int, Any]
) -> None:
    names: list[str] = []
    runner = InProcessRunner(
        Settings(),
        RunnerOptions(pools=[pool("mail")], aliases=["default"], burst=True),
        first_number=7,
        in_main_thread=True,
    )
    hooks.register_hook("worker.start", lambda process: names.append(process.name))
    id = job(name_thread)
    assert runner.run() == 0
    assert record(store, id).result == f'"{threading.current_thread().name}"'
    assert names == [f"{runner.info.id}/7"]


@task(queue="mail")
def name_thread() -> str:
    return threading.current_thread().name


# --- What it is told through the store ---


def worker_of(store: Any) -> Any:
    until(lambda: runners(store) and runners(store)[0].workers)
    return runners(store)[0].workers[0]


def test_a_ping_is_confirmed(make: Make, store: Any) -> None:
    with make():
        number = store.instruct(worker_of(store).id, Order.PING)
        until(lambda: worker_of(store).heeded == number)


def test_a_worker_told_to_stop_ends_and_is_not_replaced(make: Make, store: Any) -> None:
    looks = Happens(store, "look")
    with make() as runner:
        store.instruct(worker_of(store).id, Order.STOP)
        until(lambda: not runner._seats[0].is_taken)
        looks.times(2)
        assert list(runners(store)[0].workers) == []


def test_a_quiet_worker_claims_nothing_and_neither_does_its_successor(
    make: Make, store: Any, errors: list[BaseException]
) -> None:
    with make():
        number = store.instruct(worker_of(store).id, Order.QUIET)
        until(lambda: worker_of(store).heeded == number)
        waiting, asked = job(answer), Happens(store, "register_worker")
        store.fail("heed", ZeroDivisionError("a defect"))
        store.instruct(worker_of(store).id, Order.PING)
        asked.times(1)
        assert worker_of(store).order is Order.QUIET
        Happens(store, "look").times(3)
        assert state_of(store, waiting) is State.READY


def test_a_running_job_is_cancelled(make: Make, store: Any) -> None:
    id = job(spin)
    with make():
        assert began.acquire(timeout=LATE)
        store.cancel([id], "not needed")
        assert settled(store, id) is State.CANCELLED


@task(queue="mail")
def spin() -> None:
    began.release()
    while not gate.is_set():
        gate.wait(0.001)


def test_a_paused_queue_gives_nothing(make: Make, store: Any) -> None:
    store.pause("mail")
    id = job(answer)
    with make():
        Happens(store, "look").times(3)
        assert state_of(store, id) is State.READY
        store.resume("mail")
        assert settled(store, id) is State.SUCCEEDED


# --- Outages and defects ---


def test_a_store_that_is_away_at_the_start_is_waited_for(
    make: Make, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store.is_away = True
    with make():
        until(lambda: "Trying again until it is back" in caplog.text)
        store.is_away = False
        assert settled(store, job(answer)) is State.SUCCEEDED


def test_while_it_waits_for_its_store_it_can_be_stopped(
    make: Make, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store.is_away = True
    runner = make()
    runner.start()
    until(lambda: "Trying again until it is back" in caplog.text)
    runner.stop()
    assert "has stopped" in caplog.text


@pytest.mark.parametrize("verb", ["look", "beat", "ping", "register_runner"])
def test_after_a_defect_the_upkeep_begins_anew(
    make: Make, store: Any, errors: list[BaseException], verb: str
) -> None:
    store.fail(verb, ZeroDivisionError("a defect"))
    with make():
        assert settled(store, job(answer)) is State.SUCCEEDED
        until(lambda: errors)
    assert [str(error) for error in errors] == ["a defect"]
    assert runners(store) == []


def test_after_a_defect_another_worker_takes_the_seat_and_the_jobs(
    make: Make, store: Any, errors: list[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """The job was running, and is interrupted, as if the process of its worker had died."""
    id = job(hold)
    with make() as runner:
        assert began.acquire(timeout=LATE)
        store.fail("heed", ZeroDivisionError("a defect"))
        store.instruct(worker_of(store).id, Order.PING)
        assert began.acquire(timeout=LATE)
        gate.set()
        assert settled(store, id) is State.SUCCEEDED
        assert record(store, id).worker == f"{runner.info.id}/2"
    assert record(store, id).interruptions == 1
    assert [str(error) for error in errors] == ["a defect"]
    assert "failed through a defect" in caplog.text


def test_after_a_defect_where_jobs_run_another_worker_takes_the_seat(
    make: Make, store: Any, errors: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, failed = ThreadExecutor.serve, []

    def fail_once(self: ThreadExecutor) -> None:
        if not failed:
            failed.append(True)
            raise ZeroDivisionError("a defect")
        original(self)

    monkeypatch.setattr(ThreadExecutor, "serve", fail_once)
    with make() as runner:
        id = job(answer)
        assert settled(store, id) is State.SUCCEEDED
        assert record(store, id).worker == f"{runner.info.id}/2"
    assert [str(error) for error in errors] == ["a defect"]


def test_wrong_options_are_named_at_the_start(make: Make, store: Any, settings: DjangoSettings) -> None:
    settings.TASKS = {"default": {"BACKEND": "dlq.MemoryBackend", "OPTIONS": {"poll_intervall": 1}}}
    with pytest.raises(ConfigError, match="poll_intervall"):
        make().start()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("dlq-")]


# --- What nobody can do here ---


def test_a_timeout_is_raised_inside_and_that_nothing_is_killed_is_said_once(
    make: Make, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with make():
        ids = [job(notice_timeout) for _ in range(2)]
        assert [settled(store, id) for id in ids] == [State.SUCCEEDED] * 2
    assert record(store, ids[0]).result == '"noticed"'
    assert len([line for line in caplog.messages if "it is not killed" in line]) == 1


@task(queue="mail", timeout=0.01)
def ignore_timeout() -> None:
    began.release()
    while not gate.is_set():
        try:
            while not gate.is_set():
                gate.wait(0.001)
        except TaskTimeout:
            began.release()


def test_a_job_that_ignores_its_timeout_is_named_once(
    faulty: MemoryBackend, store: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlq.runtime.threaded.LOOK_EVERY", 0.0)
    options = RunnerOptions(pools=[pool("mail")], aliases=["default"])
    id = job(ignore_timeout)
    with InProcessRunner(Settings(kill_after=0.01), options):
        until(lambda: "ignored its timeout" in caplog.text)
        Happens(store, "look").times(5)
        gate.set()
    said = [line for line in caplog.messages if "ignored its timeout" in line]
    assert said == [f"Job {id} ignored its timeout; nothing can end it here before it ends itself."]


# --- Hooks, and what an import does ---


def test_hooks_are_called_in_the_order_of_its_life(make: Make, store: Any) -> None:
    told: list[tuple[str, str]] = []
    for event in hooks.EVENTS:
        hooks.register_hook(event, lambda process, event=event: told.append((event, process.kind)))
    with make():
        settled(store, job(answer))
    assert told == [
        (event, event.partition(".")[0])
        for event in (
            "runner.start",
            "service.start",
            "worker.start",
            "runner.stop",
            "service.stop",
            "worker.stop",
            "worker.exit",
            "service.exit",
            "runner.exit",
        )
    ]


def test_an_import_starts_nothing() -> None:
    code = (
        "import threading, dlq.contrib.asgi, dlq.contrib.gunicorn, dlq.runtime.reloading;"
        "assert threading.active_count() == 1"
    )
    # Without settings too: servers import it before the site is loaded.
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
