"""Fires of schedules, read from a store."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import pytest

from dlq import MemoryBackend
from dlq.job import JobRecord, Outcome
from dlq.store.schedules import Fired, FireRecord
from dlq.testing.contract.builders import FAILURE, NOON, add, after, claim_one, register, settle
from dlq.testing.contract.schedule_builders import advance, fire, put, schedule
from dlq_metrics import gauges
from dlq_metrics.fires import MOST_JOBS, Successes


def _fire(job: UUID | None, key: str = "nightly", outcome: Fired = Fired.ENQUEUED) -> FireRecord:
    return FireRecord(key=key, due_at=NOON, at=NOON, outcome=outcome, job=job)


def test_the_last_success_of_a_schedule_is_that_of_its_last_job_that_succeeded(memory: MemoryBackend) -> None:
    worker = register(memory.store)
    jobs = []
    for _ in range(2):
        jobs.append(add(memory.store))
        settle(memory.store, worker, Outcome.succeeded(claim_one(memory.store, worker), "1", 0.1))
    jobs.append(add(memory.store))
    settle(memory.store, worker, Outcome.failed(claim_one(memory.store, worker), FAILURE))
    history = [_fire(job) for job in reversed(jobs)]
    fires = Successes().fires([*history, _fire(None, outcome=Fired.MISSED)], {"nightly"}, memory.store.get)
    (last,) = memory.store.get([jobs[1]])
    assert fires.succeeded == {"nightly": last.finished_at}
    assert fires.outcomes == {("nightly", Fired.ENQUEUED): 3, ("nightly", Fired.MISSED): 1}


def test_jobs_that_have_succeeded_are_asked_for_once_and_told_when_they_are_gone(
    memory: MemoryBackend,
) -> None:
    asked: list[Collection[UUID]] = []

    def get(ids: Collection[UUID]) -> list[JobRecord]:
        asked.append(ids)
        return memory.store.get(ids)

    worker, id = register(memory.store), add(memory.store)
    settle(memory.store, worker, Outcome.succeeded(claim_one(memory.store, worker), "1", 0.1))
    known = Successes()
    first = known.fires([_fire(id)], {"nightly"}, get)
    assert known.fires([_fire(id)], {"nightly"}, get).succeeded == first.succeeded != {}
    assert known.fires([], {"nightly"}, get).succeeded == first.succeeded
    assert asked == [[id], [], []]


def test_schedules_that_are_no_more_are_not_told(memory: MemoryBackend) -> None:
    fires = Successes().fires([_fire(None, "gone")], {"nightly"}, memory.store.get)
    assert (fires.outcomes, fires.succeeded) == ({}, {})


def test_of_many_jobs_the_latest_are_asked_for(memory: MemoryBackend) -> None:
    asked: list[Collection[UUID]] = []
    ids = [UUID(int=number) for number in range(MOST_JOBS + 1)]
    Successes().fires([_fire(id) for id in ids], {"nightly"}, lambda wanted: asked.append(wanted) or [])  # type: ignore[func-returns-value]
    assert asked == [ids[:MOST_JOBS]]


def test_a_store_with_schedules_is_read_with_their_fires(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges, "_successes", {})
    (found,) = put(memory.schedules, schedule())
    memory.schedules.advance([advance(found, fire(10))], now=after(11))
    worker = register(memory.store)
    settle(memory.store, worker, Outcome.succeeded(claim_one(memory.store, worker), "1", 0.1))
    told = {(name, *labels): value for name, labels, value in gauges.samples_of(gauges.read("default"))}
    assert told["dlq_schedule_recent_fires", "default", "nightly", "enqueued"] == 1
    assert told["dlq_schedule_last_success_timestamp_seconds", "default", "nightly"] > 0
