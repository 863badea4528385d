"""Tasks that run in a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from dlq import MemoryBackend, State, task
from dlq.job import Claim, Outcome
from dlq.runtime.execution import run_job

Run = Callable[..., Outcome]


def write() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO shop_order VALUES (1)")
    return connection.in_atomic_block


@task
def write_as_the_settings_say() -> bool:
    return write()


@task(atomic=True)
def write_atomically() -> bool:
    return write()


@task(atomic=False)
def write_without_a_transaction() -> bool:
    return write()


@task(atomic=True, max_attempts=2)
def write_and_fail() -> None:
    write()
    raise LookupError


@task(atomic=True)
def write_and_return_what_is_no_json() -> object:
    write()
    return object()


@task(atomic=True)
def write_and_fail_at_commit() -> None:
    write()
    transaction.on_commit(fail)


@task(atomic=True)
def write_and_enter_the_next() -> bool:
    with transaction.atomic():
        return write()


@task
async def stay_outside() -> str:
    return "outside"


def fail() -> None:
    raise LookupError


@pytest.fixture
def run(memory: MemoryBackend, claim_of: Callable[..., Claim]) -> Run:
    return lambda declared: run_job(claim_of(declared), (), memory)


def written() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM shop_order")
        return int(cursor.fetchone()[0])


@pytest.fixture(autouse=True)
def table(transactional_db: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE shop_order (id integer)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE shop_order")


@pytest.mark.parametrize(
    ("declared", "default", "inside"),
    [
        (write_as_the_settings_say, False, "false"),
        (write_as_the_settings_say, True, "true"),
        (write_atomically, False, "true"),
        (write_without_a_transaction, True, "false"),
        (write_and_enter_the_next, False, "true"),
        (write_as_the_settings_say.using(atomic=True), False, "true"),
    ],
)
def test_a_task_says_whether_it_runs_in_a_transaction_and_else_the_settings(
    run: Run, declared: Any, default: bool, inside: str, settings: Settings
) -> None:
    settings.DLQ_ATOMIC = default
    assert run(declared).result == inside
    assert written() == 1


@pytest.mark.parametrize(
    ("declared", "state"),
    [(write_and_fail, State.SCHEDULED), (write_and_return_what_is_no_json, State.FAILED)],
)
def test_an_attempt_that_raises_leaves_nothing(run: Run, declared: Any, state: State) -> None:
    assert run(declared).state is state
    assert written() == 0
    assert not connection.in_atomic_block


def test_what_fails_at_the_commit_fails_the_job(run: Run) -> None:
    outcome = run(write_and_fail_at_commit)
    assert outcome.failure is not None
    assert outcome.failure.exception == "builtins.LookupError"


def test_coroutines_are_left_out_of_the_default(run: Run, settings: Settings) -> None:
    settings.DLQ_ATOMIC = True
    assert run(stay_outside).result == '"outside"'


def test_a_coroutine_that_is_to_be_atomic_all_the_same_fails_with_the_reason(
    memory: MemoryBackend, claim_of: Callable[..., Claim]
) -> None:
    """Its declaration is refused; a job may have been enqueued before its task became a coroutine."""
    claim = replace(claim_of(stay_outside), overrides='{"atomic":true}')
    outcome = run_job(claim, (), memory)
    assert outcome.failure is not None
    assert "InvalidOption" in outcome.failure.exception
    assert "is a coroutine: atomic=True" in outcome.failure.traceback
