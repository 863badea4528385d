"""Jobs, workers and moments, in as few words as a test can be read in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import pytest

from dlq.ids import new_job_id
from dlq.job import Claim, Counted, Exchanged, Failure, JobRecord, NewJob, Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.workers import RunnerInfo, Sight, WorkerInfo, WorkerRef

__all__ = [
    "FAILURE",
    "NOON",
    "OUTCOMES",
    "RESCUER",
    "MakeOutcome",
    "MakeStore",
    "add",
    "add_many",
    "after",
    "claim",
    "claim_ids",
    "claim_one",
    "declare_lost",
    "every_outcome",
    "look",
    "new_job",
    "one_of_each",
    "promote",
    "record",
    "register",
    "rejected",
    "rescue",
    "runner_info",
    "settle",
    "settle_one",
    "state_of",
    "totals",
    "worker_info",
]


class MakeStore(Protocol):
    """Makes another Store object on the data of the test, as another process would."""

    def __call__(self, alias: str = "default") -> Store:
        """The store of the backend with this alias."""


# --- Moments ---

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


# --- Jobs ---


def new_job(**fields: Any) -> NewJob:
    """A job that differs from a plain one in these fields."""
    plain: dict[str, Any] = {
        "id": new_job_id(),
        "task": "shop.tasks.send",
        "queue": "default",
        "payload": "[[],{}]",
    }
    return NewJob(**(plain | fields))


def add(store: Store, *, now: datetime = NOON, **fields: Any) -> UUID:
    """Enqueue one job."""
    job = new_job(**fields)
    store.enqueue([job], now=now)
    return job.id


def add_many(store: Store, count: int, *, now: datetime = NOON, **fields: Any) -> list[UUID]:
    """Enqueue so many jobs that differ in their ids only, as one batch."""
    jobs = [new_job(**fields) for _ in range(count)]
    store.enqueue(jobs, now=now)
    return [job.id for job in jobs]


def record(store: Store, id: UUID) -> JobRecord:
    """What the store knows about this job."""
    (found,) = store.get([id])
    return found


def state_of(store: Store, id: UUID) -> State:
    """The state that this job is in."""
    return record(store, id).state


def one_of_each(store: Store, worker: WorkerRef) -> dict[State, UUID]:
    """A job in each state, each on the queue and of the task that have the name of the state."""
    kinds = {
        State.SCHEDULED: "retry later",
        State.BLOCKED: "parked",
        State.SUCCEEDED: "succeeded",
        State.FAILED: "failed",
        State.CANCELLED: "cancelled",
    }
    ids = {state: add(store, queue=state.label, task=f"shop.{state.label}") for state in State}
    for state, kind in kinds.items():
        settle_one(store, worker, OUTCOMES[kind](claim_one(store, worker, queues=[state.label])))
    claim_one(store, worker, queues=["running"])
    return ids


def totals(inspector: Inspector) -> dict[State, int]:
    """How many jobs are in each state, over all queues."""
    found: dict[State, int] = {}
    for queue in inspector.counts():
        for state, count in queue.states.items():
            found[state] = found.get(state, 0) + count
    return found


def look(store: Store, runner: str = "nobody", limit: int = 100, *, now: datetime = NOON) -> Sight:
    """Look, by default as a runner without workers does."""
    return store.look(runner, limit, now=now)


def promote(store: Store, limit: int, *, now: datetime | None = None) -> int:
    """Look, as a runner without workers does, and count the promoted jobs only."""
    return store.look("nobody", limit, now=now).promoted


# --- Runners and workers ---

RESCUER = WorkerRef("rescuer")
"""Settles for others, and is registered nowhere."""


def runner_info(id: str = "runner-1", **fields: Any) -> RunnerInfo:
    """A runner as it registers."""
    plain: dict[str, Any] = {"id": id, "host": "host-1", "pid": 100}
    return RunnerInfo(**(plain | fields))


def worker_info(id: str = "worker-1", runner: str = "runner-1", **fields: Any) -> WorkerInfo:
    """A worker as it registers."""
    plain: dict[str, Any] = {
        "id": id,
        "runner": runner,
        "pid": 101,
        "queues": "*",
        "slots": 1,
        "kind": "process",
    }
    return WorkerInfo(**(plain | fields))


def register(
    store: Store, worker: str = "worker-1", runner: str = "runner-1", *, now: datetime = NOON
) -> WorkerRef:
    """Register a worker, and its runner too."""
    store.register_runner(runner_info(runner), now=now)
    return store.register_worker(worker_info(worker, runner), now=now)


def declare_lost(store: Store, runner: str = "runner-1") -> None:
    """What a peer does that has read the same beat of this runner for too long."""
    store.register_runner(runner_info("peer"), now=NOON)
    beats = store.beat("peer", now=NOON)
    assert store.retire(runner, beats[runner])


def rescue(store: Store, *, now: datetime = NOON) -> list[UUID]:
    """Settle all orphans as interrupted; the ids of those for which it was too late."""
    interrupted = [Outcome.interrupted(orphan, FAILURE) for orphan in store.orphans(100)]
    return rejected(settle(store, RESCUER, *interrupted, now=now))


# --- Exchanges ---

FAILURE = Failure(exception="builtins.ValueError", traceback="Traceback: line 1\nline 2\n")


def claim(
    store: Store,
    worker: WorkerRef,
    limit: int = 100,
    *,
    queues: Sequence[str] = ("default",),
    now: datetime = NOON,
) -> list[Claim]:
    """Exchange nothing for claims."""
    return store.exchange(worker, [], queues, limit, now=now).claims


def claim_ids(
    store: Store,
    worker: WorkerRef,
    limit: int = 100,
    *,
    queues: Sequence[str] = ("default",),
    now: datetime = NOON,
) -> list[UUID]:
    """Claim, and keep only the ids."""
    return [found.id for found in claim(store, worker, limit, queues=queues, now=now)]


def claim_one(
    store: Store, worker: WorkerRef, *, queues: Sequence[str] = ("default",), now: datetime = NOON
) -> Claim:
    """Claim the next job, which must exist."""
    (found,) = claim(store, worker, 1, queues=queues, now=now)
    return found


def settle(store: Store, worker: WorkerRef, *outcomes: Outcome, now: datetime = NOON) -> Exchanged:
    """Exchange outcomes for no claims."""
    return store.exchange(worker, outcomes, [], 0, now=now)


def settle_one(store: Store, worker: WorkerRef, outcome: Outcome, *, now: datetime = NOON) -> JobRecord:
    """Settle a claim, which must be accepted, and read its job."""
    assert rejected(settle(store, worker, outcome, now=now)) == []
    return record(store, outcome.id)


def rejected(reply: Exchanged) -> list[UUID]:
    """The outcomes that were not written."""
    return [*reply.stale, *reply.already]


# --- Outcomes ---

type MakeOutcome = Callable[[Claim], Outcome]


OUTCOMES: dict[str, MakeOutcome] = {
    "succeeded": lambda claim: Outcome.succeeded(claim, '"done"', 1.0),
    "failed": lambda claim: Outcome.failed(claim, FAILURE, 1.0),
    "worker lost": lambda claim: Outcome.failed(claim, FAILURE, counted=Counted.INTERRUPTION),
    "cancelled": lambda claim: Outcome.cancelled(claim, "Nobody needs it.", 1.0),
    "retry later": lambda claim: Outcome.retry(claim, FAILURE, 60.0, 1.0),
    "retry now": lambda claim: Outcome.retry(claim, FAILURE, 0.0, 1.0),
    "handed back": Outcome.handed_back,
    "put off": lambda claim: Outcome.put_off(claim, 60.0),
    "interrupted": lambda claim: Outcome.interrupted(claim, FAILURE),
    "parked": Outcome.parked,
}
"""One outcome of each kind that there is."""

every_outcome = pytest.mark.parametrize("outcome_of", OUTCOMES.values(), ids=OUTCOMES.keys())
"""Runs a test once for each kind of outcome, with a function that makes one for a claim."""
