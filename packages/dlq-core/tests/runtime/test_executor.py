from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction
from django.tasks.signals import task_finished, task_started

from dlq import MemoryBackend, State, TaskTimeout, payload, task
from dlq.conf import WorkerPool
from dlq.job import Claim
from dlq.runtime.execution import Execution
from dlq.runtime.executor import (
    CoroutineExecutor,
    Executor,
    InlineExecutor,
    ThreadExecutor,
    executor_for,
)
from dlq.runtime.page import Page
from dlq.runtime.workload import Assignment, Workload
from dlq.selectors import Selector

from .rig import KILL_AFTER, KINDS, NEVER, SOON, Rig, values

ClaimOf = Callable[..., Claim]
Threads = Callable[..., threading.Thread]


class Bench:
    """What the jobs of one test share with it."""

    def __init__(self) -> None:
        self.page = Page()
        self.seen: list[Any] = []
        self.event = threading.Event()
        self.barrier = threading.Barrier(1)
        self.meeting = asyncio.Barrier(1)


BENCH = Bench()


# --- Tasks ---


@task
def add(first: int, second: int) -> int:
    return first + second


@task
async def add_soon(first: int, second: int) -> int:
    await asyncio.sleep(0)
    return first + second


@task
def look_at_the_page() -> list[str]:
    return [str(job.id) for job in BENCH.page.started()]


@task
async def look_at_the_page_soon() -> list[str]:
    await asyncio.sleep(0)
    return [str(job.id) for job in BENCH.page.started()]


@task(timeout=NEVER)
def look_at_the_limit() -> list[float]:
    return [job.kill_at for job in BENCH.page.started()]


@task(timeout=NEVER)
async def look_at_the_limit_soon() -> list[float]:
    return [job.kill_at for job in BENCH.page.started()]


@task(max_attempts=2, backoff=40)
def throw(what: str) -> None:
    raise THROWN[what]


@task(max_attempts=2, backoff=40)
async def throw_soon(what: str) -> None:
    await asyncio.sleep(0)
    raise THROWN[what]


@task(timeout=SOON)
def outstay() -> str:
    try:
        while True:
            threading.Event().wait(SOON / 4)
    except TaskTimeout as error:
        return f"tidied after {error.args}"


@task(timeout=SOON, max_attempts=2)
def overrun() -> None:
    while True:
        threading.Event().wait(SOON / 4)


@task(timeout=SOON)
async def outstay_soon() -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        BENCH.seen.append("cancelled")
        return "tidied"
    return "not reached"


@task(timeout=SOON, max_attempts=2)
async def overrun_soon() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        BENCH.seen.append("ended")


@task
def meet_in_threads() -> int:
    return BENCH.barrier.wait(NEVER)


@task
async def meet_on_the_loop() -> int:
    return await BENCH.meeting.wait()


@task
def wait_for_the_event() -> bool:
    return BENCH.event.wait(NEVER)


@task
async def set_the_event() -> None:
    BENCH.event.set()


@task
def whereabouts() -> list[Any]:
    return [threading.get_ident(), threading.current_thread().name]


@task
async def whereabouts_soon() -> list[Any]:
    return [threading.get_ident(), id(asyncio.get_running_loop())]


VARIABLE = contextvars.ContextVar("VARIABLE", default="clean")


@task
async def stain() -> str:
    before = VARIABLE.get()
    VARIABLE.set("stained")
    return before


@task
def leave_a_transaction_open() -> None:
    transaction.atomic().__enter__()


@task
def turn_autocommit_off() -> None:
    transaction.set_autocommit(False)


@task
def close_past_django() -> None:
    with connection.cursor():
        connection.connection.close()


@task
def close_properly() -> None:
    connections.close_all()


@task
def query() -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        (number,) = cursor.fetchone()
    return [number, connection.in_atomic_block, transaction.get_autocommit()]


@task
async def break_the_connection_soon() -> None:
    await sync_to_async(close_past_django.func)()
    await sync_to_async(query.func)()


@task
async def query_soon() -> Any:
    return await sync_to_async(query.func)()


@task
async def close_properly_soon() -> None:
    await sync_to_async(close_properly.func)()


@task(max_attempts=2)
async def cancel_oneself_and_raise() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    raise LookupError


THROWN: dict[str, BaseException] = {
    "error": LookupError("no such address"),
    "exit": SystemExit(3),
    "interrupt": KeyboardInterrupt(),
    "generator": GeneratorExit(),
    "cancelled": asyncio.CancelledError(),
}


@task
def change_directory() -> None:
    os.chdir("/")


# --- Running them ---


@pytest.fixture
def rig(memory: MemoryBackend, claim_of: ClaimOf) -> Callable[..., Rig]:
    BENCH.__init__()  # type: ignore[misc]

    def make(kind: str, **changes: int) -> Rig:
        made = Rig(kind, memory, claim_of, **changes)
        BENCH.page = made.page
        return made

    return make


every_kind = pytest.mark.parametrize("kind", KINDS)


# --- Which executor ---


@pytest.mark.parametrize(
    ("pool", "kind", "slots"),
    [
        ({}, InlineExecutor, 1),
        ({"threads": 8}, ThreadExecutor, 8),
        ({"concurrency": 1}, CoroutineExecutor, 1),
        ({"concurrency": 50, "threads": 8}, CoroutineExecutor, 50),
    ],
)
def test_a_pool_says_how_its_workers_run_jobs(
    memory: MemoryBackend, pool: dict[str, int], kind: type[Executor], slots: int
) -> None:
    chosen = WorkerPool(selector=Selector("*"), **pool)
    assert chosen.slots == slots
    page = Page(slots)
    assert type(executor_for(chosen, Workload(slots, page), page, memory, KILL_AFTER)) is kind


@pytest.mark.parametrize(
    ("pool", "kind"),
    [({}, ThreadExecutor), ({"threads": 8}, ThreadExecutor), ({"concurrency": 9}, CoroutineExecutor)],
)
def test_a_worker_that_has_no_process_to_itself_needs_no_main_thread(
    memory: MemoryBackend, in_thread: Threads, pool: dict[str, int], kind: type[Executor], claim_of: ClaimOf
) -> None:
    chosen = WorkerPool(selector=Selector("*"), **pool)
    page = Page(chosen.slots)
    workload = Workload(chosen.slots, page)
    executor = executor_for(chosen, workload, page, memory, KILL_AFTER, main_thread=False)
    assert type(executor) is kind
    workload.add([Assignment(claim_of(change_directory)), Assignment(claim_of(add, 1, 2))])
    directory, serving = Path.cwd(), in_thread(executor.serve)
    try:
        while workload.counts() != (0, 0, 2):
            workload.wait(SOON)
        workload.close()
        serving.join()
        assert Path.cwd() == Path("/")
    finally:
        os.chdir(directory)


# --- Jobs of both sorts in workers of every kind ---


@every_kind
@pytest.mark.parametrize("declared", [add, add_soon], ids=["function", "coroutine"])
def test_every_kind_of_worker_runs_every_kind_of_task(rig: Any, kind: str, declared: Any) -> None:
    assert values(rig(kind).run(*((declared, number, 1) for number in range(10)))) == list(range(1, 11))


@every_kind
@pytest.mark.parametrize("declared", [throw, throw_soon], ids=["function", "coroutine"])
@pytest.mark.parametrize("what", THROWN)
def test_whatever_a_task_raises_the_next_job_runs(rig: Any, kind: str, declared: Any, what: str) -> None:
    thrown, added, added_soon = rig(kind).run((declared, what), (add, 1, 2), (add_soon, 3, 4))
    assert thrown.failure.exception.endswith(type(THROWN[what]).__qualname__)
    assert (thrown.state, thrown.delay) == (State.SCHEDULED, 40.0)
    assert values([added, added_soon]) == [3, 7]


@every_kind
def test_a_job_whose_task_is_unknown_here_is_parked(rig: Any, kind: str, plain_claim: Any) -> None:
    (outcome,) = rig(kind).run_claims(plain_claim())
    assert outcome.state is State.BLOCKED


@every_kind
def test_a_job_that_cannot_be_read_fails(rig: Any, kind: str, plain_claim: Any) -> None:
    (outcome,) = rig(kind).run_claims(plain_claim(task=add.module_path, payload="{"))
    assert outcome.state is State.FAILED


@every_kind
@pytest.mark.parametrize("declared", [add, add_soon], ids=["function", "coroutine"])
@pytest.mark.parametrize("step", ["load", "start", "succeeded"])
def test_a_defect_of_ours_fails_the_job_and_frees_its_slot(
    rig: Any, kind: str, declared: Any, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = (payload, "decode") if step == "load" else (Execution, step)
    sound, defects = getattr(owner, name), [ZeroDivisionError()]

    def break_down_once(*args: Any) -> Any:
        if defects:
            raise defects.pop()
        return sound(*args)

    monkeypatch.setattr(owner, name, break_down_once)
    outcomes = rig(kind).run((declared, 1, 2), (declared, 1, 2))
    (broken,) = [outcome for outcome in outcomes if outcome.state is State.FAILED]
    assert "ZeroDivisionError" in broken.failure.traceback
    assert values([outcome for outcome in outcomes if outcome is not broken]) == [3]


@every_kind
@pytest.mark.parametrize("signal", [task_started, task_finished], ids=["started", "finished"])
@pytest.mark.parametrize("declared", [add, add_soon], ids=["function", "coroutine"])
def test_a_receiver_that_exits_harms_nothing(rig: Any, kind: str, declared: Any, signal: Any) -> None:
    def leave(**kwargs: Any) -> None:
        raise SystemExit

    signal.connect(leave)
    try:
        assert values(rig(kind).run((declared, 1, 2), (declared, 3, 4))) == [3, 7]
    finally:
        signal.disconnect(leave)


# --- What the parent sees ---


@every_kind
@pytest.mark.parametrize("declared", [look_at_the_page, look_at_the_page_soon], ids=["function", "coroutine"])
def test_a_job_is_on_the_page_while_it_runs(rig: Any, kind: str, declared: Any) -> None:
    (outcome,) = rig(kind).run(declared)
    assert values([outcome]) == [[str(outcome.id)]]


@every_kind
@pytest.mark.parametrize(
    "declared", [look_at_the_limit, look_at_the_limit_soon], ids=["function", "coroutine"]
)
def test_the_page_says_when_a_job_is_to_be_killed(rig: Any, kind: str, declared: Any, clock: Any) -> None:
    assert values(rig(kind).run(declared)) == [[clock.now + NEVER + KILL_AFTER]]


@task(sigkill_on_stop=True)
def look_whether_it_is_expendable() -> list[bool]:
    return [job.expendable for job in BENCH.page.started()]


@task(sigkill_on_stop=True)
async def look_whether_it_is_expendable_soon() -> list[bool]:
    return [job.expendable for job in BENCH.page.started()]


@every_kind
@pytest.mark.parametrize(
    "declared",
    [look_whether_it_is_expendable, look_whether_it_is_expendable_soon],
    ids=["function", "coroutine"],
)
def test_the_page_says_which_jobs_may_be_killed_at_a_stop(rig: Any, kind: str, declared: Any) -> None:
    assert values(rig(kind).run(declared)) == [[True]]
    assert values(rig(kind).run(declared.using(sigkill_on_stop=False))) == [[False]]


@every_kind
def test_jobs_without_a_timeout_are_never_killed(
    rig: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited: list[Any] = []
    monkeypatch.setattr(Page, "limit", lambda *args: limited.append(args))
    rig(kind).run((add, 1, 2), (add_soon, 1, 2))
    assert limited == []


# --- Timeouts ---


@every_kind
def test_a_function_may_catch_its_timeout(rig: Any, kind: str) -> None:
    ((text,),) = (values(rig(kind).run(outstay)),)
    assert text.startswith("tidied after")


@every_kind
def test_a_function_that_overruns_is_tried_again(rig: Any, kind: str) -> None:
    (outcome,) = rig(kind).run(overrun)
    assert (outcome.state, outcome.failure.exception) == (State.SCHEDULED, "dlq.errors.TaskTimeout")
    assert f"overrun ran for longer than its timeout of {SOON:g} s." in outcome.failure.traceback


@every_kind
def test_a_coroutine_may_catch_its_cancellation(rig: Any, kind: str) -> None:
    assert values(rig(kind).run(outstay_soon)) == ["tidied"]


@every_kind
def test_a_coroutine_that_overruns_has_ended_when_it_is_tried_again(rig: Any, kind: str) -> None:
    (outcome,) = rig(kind).run(overrun_soon)
    assert BENCH.seen == ["ended"]
    assert (outcome.state, outcome.failure.exception) == (State.SCHEDULED, "dlq.errors.TaskTimeout")
    assert f"overrun_soon ran for longer than its timeout of {SOON:g} s." in outcome.failure.traceback
    assert "await asyncio.Event().wait()" in outcome.failure.traceback


@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_a_timeout_interrupts_one_job_of_several(rig: Any, kind: str) -> None:
    overrun_, added = rig(kind, threads=2).run(overrun, (add, 1, 2))
    assert overrun_.failure.exception == "dlq.errors.TaskTimeout"
    assert values([added]) == [3]


@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_a_job_with_a_timeout_wakes_the_control_thread(
    rig: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[str] = []
    monkeypatch.setattr(Workload, "wake", lambda self: woken.append(threading.current_thread().name))
    rig(kind).run((add, 1, 2))
    assert not woken
    rig(kind).run(look_at_the_limit)
    assert len(woken) == 1


# --- At the same time ---


def test_jobs_run_at_once_in_as_many_threads_as_there_are_slots(rig: Any) -> None:
    BENCH.barrier = threading.Barrier(4)
    assert sorted(values(rig("threads").run(*[meet_in_threads] * 8))) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_coroutines_run_at_once_on_one_loop(rig: Any) -> None:
    BENCH.meeting = asyncio.Barrier(100)
    assert sorted(values(rig("coroutines", concurrency=100).run(*[meet_on_the_loop] * 100))) == list(
        range(100)
    )


def test_all_coroutines_run_on_the_loop_of_the_main_thread(rig: Any) -> None:
    places = values(rig("coroutines").run(*[whereabouts_soon] * 8))
    assert {thread for thread, _ in places} == {threading.get_ident()}
    assert len({loop for _, loop in places}) == 1


def test_hundreds_of_coroutines_wait_at_the_same_time(rig: Any) -> None:
    BENCH.meeting = asyncio.Barrier(200)
    assert sorted(values(rig("coroutines", concurrency=200).run(*[meet_on_the_loop] * 400))) == sorted(
        [*range(200)] * 2
    )


def test_no_more_coroutines_run_at_once_than_there_are_slots(rig: Any) -> None:
    lengths = [
        len(page) for page in values(rig("coroutines", concurrency=2).run(*[look_at_the_page_soon] * 6))
    ]
    assert max(lengths) == 2


def test_functions_run_beside_the_loop_and_do_not_block_it(rig: Any) -> None:
    assert values(rig("coroutines").run(wait_for_the_event, set_the_event)) == [True, None]


def test_functions_beside_the_loop_run_in_as_many_threads_as_the_pool_says(rig: Any) -> None:
    BENCH.barrier = threading.Barrier(3)
    assert sorted(values(rig("coroutines", threads=3).run(*[meet_in_threads] * 3))) == [0, 1, 2]


def test_a_process_worker_runs_functions_in_its_main_thread(rig: Any) -> None:
    assert {thread for thread, _ in values(rig("process").run(*[whereabouts] * 3))} == {threading.get_ident()}


def test_coroutines_do_not_see_the_context_of_others(rig: Any) -> None:
    assert values(rig("coroutines", concurrency=1).run(stain, stain)) == ["clean", "clean"]


# --- Database connections ---


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["threads", "coroutines"])
@pytest.mark.parametrize(
    "damage", [leave_a_transaction_open, turn_autocommit_off, close_past_django, close_properly]
)
def test_the_next_job_finds_a_clean_connection(rig: Any, kind: str, damage: Any) -> None:
    slots = {"concurrency": 1, "threads": 1} if kind == "coroutines" else {"threads": 2}
    runner = rig(kind, **slots)
    runner.workload.slots = 1  # One job after another, in one thread.
    damaged, queried, _ = runner.run(damage, query, close_properly)
    assert damaged.state is State.SUCCEEDED
    assert values([queried]) == [[1, False, True]]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_a_broken_connection_fails_one_coroutine_and_not_the_next(rig: Any, kind: str) -> None:
    runner = rig(kind)
    runner.workload.slots = 1
    broken, queried, _ = runner.run(break_the_connection_soon, query_soon, close_properly_soon)
    assert broken.failure.exception.endswith("ProgrammingError")
    assert values([queried]) == [[1, False, True]]


def test_a_coroutine_that_cancels_itself_is_tried_again_as_any_other(rig: Any) -> None:
    cancelled, added = rig("coroutines").run(cancel_oneself_and_raise, (add_soon, 1, 2))
    assert (cancelled.state, cancelled.failure.exception) == (State.SCHEDULED, "builtins.LookupError")
    assert values([added]) == [3]


@every_kind
def test_connections_are_tidied_before_and_after_a_function(
    rig: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tidied: list[Any] = []
    monkeypatch.setattr("dlq.runtime.executor.tidy_connections", lambda: tidied.append(len(BENCH.seen)))
    rig(kind).run(leave_a_trace)
    assert tidied == [0, 1]


@task
def leave_a_trace() -> None:
    BENCH.seen.append("trace")
