import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dlq import MemoryBackend, State
from dlq.deduplication import find_duplicates, remove_duplicates
from dlq.job import Outcome
from dlq.testing.contract.builders import (
    FAILURE,
    add,
    add_many,
    after,
    claim_one,
    record,
    register,
    settle,
    state_of,
)


def deduplicate(queue: str = "default") -> tuple[int, int]:
    found = find_duplicates(queue)
    return found.looked_at, remove_duplicates(found)


SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "everything": ({}, {}),
    "order of keys": ({"payload": '[[],{"a":1,"b":2}]'}, {"payload": '[[],{"b":2,"a":1}]'}),
    "order of keys deep down": (
        {"payload": '[[{"x":{"a":1,"b":[]}}],{}]'},
        {"payload": '[[{"x":{"b":[],"a":1}}],{}]'},
    ),
    "order of options": (
        {"overrides": '{"timeout":1,"atomic":true}'},
        {"overrides": '{"atomic":true,"timeout":1}'},
    ),
    "when it was to run": ({"run_after": after(-60)}, {}),
    "priority": ({"priority": 5}, {}),
    "no options": ({"overrides": "{}"}, {}),
    "when it expires": ({"expires_after": 9.5}, {"expires_after": 9.5}),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_jobs_that_do_the_same_are_duplicates(
    memory: MemoryBackend, one: dict[str, Any], other: dict[str, Any]
) -> None:
    first = add(memory.store, **one)
    second = add(memory.store, now=after(1), **other)
    assert deduplicate() == (2, 1)
    assert (state_of(memory.store, first), state_of(memory.store, second)) == (State.READY, State.CANCELLED)
    assert record(memory.store, second).reason == f"duplicate of {first}"


DIFFERENT: dict[str, dict[str, Any]] = {
    "task": {"task": "shop.tasks.receive"},
    "arguments": {"payload": "[[1],{}]"},
    "type of a number": {"payload": "[[1.0],{}]"},
    "truth for a number": {"payload": "[[true],{}]"},
    "order of a list": {"payload": "[[[2,1]],{}]"},
    "keyword arguments": {"payload": '[[],{"a":1}]'},
    "options": {"overrides": '{"timeout":5}'},
    "attempts": {"max_attempts": 3},
    "metadata": {"metadata": '{"for":"ann"}'},
    "how long it may wait": {"expires_after": 60.0},
}


def test_jobs_that_differ_in_what_they_do_all_stay(memory: MemoryBackend) -> None:
    ids = [add(memory.store, **fields) for fields in ({}, {"payload": "[[[1,2]],{}]"}, *DIFFERENT.values())]
    assert deduplicate() == (len(DIFFERENT) + 2, 0)
    assert {state_of(memory.store, id) for id in ids} == {State.READY}


def test_the_one_that_is_first_in_line_stays(memory: MemoryBackend) -> None:
    late, early = add(memory.store, now=after(9)), add(memory.store, now=after(5))
    assert deduplicate() == (2, 1)
    assert state_of(memory.store, early) is State.READY

    urgent = add(memory.store, now=after(20), priority=1)
    assert deduplicate() == (2, 1)
    assert record(memory.store, early).reason == f"duplicate of {urgent}"
    assert state_of(memory.store, late) is State.CANCELLED


def test_a_job_that_was_tried_before_stands_behind_those_that_were_not(memory: MemoryBackend) -> None:
    worker = register(memory.store)
    tried = add(memory.store, max_attempts=3)
    fresh = add(memory.store, max_attempts=3, now=after(1))
    settle(memory.store, worker, Outcome.retry(claim_one(memory.store, worker), FAILURE, 0.0))
    assert deduplicate() == (2, 1)
    assert record(memory.store, tried).reason == f"duplicate of {fresh}"


def test_only_ready_jobs_of_the_queue_are_looked_at(memory: MemoryBackend) -> None:
    worker = register(memory.store)
    running = add(memory.store)
    claim_one(memory.store, worker)
    others = [
        add(memory.store, run_after=datetime(2999, 1, 1, tzinfo=UTC)),
        add(memory.store, queue="other"),
    ]
    ready = add(memory.store)
    assert deduplicate() == (1, 0)
    assert [state_of(memory.store, id) for id in (running, *others, ready)] == [
        State.RUNNING,
        State.SCHEDULED,
        State.READY,
        State.READY,
    ]


def test_a_duplicate_that_has_started_meanwhile_is_left_alone(memory: MemoryBackend) -> None:
    worker = register(memory.store)
    add_many(memory.store, 2)
    found = find_duplicates("default")
    claimed = [claim_one(memory.store, worker) for _ in range(2)]
    assert remove_duplicates(found) == 0
    assert {state_of(memory.store, claim.id) for claim in claimed} == {State.RUNNING}


def test_many_are_read_and_removed_in_batches_that_are_reported(memory: MemoryBackend) -> None:
    for number in range(2):
        add_many(memory.store, 600, payload=json.dumps([[number], {}]))
    read, removed = list[int](), list[int]()
    found = find_duplicates("default", progress=read.append)
    assert (found.looked_at, found.count) == (1200, 1198)
    assert remove_duplicates(found, progress=removed.append) == 1198
    assert (sum(read), sum(removed)) == (1200, 1198)
    assert (max(read), max(removed)) == (500, 500)
