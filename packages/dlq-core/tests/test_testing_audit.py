"""The auditor finds nothing in a healthy store, and names what is wrong in one that breaks a law."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from dlq.errors import WorkerLost
from dlq.job import Claim, Failure, JobRecord, Outcome
from dlq.overrides import with_origin
from dlq.states import State
from dlq.store.inspector import JobFilter, QueueCounts
from dlq.store.memory import MemoryInspector, MemorySchedules, MemoryStore
from dlq.store.schedules import Fired, FireRecord, Proposal, Schedule
from dlq.testing.audit import Auditor
from dlq.testing.contract.builders import NOON, OUTCOMES, add, one_of_each, register
from dlq.workers import WorkerRef


class Distorted(MemoryInspector):
    """Says of one job what is not so."""

    def __init__(self, store: MemoryStore, **change: Any) -> None:
        super().__init__(store)
        self._change = change

    def jobs(self, chosen: JobFilter, *, limit: int, before: UUID | None = None) -> Sequence[JobRecord]:
        return [replace(job, **self._change) for job in super().jobs(chosen, limit=limit, before=before)]


class Miscounting(MemoryInspector):
    """Has lost count."""

    def counts(
        self, queues: Collection[str] | None = None, *, now: datetime | None = None
    ) -> list[QueueCounts]:
        return [replace(row, states={State.READY: 7}) for row in super().counts(queues, now=now)]


class Doubling(MemoryInspector):
    """Lists what is ready among the scheduled ones too."""

    def jobs(self, chosen: JobFilter, *, limit: int, before: UUID | None = None) -> Sequence[JobRecord]:
        states = set(chosen.states or ()) | (
            {State.READY} if State.SCHEDULED in (chosen.states or ()) else set()
        )
        return super().jobs(replace(chosen, states=states), limit=limit, before=before)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("default")


@pytest.fixture
def worker(store: MemoryStore) -> WorkerRef:
    return register(store, "worker-1", "runner-1")


def found(store: MemoryStore, inspector: MemoryInspector | None = None) -> str:
    return "\n".join(Auditor(store, inspector or MemoryInspector(store)).findings())


def running(store: MemoryStore, worker: WorkerRef) -> Claim:
    add(store)
    (claim,) = store.exchange(worker, [], ["default"], 1).claims
    return claim


def test_a_store_with_a_job_in_each_state_is_healthy(store: MemoryStore, worker: WorkerRef) -> None:
    one_of_each(store, worker)
    for kind in sorted(OUTCOMES):
        claim = running(store, worker)
        store.exchange(worker, [OUTCOMES[kind](claim)], [], 0)
    assert found(store) == ""


def test_a_job_in_two_states_is_found(store: MemoryStore) -> None:
    id = add(store)
    assert f"Job {id} is in 2 states: scheduled, ready." in found(store, Doubling(store))


def test_a_wrong_count_is_found(store: MemoryStore) -> None:
    add(store)
    assert found(store, Miscounting(store)) == "The queue default counts 7 ready jobs, and has 1."


def test_a_running_job_without_a_worker_is_found(store: MemoryStore, worker: WorkerRef) -> None:
    claim = running(store, worker)
    store.unregister_worker(worker.id)
    assert found(store) == f"Job {claim.id} runs with worker-1, which is no registered worker."


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"attempts": 5}, "was tried 5 times of 1"),
        ({"finished_at": NOON}, "is running, and has ended at"),
        ({"token": 0}, "has not a start and a token"),
        ({"worker": "worker-2"}, "runs with worker-2, which is no registered worker"),
        ({"state": State.READY}, "is listed as running, and says that it is ready"),
    ],
)
def test_a_record_that_contradicts_itself_is_found(
    store: MemoryStore, worker: WorkerRef, change: dict[str, Any], complaint: str
) -> None:
    running(store, worker)
    assert complaint in found(store, Distorted(store, **change))


def test_an_end_without_a_reason_is_found(store: MemoryStore, worker: WorkerRef) -> None:
    failed = running(store, worker)
    store.exchange(worker, [Outcome.failed(failed, Failure(exception="", traceback=""))], [], 0)
    cancelled = add(store)
    store.cancel([cancelled], "")
    assert f"Job {failed.id} has failed, and nothing says why." in found(store)
    assert f"Job {cancelled} was cancelled, and nothing says why." in found(store)


def test_two_jobs_for_one_due_time_are_found(store: MemoryStore) -> None:
    for _ in range(2):
        add(store, overrides=with_origin(None, "nightly", NOON))
    add(store, overrides=with_origin(None, "weekly", NOON))
    assert found(store) == f"The schedule nightly has 2 jobs for {NOON.isoformat()}."


def test_a_due_time_that_was_decided_twice_is_found(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedules = MemorySchedules(store)
    nightly = Schedule(
        key="nightly", rule="0 0 * * *", task="shop.tasks.send", queue="default", payload="[[],{}]"
    )
    schedules.put([Proposal(schedule=nightly, due_at=None, look_at=None)])
    decided = FireRecord(key="nightly", due_at=NOON, at=NOON, outcome=Fired.ENQUEUED)
    by_hand = replace(decided, outcome=Fired.BY_HAND)
    for fires, complaints in (([decided, by_hand, by_hand], 0), ([decided, decided], 1)):
        monkeypatch.setattr(schedules, "history", lambda limit, key, fires=fires: fires)
        assert len(Auditor(store, MemoryInspector(store), schedules).findings()) == complaints


def test_of_a_store_at_work_only_what_lasts_is_told(store: MemoryStore, worker: WorkerRef) -> None:
    claim = running(store, worker)
    store.unregister_worker(worker.id)
    auditor = Auditor(store, MemoryInspector(store))
    assert len(auditor.lasting(0.0)) == 1
    lost = Failure(exception=WorkerLost.__qualname__, traceback="")
    rescue = Outcome.interrupted(claim, lost)
    threading.Timer(0.05, lambda: store.exchange(WorkerRef("rescuer"), [rescue], [], 0)).start()
    assert auditor.lasting(60.0) == []
