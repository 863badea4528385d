from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from dlq import MemoryBackend, State, task
from dlq.control import job_record
from dlq.ids import new_job_id
from dlq.job import Failure, Note, Outcome
from dlq.limits import Limits, Slot
from dlq.testing.contract.builders import (
    FAILURE,
    NOON,
    add,
    after,
    claim_one,
    record,
    register,
    settle,
    state_of,
)

type Run = Callable[..., str]

FAR = datetime(2999, 1, 1, tzinfo=UTC)


@task(queue="email")
def send(to: str, *, subject: str = "") -> None: ...


@pytest.fixture
def eventful(memory: MemoryBackend) -> UUID:
    """A job that has failed at last, and left a lot to be read."""
    store, worker = memory.store, register(memory.store)
    id = add(
        store,
        queue="email",
        payload='[["ann"],{"n":1}]',
        priority=5,
        max_attempts=2,
        overrides='{"timeout":7}',
        metadata='{"by":"bob"}',
        expires_after=60.0,
    )
    first = claim_one(store, worker, queues=["email"])
    store.annotate([Note(id=id, token=first.token, progress=0.25, message="halfway", lines=["one", "two"])])
    settle(store, worker, Outcome.retry(first, FAILURE, 0.0, 1.0), now=after(1))
    second = claim_one(store, worker, queues=["email"], now=after(2))
    failure = Failure(exception="shop.Broken", traceback="Traceback\n  \x1b[31mred\n")
    settle(store, worker, Outcome.failed(second, failure, 2.5), now=after(9))
    return id


def test_a_blocked_job_says_what_it_waits_for(memory: MemoryBackend, run: Run) -> None:
    limits = Limits(slot=Slot(key="account:7", limit=1))
    ids = [add(memory.store, limits=limits) for _ in range(2)]
    assert "waits for" not in run("queue_job", str(ids[0]))
    assert "a slot of its key, 'account:7', of which there are 1" in run("queue_job", str(ids[1]))
    assert json.loads(run("queue_job", str(ids[1]), "--json"))["waits_for"] == "a slot of its key"


def test_everything_that_is_known_of_a_job_is_shown(eventful: UUID, run: Run) -> None:
    said = run("queue_job", str(eventful))
    assert run("queue_job", str(eventful), "show") == said
    lines = {tuple(line.split()) for line in said.splitlines()}
    for words in (
        f"Job {eventful} (backend default)",
        "state failed",
        "task shop.tasks.send",
        'args ["ann"]',
        'kwargs {"n": 1}',
        'options {"timeout": 7}',
        'metadata {"by": "bob"}',
        "queue email",
        "priority 5",
        "enqueued 2026-03-01T12:00:00+00:00",
        "expires 2026-03-01T12:01:00+00:00",
        "started 2026-03-01T12:00:06.500000+00:00",
        "finished 2026-03-01T12:00:09+00:00",
        "worker worker-1",
        "attempts 2 of 2",
        "progress 25%",
        "message halfway",
        "1. builtins.ValueError on worker-1, 2026-03-01T12:00:00+00:00, 1.000 s, counts as attempt",
        "Traceback: line 1",
        "2. shop.Broken on worker-1, 2026-03-01T12:00:06.500000+00:00, 2.500 s, counts as attempt",
        "\\x1b[31mred",
        "one",
        "two",
    ):
        assert tuple(words.split()) in lines, words


def test_a_document_says_the_same_to_programs(eventful: UUID, run: Run) -> None:
    document = json.loads(run("queue_job", str(eventful), "--json"))
    assert document == {
        "id": str(eventful),
        "backend": "default",
        "state": "failed",
        "waits_for": None,
        "task": "shop.tasks.send",
        "queue": "email",
        "priority": 5,
        "args": ["ann"],
        "kwargs": {"n": 1},
        "options": {"timeout": 7},
        "metadata": {"by": "bob"},
        "enqueued_at": "2026-03-01T12:00:00+00:00",
        "run_after": None,
        "due_at": None,
        "expires_at": "2026-03-01T12:01:00+00:00",
        "started_at": "2026-03-01T12:00:06.500000+00:00",
        "finished_at": "2026-03-01T12:00:09+00:00",
        "keep_until": None,
        "worker": "worker-1",
        "attempts": 2,
        "max_attempts": 2,
        "interruptions": 0,
        "max_interruptions": 2,
        "progress": 0.25,
        "message": "halfway",
        "result": None,
        "reason": None,
        "unique": None,
        "duplicate_of": None,
        "history": [
            {
                "worker": "worker-1",
                "started_at": "2026-03-01T12:00:00+00:00",
                "finished_at": "2026-03-01T12:00:01+00:00",
                "counted": "attempt",
                "exception": "builtins.ValueError",
                "traceback": "Traceback: line 1\nline 2\n",
            },
            {
                "worker": "worker-1",
                "started_at": "2026-03-01T12:00:06.500000+00:00",
                "finished_at": "2026-03-01T12:00:09+00:00",
                "counted": "attempt",
                "exception": "shop.Broken",
                "traceback": "Traceback\n  \x1b[31mred\n",
            },
        ],
        "log": ["one", "two"],
    }


def test_a_result_of_nothing_is_a_result(memory: MemoryBackend, run: Run) -> None:
    worker = register(memory.store)
    id = add(memory.store)
    assert "result" not in run("queue_job", str(id))
    settle(memory.store, worker, Outcome.succeeded(claim_one(memory.store, worker), "null", 1.0))
    assert ["result", "null"] in [line.split() for line in run("queue_job", str(id)).splitlines()]


def test_the_job_is_found_on_whatever_backend_it_is(other: MemoryBackend, run: Run, refused: Run) -> None:
    id = add(other.store)
    assert "(backend other)" in run("queue_job", str(id))
    assert run("queue_job", str(id), "discard") == f"Discarded job {id}.\n"
    assert f"There is no job {id} on default:" in refused("queue_job", str(id), "--backend", "default")


# --- Deciding ---


def in_state(memory: MemoryBackend, state: State) -> UUID:
    store, worker = memory.store, register(memory.store)
    id = add(store, run_after=FAR if state is State.SCHEDULED else None)
    outcomes: dict[State, Callable[[Any], Outcome]] = {
        State.SUCCEEDED: lambda claim: Outcome.succeeded(claim, "1", 1.0),
        State.FAILED: lambda claim: Outcome.failed(claim, FAILURE),
        State.CANCELLED: lambda claim: Outcome.cancelled(claim, "enough"),
        State.BLOCKED: Outcome.parked,
    }
    if state not in (State.SCHEDULED, State.READY):
        claim = claim_one(store, worker)
        if state is not State.RUNNING:
            settle(store, worker, outcomes[state](claim))
    assert state_of(store, id) is state
    return id


DECISIONS: dict[str, tuple[set[State], State, str, str]] = {
    "retry": (
        {State.FAILED, State.CANCELLED},
        State.READY,
        "Job {} is ready again.",
        "only failed and cancelled jobs can be retried",
    ),
    "discard": (
        {State.SCHEDULED, State.BLOCKED, State.READY, State.FAILED},
        State.CANCELLED,
        "Discarded job {}.",
        "only waiting and failed jobs can be discarded",
    ),
    "cancel": (
        {State.SCHEDULED, State.BLOCKED, State.READY},
        State.CANCELLED,
        "Cancelled job {}.",
        "only waiting and running jobs can be cancelled",
    ),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", DECISIONS)
def test_a_decision_is_carried_out_where_it_can_be_and_refused_elsewhere(
    memory: MemoryBackend, run: Run, refused: Run, action: str, state: State
) -> None:
    fit, becomes, says, rule = DECISIONS[action]
    id = in_state(memory, state)
    if state in fit:
        assert run("queue_job", str(id), action) == f"{says.format(id)}\n"
        assert state_of(memory.store, id) is becomes
    elif (action, state) == ("cancel", State.RUNNING):
        assert run("queue_job", str(id), action) == f"Asked the task of job {id} to stop.\n"
        assert memory.store.look("runner-1", 1, now=NOON).cancellations != []
    elif (action, state) == ("discard", State.RUNNING):
        assert "Cancel it instead, which asks its task to stop." in refused("queue_job", str(id), action)
        assert record(memory.store, id).reason is None
    else:
        assert refused("queue_job", str(id), action) == f"Job {id} is {state.label}: {rule}."
        assert state_of(memory.store, id) is state


def test_a_copy_is_enqueued_with_other_arguments(memory: MemoryBackend, run: Run) -> None:
    original = send.enqueue("ann", subject="hi").id
    same = run("queue_job", original, "copy")
    edited = run("queue_job", original, "copy", "--args", '["bob"]', "--kwargs", "{}")
    assert same.endswith(f", a copy of job {original}.\n")
    assert [json.loads(job_record(said.split()[1].rstrip(",")).payload) for said in (same, edited)] == [
        [["ann"], {"subject": "hi"}],
        [["bob"], {}],
    ]


def test_a_cancelled_job_is_retried_with_other_arguments(memory: MemoryBackend, run: Run) -> None:
    id = send.enqueue("ann", subject="hi").id
    run("queue_job", id, "cancel")
    assert run("queue_job", id, "retry", "--args", '["bob"]') == f"Job {id} is ready again.\n"
    assert json.loads(job_record(id).payload) == [["bob"], {"subject": "hi"}]


def test_what_a_job_is_unique_by_is_shown(memory: MemoryBackend, run: Run) -> None:
    first, second = (send.using(unique={"key": "to:{to}"}).enqueue("ann") for _ in range(2))
    lines = {tuple(line.split()) for line in run("queue_job", second.id).splitlines()}
    assert {
        ("unique", "to:ann"),
        tuple(f"reason The job {first.id} has the same unique key.".split()),
    } <= lines
    assert json.loads(run("queue_job", second.id, "--json"))["duplicate_of"] == first.id


REFUSED: dict[str, tuple[list[str], str]] = {
    "no JSON": (["copy", "--args", "[1"], "--args '[1' is no JSON: "),
    "no array": (["copy", "--args", '"text"'], "must be a JSON array."),
    "no object": (["copy", "--kwargs", "[]"], "--kwargs '[]' must be a JSON object."),
    "too deep": (["copy", "--args", "[" * 100_000], "is no JSON"),
    "not JSON's": (["copy", "--args", "[NaN]"], "args[0] is nan"),
    "arguments to discard": (
        ["discard", "--args", "[]"],
        "--args goes with retry and copy, not with discard.",
    ),
    "keywords to show": (["--kwargs", "{}"], "--kwargs goes with retry and copy, not with show."),
    "a document of a decision": (["retry", "--json"], "--json goes with show, not with retry."),
    "no action": (["destroy"], "invalid choice: 'destroy'"),
}


@pytest.mark.parametrize(("arguments", "says"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(
    memory: MemoryBackend, refused: Run, arguments: list[str], says: str
) -> None:
    job = send.enqueue("ann")
    assert says in refused("queue_job", job.id, *arguments)
    assert memory.inspector.counts()[0].states == {State.READY: 1}


def test_an_unknown_job_is_named(memory: MemoryBackend, refused: Run) -> None:
    id = str(new_job_id())
    assert refused("queue_job", id, "retry").startswith(f"There is no job {id} on default: it never existed")
    assert refused("queue_job", "7") == "'7' is not the id of a job: ids are UUIDs."


def test_a_job_of_an_unknown_task_is_shown_and_cannot_be_copied(
    memory: MemoryBackend, run: Run, refused: Run
) -> None:
    id = str(add(memory.store, task="gone.tasks.send"))
    assert "gone.tasks.send" in run("queue_job", id)
    assert "The task 'gone.tasks.send' cannot be imported here" in refused("queue_job", id, "copy")
