"""Unique jobs, as whoever enqueues them sees it."""

from __future__ import annotations

from typing import Any

import pytest
from django.tasks.signals import task_enqueued

from dlq import InvalidOption, KeyRefused, MemoryBackend, State, Unique, broadcast, task
from dlq.keys import LONGEST_KEY
from dlq.testing import assert_enqueued, run_jobs
from dlq.testing.contract.builders import register, runner_info
from dlq.unique import OnDuplicate, unique_for, unique_from_json, unique_to_json


def plain(account_id: int, *, force: bool = False) -> None: ...


@task(unique=True)
def sync(account_id: int, *, force: bool = False) -> int:
    return account_id


@task(unique={"key": ["account_id"]})
def by_name(account_id: int, *, force: bool = False) -> None: ...


@task(unique=Unique(key="account:{account_id}", until="started"))
def by_template(account_id: int, *, force: bool = False) -> None: ...


@task(unique=Unique(key=lambda account_id, **options: f"account:{account_id % 10}"))
def by_function(account_id: int, *, force: bool = False) -> None: ...


@task(unique={"on_duplicate": "replace", "key": ["account_id"]})
def latest(account_id: int, what: str) -> str:
    return what


@task
def any_number(account_id: int) -> None: ...


@task(unique=True, takes_context=True)
def with_context(context: Any, account_id: int) -> None: ...


def key_of(of: Any, *args: Any, **kwargs: Any) -> Any:
    return unique_for(of, args, kwargs)


def mark_of(of: Any, *args: Any, **kwargs: Any) -> str:
    mark: str = key_of(of, *args, **kwargs).mark
    return mark


# --- Keys ---


@pytest.mark.parametrize(
    ("of", "key"),
    [
        (sync, '{"account_id": 7, "force": true}'),
        (by_name, '{"account_id": 7}'),
        (by_template, "account:7"),
        (by_function, "account:7"),
    ],
)
def test_a_key_is_made_of_arguments_as_the_task_says(of: Any, key: str) -> None:
    assert key_of(of, 7, force=True).key == key


def test_it_does_not_matter_how_an_argument_is_given() -> None:
    assert mark_of(sync, 7) == mark_of(sync, account_id=7) == mark_of(sync, 7, force=False)
    assert mark_of(sync, 7) != mark_of(sync, 7, force=True)
    assert mark_of(with_context, 7) == mark_of(with_context, account_id=7)


def test_each_task_and_each_time_of_release_has_marks_of_its_own() -> None:
    marks = {mark_of(of, 7) for of in (sync, by_name, by_template, by_function)}
    assert len(marks) == 4
    assert {len(mark) for mark in marks} == {33}
    assert mark_of(by_template, 7)[0] == "s"
    assert mark_of(sync, 7)[0] == "f"


def test_long_arguments_are_told_apart_to_their_last_character() -> None:
    long = "x" * 10_000
    first, second = (key_of(latest.using(unique=True), 1, long + end) for end in "ab")
    assert first.mark != second.mark
    assert len(first.key) <= LONGEST_KEY


@pytest.mark.parametrize("unique", [key_of(sync, 1), key_of(latest, 1, "a"), None])
def test_a_key_is_stored_as_json(unique: Any) -> None:
    assert unique_from_json(unique_to_json(unique)) == unique


@pytest.mark.parametrize(
    ("key", "args"),
    [
        (lambda *args, **kwargs: "", (1,)),
        (lambda *args, **kwargs: None, (1,)),
        (lambda *args, **kwargs: "x" * 256, (1,)),
        (lambda *args, **kwargs: 1 / 0, (1,)),
        ("{account_id[0]}", (1,)),
        (None, (1, 2, 3)),
        (["account_id"], ()),
    ],
)
def test_a_key_that_cannot_be_made_is_refused_and_nothing_is_stored(
    key: Any, args: Any, memory: MemoryBackend
) -> None:
    with pytest.raises(KeyRefused, match=r"test_unique\.sync"):
        sync.using(unique=Unique(key=key)).enqueue(*args)
    assert memory.inspector.counts() == []


@pytest.mark.parametrize(
    ("unique", "message"),
    [
        ("account", "unique='account' must be True, a dlq.Unique, or a dict"),
        ({"keys": "a"}, "unique={'keys': 'a'} must be True, a dlq.Unique, or a dict"),
        (Unique(until="started twice"), "unique until='started twice' must be 'finished' or 'started'"),
        (Unique(on_duplicate="ignore"), "unique on_duplicate='ignore' must be 'reject' or 'replace'"),
        (Unique(key="account:{id}"), "unique key='account:{id}' names 'id'"),
        (Unique(key=""), "unique key='' must be a template"),
        (
            Unique(key=["id"]),
            "unique key=('id',) must name arguments of the task, which takes account_id, force",
        ),
        (Unique(key=[]), "unique key=() must name arguments"),
    ],
)
def test_what_is_declared_must_work(unique: Any, message: str) -> None:
    with pytest.raises(InvalidOption) as error:
        task(unique=unique)(plain)
    assert str(error.value).startswith(f"plain: {message}")


@pytest.mark.parametrize("unique", [None, False])
def test_a_task_may_say_that_any_number_will_do(unique: Any) -> None:
    assert task(unique=unique)(plain).unique is None


def test_a_unique_task_can_be_a_key() -> None:
    assert {by_name: 1}[by_name] == 1
    assert by_name.unique == Unique(key=("account_id",))


# --- Results ---


def test_the_result_of_a_duplicate_says_so(memory: MemoryBackend) -> None:
    first, second, other = sync.enqueue(1), sync.enqueue(1), sync.enqueue(2)
    assert (first.duplicate_of, other.duplicate_of) == (None, None)
    assert (second.state, second.duplicate_of) == (State.CANCELLED, first.id)
    assert second.reason == f"The job {first.id} has the same unique key."
    found = memory.get_result(second.id)
    assert (found.state, found.duplicate_of, found.reason) == (State.CANCELLED, first.id, second.reason)
    assert (found.unique_key, found.enqueued_at) == ('{"account_id": 1, "force": false}', second.enqueued_at)
    with pytest.raises(ValueError, match="same unique key"):
        second.wait(0)


def test_a_call_may_be_unique(memory: MemoryBackend) -> None:
    first = any_number.using(unique=True).enqueue(1)
    assert any_number.enqueue(1).duplicate_of is None
    assert any_number.using(unique=True).enqueue(1).duplicate_of == first.id


def test_of_many_the_first_is_the_one(memory: MemoryBackend) -> None:
    results = sync.enqueue_many([((number % 3,), {}) for number in range(9)])
    first = [result.id for result in results[:3]]
    assert [result.duplicate_of for result in results] == [None, None, None, *first, *first]
    assert run_jobs() == 3


def test_signals_are_sent_for_jobs_and_not_for_duplicates(memory: MemoryBackend) -> None:
    heard: list[str] = []

    def hear(sender: Any, task_result: Any, **kwargs: Any) -> None:
        heard.append(task_result.id)

    task_enqueued.connect(hear)
    try:
        first, _ = sync.enqueue(1), sync.enqueue(1)
    finally:
        task_enqueued.disconnect(hear)
    assert heard == [first.id]


def test_a_broadcast_reaches_every_runner(memory: MemoryBackend) -> None:
    for name in ("one", "two"):
        memory.store.register_runner(runner_info(name))
        register(memory.store, f"{name}/1", name)
    assert [result.duplicate_of for result in broadcast(sync, 1)] == [None, None]


def test_a_test_sees_jobs_and_no_duplicates(memory: MemoryBackend) -> None:
    for _ in range(3):
        sync.enqueue(1)
    assert_enqueued(sync, args=[1], count=1)


def test_the_last_of_several_may_be_what_counts(memory: MemoryBackend) -> None:
    first = latest.enqueue(1, "old")
    assert latest.enqueue(1, "new").duplicate_of == first.id
    run_jobs()
    assert memory.get_result(first.id).return_value == "new"
    assert key_of(latest, 1, "x").on_duplicate is OnDuplicate.REPLACE
