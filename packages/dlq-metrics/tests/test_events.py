from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dlq.errors import StoreUnavailable
from dlq.job import Outcome
from dlq.signals import store_called
from dlq.store import InstrumentedStore, MemoryStore, Store
from dlq.testing.contract.builders import (
    FAILURE,
    OUTCOMES,
    RESCUER,
    add,
    add_many,
    after,
    claim,
    claim_one,
    register,
    settle,
)
from dlq_metrics.events import Events
from dlq_metrics.figures import Figures

JOB = ["default", "default", "shop.tasks.send"]


@pytest.fixture
def figures() -> Figures:
    return Figures()


@pytest.fixture
def store(figures: Figures) -> Iterator[Store]:
    events = Events(figures)

    def receive(sender: object, **call: Any) -> None:
        events(**call)

    store_called.connect(receive)
    yield InstrumentedStore(MemoryStore())
    store_called.disconnect(receive)


def _counted(figures: Figures, name: str) -> dict[tuple[str, ...], Any]:
    return {tuple(labels): value for metric, labels, value in figures.entries() if metric == name}


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("succeeded", "succeeded"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
        ("retry later", "retried"),
        ("retry now", "retried"),
        ("interrupted", "interrupted"),
        ("handed back", None),
        ("parked", None),
    ],
)
def test_an_outcome_counts_as_what_became_of_the_attempt(
    store: Store, figures: Figures, kind: str, word: str | None
) -> None:
    worker = register(store)
    add(store)
    settle(store, worker, OUTCOMES[kind](claim_one(store, worker)))
    expected = {(*JOB, word): 1} if word else {}
    assert _counted(figures, "dlq_runner_outcomes") == expected
    assert _counted(figures, "dlq_runner_claims") == {tuple(JOB): 1}


def test_what_comes_too_late_or_twice_is_no_outcome(store: Store, figures: Figures) -> None:
    worker = register(store)
    add_many(store, 2)
    first, second = claim(store, worker)
    settle(store, RESCUER, Outcome.handed_back(second))
    for _ in range(2):
        settle(store, worker, OUTCOMES["succeeded"](first), OUTCOMES["succeeded"](second))
    assert _counted(figures, "dlq_runner_outcomes") == {(*JOB, "succeeded"): 1}
    assert _counted(figures, "dlq_runner_stale_settles") == {("default",): 2}


def test_rescues_are_counted_by_their_reason(store: Store, figures: Figures) -> None:
    worker = register(store)
    add(store)
    claim_one(store, worker)
    store.unregister_worker(worker.id)
    lost = replace(FAILURE, exception="dlq.errors.RunnerLost")
    settle(store, RESCUER, *[Outcome.interrupted(orphan, lost) for orphan in store.orphans(10)])
    assert _counted(figures, "dlq_runner_rescues") == {("default", "RunnerLost"): 1}


def test_the_wait_counts_from_when_a_job_could_have_run(store: Store, figures: Figures) -> None:
    worker = register(store)
    add(store, run_after=after(60))
    add(store, now=after(30))
    store.look("runner-1", 10, now=after(61))
    claim(store, worker, now=after(70))
    ((counts, total, _),) = _counted(figures, "dlq_runner_wait_seconds").values()
    assert (sum(counts), total) == (2, 10.0 + 40.0)


def test_a_retry_has_not_waited_since_it_was_enqueued(store: Store, figures: Figures) -> None:
    worker = register(store)
    add(store)
    settle(store, worker, OUTCOMES["retry now"](claim_one(store, worker)))
    claim_one(store, worker, now=after(1000))
    ((counts, total, _),) = _counted(figures, "dlq_runner_wait_seconds").values()
    assert (sum(counts), total) == (1, 0.0)


def test_run_times_have_the_trace_of_their_job_as_an_example(store: Store, figures: Figures) -> None:
    worker, trace = register(store), "0af7651916cd43dd8448eb211c80319c"
    add(store, metadata=json.dumps({"traceparent": f"00-{trace}-b7ad6b7169203331-01"}))
    settle(store, worker, Outcome.succeeded(claim_one(store, worker), "1", 0.3))
    ((_, _, traces),) = _counted(figures, "dlq_runner_run_seconds").values()
    assert traces == [[6, trace, 0.3]]


@pytest.mark.parametrize("odd", ['{"traceparent": 3}', '{"traceparent": "00-xyz"}', '{"a": "traceparent"}'])
def test_an_odd_trace_is_none(store: Store, figures: Figures, odd: str) -> None:
    worker = register(store)
    add(store, metadata=odd)
    settle(store, worker, OUTCOMES["succeeded"](claim_one(store, worker)))
    ((_, _, traces),) = _counted(figures, "dlq_runner_run_seconds").values()
    assert traces == []


def test_calls_that_fail_are_counted(
    store: InstrumentedStore, figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waiting(now: object = None) -> list[str]:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(store.wrapped, "waiting", waiting)
    with pytest.raises(StoreUnavailable):
        store.waiting()
    assert _counted(figures, "dlq_runner_store_errors") == {("default", "waiting"): 1}


def test_batches_are_counted_by_their_size(store: Store, figures: Figures) -> None:
    worker = register(store)
    add_many(store, 7)
    claim(store, worker)
    claim(store, worker)
    ((counts, total, _),) = _counted(figures, "dlq_runner_batch_jobs").values()
    assert (sum(counts), total) == (1, 7)
