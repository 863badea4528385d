"""What type checkers make of tasks: nothing here is ever run.

Lines that must be refused carry an ignore, and mypy refuses an ignore that is not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, assert_type

from django.tasks import TaskContext

from dlq import Exponential, State, Task, task
from dlq.hooks import Process, on_worker_start, register_hook


@task
def bare(user_id: int, subject: str = "") -> str:
    return f"{user_id}: {subject}"


@task()
def called(user_id: int) -> str:
    return str(user_id)


@task("email", 30)
def queue_and_timeout(user_id: int) -> str:
    return str(user_id)


@task("email", timedelta(minutes=1), True, False)
def all_in_order(user_id: int) -> str:
    return str(user_id)


@task(
    "email",
    priority=10,
    max_attempts=5,
    backoff=Exponential(),
    expires_after=timedelta(hours=1),
    result_ttl=0,
    metadata={"team": "mail"},
)
def mixed(user_id: int) -> str:
    return str(user_id)


@task("email", 30, takes_context=True)
def with_context(context: TaskContext[..., Any], user_id: int) -> str:
    return str(user_id)


@task("email")
async def coroutine(user_id: int) -> str:
    return str(user_id)


def declare() -> None:
    any_of_these: list[Task[..., str]] = [bare, called, all_in_order, mixed, with_context]
    del any_of_these
    assert_type(bare.call(1), str)
    assert_type(called.call(1), str)
    assert_type(queue_and_timeout.call(1), str)
    assert_type(all_in_order.call(1), str)
    assert_type(mixed.call(1), str)
    assert_type(with_context.call(1), str)

    task(5)  # type: ignore[call-overload]
    task("email", "30")  # type: ignore[call-overload]
    task("email", 30, False, True, 10)  # type: ignore[call-overload]
    task(tiemout=30)  # type: ignore[call-overload]
    task(metadata=[1])  # type: ignore[call-overload]
    task(sigkill_on_stop=None)  # type: ignore[call-overload]


def call() -> None:
    assert_type(bare(1, subject="hello").return_value, str)
    assert_type(bare.enqueue(1).state, State)
    assert_type(bare.get_result("id").state, State)
    assert_type(bare.fn(1), str)
    assert_type(bare.path, str)
    with_context(1)
    coroutine(1)

    bare("1")  # type: ignore[arg-type]
    bare()  # type: ignore[call-arg]
    bare(1, to="ann")  # type: ignore[call-arg]
    mixed.enqueue("1")  # type: ignore[arg-type]
    all_in_order.call("1")  # type: ignore[arg-type]
    with_context("1")  # type: ignore[arg-type]


def change() -> None:
    assert_type(bare.using(queue="slow", run_after=timedelta(minutes=1)).call(1), str)
    bare.using(timeout=60, sigkill_on_stop=True, atomic=False, result_ttl=60, metadata={"a": [1]})(1)

    bare.using(queue="slow")("1")  # type: ignore[arg-type]
    bare.using(tiemout=30)  # type: ignore[call-arg]
    bare.using(timeout="30")  # type: ignore[arg-type]
    bare.using(takes_context=True)  # type: ignore[call-arg]


def enqueue_in_bulk() -> None:
    with bare.bulk_enqueue(batch_size=100, queue_override="slow") as enqueue:
        enqueue(1, subject="hello")
        enqueue("1")  # type: ignore[arg-type]
        enqueue(1, to="ann")  # type: ignore[call-arg]

    contexts: AbstractContextManager[Callable[[int], None]] = called.bulk_enqueue()
    bare.bulk_enqueue("100")  # type: ignore[arg-type]
    del contexts


async def enqueue_on_the_loop() -> None:
    assert_type((await bare.aenqueue(1)).state, State)
    [result] = await bare.aenqueue_many([((1,), {})])
    assert_type(result.return_value, str)
    await bare.aenqueue("1")  # type: ignore[arg-type]


@on_worker_start
def connect(process: Process) -> None: ...


def hook() -> None:
    connect(Process("web1-4711-ab12/3", "worker", 4712))
    register_hook("worker.exit", connect)
    register_hook("worker.exit", called.call)  # type: ignore[type-var]
