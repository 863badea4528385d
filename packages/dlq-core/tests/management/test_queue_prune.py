from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pytest_django import Settings

from dlq import MemoryBackend, State
from dlq.job import Claim, Outcome
from dlq.store.schedules import Advance, Fire, Fired
from dlq.testing.contract.builders import FAILURE, add, claim_one, register, settle
from dlq.testing.contract.schedule_builders import put, schedule

type Run = Callable[..., str]

ENDS: dict[State, Callable[[Claim], Outcome]] = {
    State.SUCCEEDED: lambda claim: Outcome.succeeded(claim, "1", 1.0),
    State.CANCELLED: lambda claim: Outcome.cancelled(claim, "enough"),
    State.FAILED: lambda claim: Outcome.failed(claim, FAILURE),
}


@pytest.fixture
def finished(memory: MemoryBackend) -> dict[tuple[State, int], UUID]:
    """Jobs that ended in each way, one, ten and a hundred days ago."""
    worker, jobs = register(memory.store), {}
    for days in (1, 10, 100):
        ended = datetime.now(UTC) - timedelta(days=days, minutes=1)
        for state, outcome in ENDS.items():
            jobs[state, days] = add(memory.store, now=ended, task=f"tasks.t{days}")
            settle(memory.store, worker, outcome(claim_one(memory.store, worker)), now=ended)
    return jobs


PRUNED: dict[str, tuple[list[str], str, set[tuple[State, int]]]] = {
    "retention": (
        [],
        "3 succeeded, 3 cancelled, 0 failed",
        {(state, days) for state in (State.SUCCEEDED, State.CANCELLED) for days in (1, 10, 100)},
    ),
    "older": (
        ["--older-than", "7d"],
        "2 succeeded, 2 cancelled",
        {(state, days) for state in (State.SUCCEEDED, State.CANCELLED) for days in (10, 100)},
    ),
    "failed": (["--failed-older-than", "30d"], "1 failed", {(State.FAILED, 100)}),
    "both": (
        ["--older-than", "99d", "--failed-older-than", "9d"],
        "1 succeeded, 1 cancelled, 2 failed",
        {(State.SUCCEEDED, 100), (State.CANCELLED, 100), (State.FAILED, 10), (State.FAILED, 100)},
    ),
    "one task": (
        ["--failed-older-than", "1s", "--task", "tasks.t10"],
        "1 failed",
        {(State.FAILED, 10)},
    ),
    "one task by retention": (
        ["--task", "tasks.t1"],
        "1 succeeded, 1 cancelled, 0 failed",
        {(State.SUCCEEDED, 1), (State.CANCELLED, 1)},
    ),
    "nothing that old": (["--older-than", "2w", "--task", "no.such"], "0 succeeded, 0 cancelled", set()),
}


@pytest.mark.parametrize(("arguments", "says", "gone"), PRUNED.values(), ids=PRUNED)
def test_what_is_old_enough_goes_and_is_counted(
    memory: MemoryBackend,
    finished: dict[tuple[State, int], UUID],
    run: Run,
    arguments: list[str],
    says: str,
    gone: set[tuple[State, int]],
) -> None:
    assert run("queue_prune", *arguments) == f"Pruned jobs: {says}.\n"
    left = {record.id for record in memory.store.get(finished.values())}
    assert {key for key, id in finished.items() if id not in left} == gone


def test_retention_is_that_of_the_settings(
    settings: Settings, memory: MemoryBackend, finished: dict[tuple[State, int], UUID], run: Run
) -> None:
    settings.TASKS = {
        "default": {
            "BACKEND": "dlq.MemoryBackend",
            "OPTIONS": {"retention": {"succeeded": None, "failed": timedelta(days=30), "cancelled": 0}},
        }
    }
    assert run("queue_prune") == "Pruned jobs: 0 succeeded, 3 cancelled, 1 failed.\n"


def test_jobs_that_have_not_finished_stay(memory: MemoryBackend, run: Run) -> None:
    add(memory.store)
    assert run("queue_prune", "--older-than", "0s", "--failed-older-than", "0s") == (
        "Pruned jobs: 0 succeeded, 0 cancelled, 0 failed.\n"
    )
    assert memory.inspector.counts()[0].states == {State.READY: 1}


def test_each_backend_is_pruned_and_named(other: MemoryBackend, run: Run) -> None:
    worker = register(other.store)
    add(other.store)
    settle(other.store, worker, Outcome.failed(claim_one(other.store, worker), FAILURE))
    assert run("queue_prune", "--failed-older-than", "1d") == (
        "default: Pruned jobs: 0 failed.\nother: Pruned jobs: 1 failed.\n"
    )
    assert run("queue_prune", "--backend", "default", "--older-than", "1d").startswith("default: ")


@pytest.mark.parametrize("option", ["--older-than", "--failed-older-than"])
@pytest.mark.parametrize("age", ["", "7", "-7d", "week", "9999999999w"])
def test_an_age_that_makes_no_sense_is_refused_and_nothing_is_deleted(
    memory: MemoryBackend,
    finished: dict[tuple[State, int], UUID],
    refused: Run,
    option: str,
    age: str,
) -> None:
    assert refused("queue_prune", f"{option}={age}").startswith(f"{option}: {age!r} is ")
    assert len(memory.store.get(finished.values())) == len(finished)


# --- Fires ---


@pytest.fixture
def fired(memory: MemoryBackend) -> None:
    """Fires of two schedules, one, ten and a hundred days ago."""
    now = datetime.now(UTC)
    for key in ("a", "b"):
        (found,) = put(memory.schedules, schedule(key))
        for days in (100, 10, 1):
            at = now - timedelta(days=days, minutes=1)
            advanced = Advance(
                key=key,
                revision=found.revision,
                due_at=None,
                look_at=None,
                fires=[Fire(due_at=at, outcome=Fired.MISSED)],
            )
            memory.schedules.advance([advanced], now=at)
            (found,) = memory.schedules.get([key])


@pytest.mark.parametrize(
    ("arguments", "says", "left"),
    [
        (["--fires-older-than", "5d"], "Pruned fires: 4.\n", 2),
        (["--fires-older-than", "5d", "--schedule", "a"], "Pruned fires: 2.\n", 4),
        (["--fires-older-than", "5d", "--schedule", "unknown"], "Pruned fires: 0.\n", 6),
        ([], "Pruned jobs: 0 succeeded, 0 cancelled, 0 failed.\n", 4),
        (["--older-than", "1s"], "Pruned jobs: 0 succeeded, 0 cancelled.\n", 6),
        (
            ["--failed-older-than", "1s", "--fires-older-than", "50d"],
            "Pruned jobs: 0 failed.\nPruned fires: 2.\n",
            4,
        ),
    ],
)
def test_fires_go_by_age_and_schedule_or_by_their_retention(
    memory: MemoryBackend, fired: None, run: Run, arguments: list[str], says: str, left: int
) -> None:
    assert run("queue_prune", *arguments) == says
    assert len(memory.schedules.history(10)) == left


def test_a_schedule_alone_does_not_say_what_is_to_go(memory: MemoryBackend, refused: Run) -> None:
    assert refused("queue_prune", "--schedule", "a").startswith("--schedule needs --fires-older-than")
