from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dlq.job import Outcome
from dlq.runtime.burst import is_drained
from dlq.selectors import Selector
from dlq.store import MemoryInspector
from dlq.testing.contract.builders import NOON, add, claim, register


def drained(store: Any, *selectors: str) -> bool:
    return is_drained(MemoryInspector(store), [Selector(text) for text in selectors])


def test_an_empty_store_is_drained(store: Any) -> None:
    assert drained(store, "*")


@pytest.mark.parametrize(
    ("selectors", "left"),
    [(["*"], True), (["mail"], True), (["a", "m*"], True), (["*,!mail"], False), (["a"], False)],
)
def test_a_ready_job_counts_where_it_would_be_run(store: Any, selectors: list[str], left: bool) -> None:
    add(store, queue="mail")
    assert drained(store, *selectors) is not left


def test_a_running_job_counts_because_it_may_enqueue_others(store: Any) -> None:
    add(store, queue="mail")
    (held,) = claim(store, worker := register(store), queues=["mail"])
    assert not drained(store, "mail")
    store.exchange(worker, [Outcome.succeeded(held, "null", 0.0)], [], 0)
    assert drained(store, "mail")


def test_a_paused_queue_is_not_waited_for_but_what_runs_of_it_is(store: Any) -> None:
    add(store, queue="mail")
    (held,) = claim(store, worker := register(store), queues=["mail"], limit=1)
    add(store, queue="mail")
    store.pause("mail")
    assert not drained(store, "mail")
    store.exchange(worker, [Outcome.succeeded(held, "null", 0.0)], [], 0)
    assert drained(store, "mail")
    store.resume("mail")
    assert not drained(store, "mail")


def test_what_is_scheduled_for_later_is_not_waited_for(store: Any) -> None:
    add(store, queue="mail", run_after=NOON + timedelta(days=40_000))
    assert drained(store, "mail")
