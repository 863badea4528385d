"""Tasks that do to their process what no task should; ``project.surroundings`` looks at what is left of it.

Those that are plain functions every kind of worker can meet: ``on_loop`` calls one from a coroutine.
"""

from __future__ import annotations

import asyncio
import ctypes
import locale
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.utils import translation

from dlq import task
from project.surroundings import MARKER, STRAY, look_at_database
from project.tasks import is_open

# --- Ends of a task that are none


class Unheard(BaseException):
    """No Exception."""


class Unspeakable(Exception):
    """Cannot be shown, compared or copied."""

    def __str__(self) -> str:
        raise ZeroDivisionError("str")

    def __repr__(self) -> str:
        raise SystemExit("repr")

    def __reduce__(self) -> NoReturn:
        raise TypeError("pickle")


EXCEPTIONS: dict[str, BaseException] = {
    "KeyboardInterrupt": KeyboardInterrupt("enough"),
    "BaseException": Unheard("enough"),
    "GeneratorExit": GeneratorExit("enough"),
    "StopIteration": StopIteration("enough"),
    "CancelledError": asyncio.CancelledError("enough"),
    "without words": Unspeakable(),
}


@task
def throw(name: str) -> None:
    raise EXCEPTIONS[name]


@task
def leave() -> None:
    sys.exit("enough")


@task
def recurse() -> int:
    return 1 + recurse.fn()


@task
def recurse_in_c() -> str:
    nested: list[Any] = []
    for _ in range(200_000):
        nested = [nested]
    return repr(nested)


@task
def exhaust_memory() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:  # noqa: PTH123
        now = int(file.read().split()[0]) * resource.getpagesize()
    hoard = []
    resource.setrlimit(resource.RLIMIT_AS, (now + 64 * 2**20, hard))
    try:
        while True:
            hoard.append(bytearray(2**20))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


# --- Values that JSON cannot hold


class Evil:
    def __repr__(self) -> str:
        raise ZeroDivisionError("repr")

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError("eq")

    __hash__ = None  # type: ignore[assignment]


def _cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def _deep() -> list[Any]:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


VALUES: dict[str, Callable[[], Any]] = {
    "object": object,
    "evil": Evil,
    "set": lambda: {1, 2},
    "cycle": _cycle,
    "deep": _deep,
    "NaN": lambda: float("nan"),
}


@task
def give(name: str) -> Any:
    return VALUES[name]()


@task
def print_much() -> None:
    line = "x" * 2**20
    for _ in range(200):
        print(line)


# --- The database


@task
def close_connection() -> None:
    connection.ensure_connection()
    connection.connection.close()


@task
def close_connection_and_use_it() -> None:
    connection.ensure_connection()
    connection.connection.close()
    look_at_database()


@task
def leave_transaction_open() -> None:
    transaction.set_autocommit(False)
    transaction.atomic().__enter__()
    look_at_database()


@task
def break_transaction() -> None:
    transaction.atomic().__enter__()
    with connection.cursor() as cursor:
        cursor.execute("SELECT nonsense")


IN_DATABASE = {task.name for task in (close_connection, close_connection_and_use_it)} | {
    task.name for task in (leave_transaction_open, break_transaction)
}

# --- Other processes and threads


@task
def fork_and_return() -> int:
    if child := os.fork():
        return _exit_code(child)
    return 0


@task
def fork_and_raise() -> int:
    if child := os.fork():
        return _exit_code(child)
    raise ValueError("in the child")


@task
def fork_and_leave() -> int:
    if child := os.fork():
        return _exit_code(child)
    sys.exit("in the child")


@task
def fork_and_go_on(gate: str) -> int:
    if child := os.fork():
        return child
    while not is_open(gate):
        time.sleep(0.005)
    return 0


@task
def fork_and_terminate() -> int:
    if child := os.fork():
        os.kill(child, signal.SIGTERM)
        return _exit_code(child)
    time.sleep(2)
    os._exit(0)


def _exit_code(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _wait_for(gate: str) -> None:
    while not is_open(gate):
        time.sleep(0.005)


@task
def start_threads(gate: str) -> None:
    for number in range(3):
        threading.Thread(target=_wait_for, args=(gate,), name=f"{STRAY}-{number}").start()


# --- What belongs to the whole process


@task
def move() -> None:
    os.chdir("/")


@task
def move_to_nowhere() -> None:
    folder = f"/tmp/dlq-nowhere-{os.getpid()}"
    os.mkdir(folder)  # noqa: PTH102
    os.chdir(folder)
    os.rmdir(folder)  # noqa: PTH106


@task
def set_umask() -> None:
    os.umask(0o777)


@task
def set_locale() -> None:
    now = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C" if now != "C" else "C.UTF-8")


@task
def set_language() -> None:
    translation.activate("de")


@task
def set_environment() -> None:
    os.environ[MARKER] = "set"


@task
def ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


@task
def block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


@task
def set_alarm() -> None:
    signal.alarm(1)


@task
def set_timer(kind: int) -> None:
    signal.setitimer(kind, 0.01, 0.01)


@task
def set_recursion_limit() -> None:
    for limit in range(1, 1000):
        try:
            sys.setrecursionlimit(limit)
        except RecursionError:
            continue
        return


@task
def close_streams() -> None:
    sys.stdin.close()
    sys.stdout.close()
    sys.stderr.close()


@task
def close_descriptors() -> None:
    os.closerange(0, 3)


@task
def take_descriptors() -> None:
    os.closerange(0, 3)
    for _ in range(3):
        os.open(os.devnull, os.O_RDWR)


@task
def lose_streams() -> None:
    sys.stdin = sys.stdout = sys.stderr = None


# --- What costs the process


@task
def end_process() -> None:
    os._exit(3)


@task
def crash_process() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


@task
def kill_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# --- On an event loop


@task
async def on_loop(name: str, *arguments: Any) -> Any:
    harm = globals()[name].fn
    if name in IN_DATABASE:
        return await sync_to_async(harm)(*arguments)
    return harm(*arguments)


async def _stay() -> None:
    await asyncio.Event().wait()


async def _exit_at_once() -> None:
    sys.exit("from a task of its own")


_kept: list[Any] = []


@task
async def leave_tasks() -> None:
    _kept.extend(asyncio.create_task(_stay()) for _ in range(3))
    await asyncio.sleep(0)


@task
async def cancel_itself() -> None:
    current = asyncio.current_task()
    assert current is not None
    current.cancel("enough")
    await asyncio.sleep(3600)


@task
async def exit_from_subtask() -> None:
    await asyncio.create_task(_exit_at_once())


@task
async def stop_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)


@task
async def cancel_everything() -> None:
    for each in asyncio.all_tasks():
        each.cancel()
    await asyncio.sleep(0)
