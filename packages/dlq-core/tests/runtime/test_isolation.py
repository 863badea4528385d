"""Ruinous tasks: each ends itself at most, and the next job runs as if nothing had been."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import io
import json
import locale
import logging
import os
import signal
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.utils import timezone, translation

from dlq import MemoryBackend, State, task
from dlq.job import Claim, Outcome
from dlq.runtime.isolation import STRAY_FORK, Home

from .rig import KINDS, NEVER, Rig, values

ClaimOf = Callable[..., Claim]
every_kind = pytest.mark.parametrize("kind", KINDS)
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
"""A fork with threads around is just what these tasks do."""
RELEASE = threading.Event()
"""Ends the threads that tasks have left running."""
CHILDREN: list[int] = []
"""Processes that tasks have forked."""
VARIABLE = contextvars.ContextVar("VARIABLE", default="clean")


# --- What tasks do ---


def exit_python() -> None:
    sys.exit()


def interrupt() -> None:
    raise KeyboardInterrupt


def recurse() -> None:
    recurse()


def return_what_is_no_json() -> object:
    return object()


def change_directory() -> None:
    os.chdir("/")


def remove_directory() -> None:
    gone = Path(f"gone-{os.getpid()}").absolute()
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()


def change_umask() -> None:
    os.umask(0o000)


def change_locale() -> None:
    locale.setlocale(locale.LC_ALL, "POSIX" if locale.setlocale(locale.LC_ALL) != "C" else "C.UTF-8")


def raise_the_recursion_limit() -> None:
    sys.setrecursionlimit(sys.getrecursionlimit() + 77)


def change_handlers() -> None:
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)


def close_descriptors() -> None:
    for number in (0, 1, 2):
        os.close(number)


def open_in_the_place_of_a_descriptor() -> None:
    os.close(1)
    assert os.open("/dev/null", os.O_WRONLY) == 1


def redirect_output() -> None:
    sys.stdout = io.StringIO()


def change_language() -> None:
    translation.activate("de")
    timezone.activate("Asia/Tokyo")
    VARIABLE.set("stained")


def start_a_thread() -> None:
    threading.Thread(target=RELEASE.wait, args=(NEVER,), name="counting sheep", daemon=True).start()


def print_a_lot() -> int:
    line, started = "x" * 1023, tracemalloc.get_traced_memory()[0]
    for _ in range(32 * 1024):
        print(line)
    return tracemalloc.get_traced_memory()[1] - started


def fork_and_return() -> str:
    if child := os.fork():
        CHILDREN.append(child)
        return "parent"
    return "child"


def fork_and_raise() -> str:
    if child := os.fork():
        CHILDREN.append(child)
        return "parent"
    raise SystemExit(0)


DEEDS: dict[str, Callable[[], object]] = {
    deed.__name__: deed
    for deed in (
        exit_python,
        interrupt,
        recurse,
        return_what_is_no_json,
        change_directory,
        remove_directory,
        change_umask,
        change_locale,
        raise_the_recursion_limit,
        change_handlers,
        close_descriptors,
        open_in_the_place_of_a_descriptor,
        redirect_output,
        change_language,
        start_a_thread,
        print_a_lot,
        fork_and_return,
        fork_and_raise,
    )
}


@task
def do(deed: str) -> Any:
    return DEEDS[deed]()


@task
async def do_soon(deed: str) -> Any:
    await asyncio.sleep(0)
    return DEEDS[deed]()


@task
async def fork_and_await() -> str:
    if child := os.fork():
        CHILDREN.append(child)
        return "parent"
    await asyncio.sleep(0)
    return "child"


@task
async def run_a_step(path: str, number: int) -> None:
    """Whoever runs it leaves a line: once for each job, unless two processes run it."""
    for _ in range(5):
        await asyncio.sleep(0)
    with Path(path).open("a") as file:  # noqa: ASYNC230
        file.write(f"{number}\n")


@task
def look_around() -> list[Any]:
    return state()


@task
async def look_around_soon() -> list[Any]:
    return state()


def state() -> list[Any]:
    """All that a job may find changed."""
    umask = os.umask(0o022)
    os.umask(umask)
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
    return [
        str(Path.cwd()),
        umask,
        locale.setlocale(locale.LC_ALL),
        sys.getrecursionlimit(),
        [repr(handler) for handler in handlers],
        [os.fstat(number).st_ino for number in (0, 1, 2)],
        [id(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        [translation.get_language(), timezone.get_current_timezone_name(), VARIABLE.get()],
    ]


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Descriptors and a directory that the tasks may ruin, and the test puts back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", sys.__stdin__)
    standard = [os.dup(number) for number in (0, 1, 2)]
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    RELEASE.clear()
    CHILDREN.clear()
    yield
    RELEASE.set()
    for number, copy in enumerate(standard):
        os.dup2(copy, number)
        os.close(copy)
    os.close(null)


@pytest.fixture
def rig(memory: MemoryBackend, claim_of: ClaimOf) -> Callable[..., Rig]:
    def make(kind: str, **changes: int) -> Rig:
        made = Rig(kind, memory, claim_of, **changes)
        made.workload.slots = 1  # One job after another.
        return made

    return make


def ways(*deeds: str, coroutines: bool = True) -> pytest.MarkDecorator:
    """Each deed as a function in each kind of worker, and as a coroutine."""
    rows = [(deed, kind, do) for deed in deeds for kind in KINDS]
    if coroutines:
        rows += [(deed, kind, do_soon) for deed in deeds for kind in KINDS]
    ids = [f"{deed}-{kind}-{'function' if how is do else 'coroutine'}" for deed, kind, how in rows]
    return pytest.mark.parametrize(("deed", "kind", "how"), rows, ids=ids)


def ruin(rig: Any, kind: str, deed: Any, how: Any) -> tuple[Outcome, list[Any], list[Any]]:
    """The outcome of the deed, and what jobs find before it and after it."""
    looking = look_around_soon if how is do_soon else look_around
    before, ruined, after, far = rig(kind).run(looking, (how, deed), looking, look_around)
    found, found_after, far_after = values([before, after, far])
    assert far_after == found_after
    return ruined, found, found_after


# --- Jobs that end themselves ---


@ways("exit_python", "interrupt", "recurse", "return_what_is_no_json")
def test_a_task_that_ends_badly_ends_alone(rig: Any, kind: str, deed: str, how: Any) -> None:
    ruined, before, after = ruin(rig, kind, deed, how)
    named = {
        "exit_python": "builtins.SystemExit",
        "interrupt": "builtins.KeyboardInterrupt",
        "recurse": "builtins.RecursionError",
        "return_what_is_no_json": "builtins.TypeError",
    }
    assert (ruined.state, ruined.failure.exception) == (State.FAILED, named[deed])  # type: ignore[union-attr]
    assert after == before


# --- Jobs that change their process ---


@ways(
    "change_directory",
    "remove_directory",
    "change_umask",
    "change_locale",
    "raise_the_recursion_limit",
    "close_descriptors",
    "open_in_the_place_of_a_descriptor",
)
def test_what_a_task_changes_is_put_back_and_named(
    rig: Any, kind: str, deed: str, how: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ruined, before, after = ruin(rig, kind, deed, how)
    assert (ruined.state, ruined.failure) == (State.SUCCEEDED, None)
    assert after == before
    (line,) = [record for record in caplog.records if "which is put back" in record.getMessage()]
    assert str(ruined.id) in line.getMessage()
    assert how.module_path in line.getMessage()


@pytest.mark.parametrize(("kind", "how"), [("process", do), ("coroutines", do_soon)])
def test_handlers_of_signals_are_put_back_where_a_task_can_change_them(
    rig: Any, kind: str, how: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ruined, before, after = ruin(rig, kind, "change_handlers", how)
    assert ruined.state is State.SUCCEEDED
    assert after == before
    (line,) = [record.getMessage() for record in caplog.records if "the handlers of" in record.getMessage()]
    named = line.partition("the handlers of ")[2].partition(", which")[0]
    assert sorted(named.split(", ")) == ["SIGALRM", "SIGINT", "SIGTERM", "SIGUSR1"]


@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_in_a_thread_a_task_cannot_change_handlers(rig: Any, kind: str) -> None:
    ruined, before, after = ruin(rig, kind, "change_handlers", do)
    assert ruined.failure.exception == "builtins.ValueError"  # type: ignore[union-attr]
    assert after == before


@pytest.mark.parametrize("how", [do, do_soon], ids=["function", "coroutine"])
def test_a_task_that_redirects_output_in_its_own_process_is_put_right(
    rig: Any, how: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ruined, before, after = ruin(rig, "process", "redirect_output", how)
    assert ruined.state is State.SUCCEEDED
    assert after == before
    assert "the standard streams" in caplog.text


@ways("change_language")
def test_context_variables_belong_to_the_job(rig: Any, kind: str, deed: str, how: Any) -> None:
    _, before, after = ruin(rig, kind, deed, how)
    assert after == before
    assert after[-1][-1] == "clean"


@every_kind
def test_after_all_of_it_timeouts_still_work(rig: Any, kind: str) -> None:
    from .test_executor import overrun

    outcomes = rig(kind).run(*((do, deed) for deed in ("close_descriptors", "change_handlers")), overrun)
    assert outcomes[-1].failure.exception == "dlq.errors.TaskTimeout"


def test_closed_streams_are_opened_again_for_those_who_log_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = open(2, "w", closefd=False)  # noqa: SIM115
    monkeypatch.setattr("sys.stderr", closed)
    handler = logging.StreamHandler(closed)
    logging.getLogger("shop").addHandler(handler)
    home = Home(shared=False)
    try:
        closed.close()
        os.close(2)
        home.restore(CLAIM)
        print("still there", file=sys.stderr)
        handler.stream.write("and here")
        assert handler.stream is sys.stderr
    finally:
        home.close()
        logging.getLogger("shop").removeHandler(handler)


class _Claim:
    id, task, queue = "7", "shop.tasks.send", "default"


CLAIM: Any = _Claim


def test_what_cannot_be_put_back_is_told_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    home = Home(shared=False)
    os.umask(os.umask(0o000) ^ 0o700)
    directory = str(Path.cwd())
    monkeypatch.setattr("os.chdir", lambda path: ctypes.pythonapi.nothing)
    monkeypatch.setattr("os.getcwd", lambda: f"{directory}/elsewhere")
    home.restore(CLAIM)
    monkeypatch.undo()
    home.restore(CLAIM)
    home.close()
    assert "cannot be put back" in caplog.text
    assert "changed the umask" in caplog.text


# --- Jobs that leave something running ---


@ways("start_a_thread")
def test_threads_that_outlive_their_job_are_named(
    rig: Any, kind: str, deed: str, how: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ruined, before, after = ruin(rig, kind, deed, how)
    assert (ruined.state, after) == (State.SUCCEEDED, before)
    named = [record.getMessage() for record in caplog.records if "left threads" in record.getMessage()]
    assert named == [f"Job {ruined.id} {how.module_path} left threads running: counting sheep."]


@task
async def leave_a_task_running() -> None:
    LEFT.append(asyncio.ensure_future(count_sheep()))
    await asyncio.create_task(asyncio.sleep(0))


async def count_sheep() -> None:
    await asyncio.sleep(NEVER)


LEFT: list[Any] = []


def test_tasks_that_outlive_their_job_on_the_loop_are_named(
    rig: Any, caplog: pytest.LogCaptureFixture
) -> None:
    outcome, after = rig("coroutines").run(leave_a_task_running, (do_soon, "change_umask"))
    named = [record.getMessage() for record in caplog.records if "left tasks" in record.getMessage()]
    assert named == [
        f"Job {outcome.id} {leave_a_task_running.module_path} left tasks running on the event loop: count_sheep."
    ]
    assert after.state is State.SUCCEEDED


@pytest.mark.parametrize("kind", ["process", "threads"])
def test_tasks_that_outlive_their_job_end_with_a_loop_that_is_its_own(rig: Any, kind: str) -> None:
    outcome, _ = rig(kind).run(leave_a_task_running, (do_soon, "change_umask"))
    assert outcome.state is State.SUCCEEDED
    assert LEFT.pop().cancelled()


# --- Jobs that fork ---


@forks
@ways("fork_and_return", "fork_and_raise")
def test_a_fork_that_comes_back_to_the_worker_ends_there(rig: Any, kind: str, deed: str, how: Any) -> None:
    ruined, before, after = ruin(rig, kind, deed, how)
    assert (ruined.result, after) == ('"parent"', before)
    assert os.waitstatus_to_exitcode(os.waitpid(CHILDREN.pop(), 0)[1]) == STRAY_FORK


@forks
@every_kind
def test_a_fork_that_comes_back_to_the_loop_runs_no_other_job(rig: Any, kind: str, tmp_path: Path) -> None:
    made, path = rig(kind), tmp_path / "lines"
    made.workload.slots = KINDS[kind].get("concurrency", 1)
    forked, *_ = made.run(fork_and_await, *((run_a_step, str(path), number) for number in range(3)))
    assert forked.result == '"parent"'
    assert os.waitstatus_to_exitcode(os.waitpid(CHILDREN.pop(), 0)[1]) == STRAY_FORK
    assert sorted(path.read_text().split()) == ["0", "1", "2"]


# --- Jobs that talk ---


@every_kind
def test_what_a_task_prints_is_not_kept(rig: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(1, "w", closefd=False) as out:
        monkeypatch.setattr("sys.stdout", out)
        tracemalloc.start()
        try:
            (outcome,) = rig(kind).run((do, "print_a_lot"))
        finally:
            tracemalloc.stop()
    assert json.loads(outcome.result) < 1024 * 1024


# --- Jobs that spoil the database connection ---


def leave_a_transaction_open() -> None:
    transaction.atomic().__enter__()


def close_past_django() -> None:
    with connection.cursor():
        connection.connection.close()


def query_and_close() -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        found = [cursor.fetchone()[0], connection.in_atomic_block]
    connection.close()
    return found


@task
async def spoil_and_return(how: str) -> None:
    await sync_to_async({"open": leave_a_transaction_open, "closed": close_past_django}[how])()


@task
async def query_soon() -> list[Any]:
    return await sync_to_async(query_and_close)()


@task
async def spoil_in_another_thread_and_return() -> None:
    await asyncio.to_thread(leave_a_transaction_open)


@task
async def query_in_another_thread() -> list[Any]:
    return await asyncio.to_thread(query_and_close)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["open", "closed"])
@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_a_coroutine_that_spoils_the_connection_and_returns_spoils_it_for_itself(
    rig: Any, kind: str, how: str
) -> None:
    spoiled, queried = rig(kind).run((spoil_and_return, how), query_soon)
    assert spoiled.state is State.SUCCEEDED
    assert values([queried]) == [[1, False]]


@pytest.mark.django_db(transaction=True)
def test_the_other_threads_of_a_loop_are_tidied_too(rig: Any) -> None:
    outcomes = rig("coroutines").run(spoil_in_another_thread_and_return, query_in_another_thread)
    assert values(outcomes[1:]) == [[1, False]]
