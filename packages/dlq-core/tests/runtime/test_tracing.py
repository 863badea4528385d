"""A tracer goes around enqueues and attempts, whatever runs them, and can do no harm."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pytest
from django.db import transaction

from dlq import EnqueueError, MemoryBackend, State, task
from dlq.control import copy_job, job_record
from dlq.deduplication import find_duplicates
from dlq.job import Claim, NewJob, Outcome
from dlq.testing import run_jobs
from dlq.testing.contract.builders import add
from dlq.tracing import Ending, use_tracer

from .rig import KINDS, Rig

every_kind = pytest.mark.parametrize("kind", KINDS)
here: ContextVar[str | None] = ContextVar("here", default=None)


@task
def look() -> str | None:
    return here.get()


@task
async def look_soon() -> str | None:
    await asyncio.sleep(0)
    return here.get()


@task
def fail() -> None:
    raise LookupError("no such address")


@task
async def fail_soon() -> None:
    raise LookupError("no such address")


class Notes:
    """A tracer that says where it is, and sends that along."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.ended: list[tuple[str, State, type | None]] = []

    @contextmanager
    def sending(self, backend: str, jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
        self.sent.append([job.task.rpartition(".")[2] for job in jobs])
        yield [replace(job, metadata=json.dumps({"at": number})) for number, job in enumerate(jobs)]

    @contextmanager
    def running(self, backend: str, claim: Claim) -> Iterator[Ending]:
        token = here.set(f"{backend} {claim.id}")

        def ended(outcome: Outcome, error: BaseException | None) -> None:
            self.ended.append((str(outcome.id), outcome.state, error and type(error)))

        yield ended
        here.reset(token)


class Broken:
    """A tracer of which every part raises."""

    def __init__(self, *, at_once: bool) -> None:
        self._at_once = at_once

    @contextmanager
    def sending(self, backend: str, jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
        if self._at_once:
            raise RuntimeError("broken")
        yield jobs
        raise RuntimeError("broken")

    @contextmanager
    def running(self, backend: str, claim: Claim) -> Iterator[Ending]:
        if self._at_once:
            raise RuntimeError("broken")

        def ended(outcome: Outcome, error: BaseException | None) -> None:
            raise RuntimeError("broken")

        yield ended
        raise RuntimeError("broken")


@pytest.fixture
def notes() -> Iterator[Notes]:
    notes = Notes()
    use_tracer(notes)
    yield notes
    use_tracer(None)


@pytest.fixture
def rig(memory: MemoryBackend, claim_of: Callable[..., Claim]) -> Callable[..., Rig]:
    return lambda kind: Rig(kind, memory, claim_of)


@every_kind
@pytest.mark.parametrize("declared", [look, look_soon], ids=["function", "coroutine"])
def test_the_context_of_an_attempt_is_that_of_its_task_and_of_no_other(
    rig: Callable[..., Rig], notes: Notes, kind: str, declared: Any
) -> None:
    outcomes = rig(kind).run(*[declared] * 8)
    assert [json.loads(outcome.result or "") for outcome in outcomes] == [f"default {o.id}" for o in outcomes]
    assert sorted(notes.ended) == sorted((str(o.id), State.SUCCEEDED, None) for o in outcomes)
    assert here.get() is None


@every_kind
@pytest.mark.parametrize("declared", [fail, fail_soon], ids=["function", "coroutine"])
def test_a_tracer_is_told_what_the_task_raised(
    rig: Callable[..., Rig], notes: Notes, kind: str, declared: Any
) -> None:
    (outcome,) = rig(kind).run(declared)
    assert notes.ended == [(str(outcome.id), State.FAILED, LookupError)]


def test_metadata_that_a_tracer_adds_are_stored_and_shown(memory: MemoryBackend, notes: Notes) -> None:
    one, two = memory.enqueue_all([(look, (), {}), (fail, (), {})])
    assert (one.metadata, two.metadata) == ({"at": 0}, {"at": 1})
    assert json.loads(job_record(two).metadata or "") == {"at": 1}
    assert notes.sent == [["look", "fail"]]


@pytest.mark.django_db(transaction=True)
def test_coroutines_and_commits_pass_a_tracer_too(memory: MemoryBackend, notes: Notes) -> None:
    result = asyncio.run(look.aenqueue())
    with transaction.atomic():
        later = memory.enqueue_on_commit(fail, (), {})
    assert notes.sent == [["look"], ["fail"]]
    assert (result.metadata, later.metadata) == ({"at": 0}, {"at": 0})


@pytest.mark.usefixtures("refusing")
def test_a_store_that_refuses_is_heard_through_a_tracer(memory: MemoryBackend, notes: Notes) -> None:
    with pytest.raises(EnqueueError, match="the store says"):
        memory.enqueue(look, ("StoreRefused",), {})
    assert notes.sent == [["look"]]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_broken_tracer_is_logged_and_changes_nothing(
    memory: MemoryBackend, caplog: pytest.LogCaptureFixture, at_once: bool
) -> None:
    use_tracer(Broken(at_once=at_once))
    try:
        result = look.using(metadata={"by": "me"}).enqueue()
        run_jobs()
    finally:
        use_tracer(None)
    result.refresh()
    assert (result.state, dict(result.metadata)) == (State.SUCCEEDED, {"by": "me"})
    assert [r.levelno for r in caplog.records if "tracer raised" in r.message] == [logging.ERROR] * 2


# --- Where a job comes from is no part of what it does ---


def test_jobs_of_several_traces_are_duplicates(memory: MemoryBackend) -> None:
    for trace in ("00-aa", "00-bb"):
        add(memory.store, metadata=json.dumps({"by": "me", "traceparent": trace, "tracestate": "a=1"}))
    assert sum(len(others) for others in find_duplicates("default").extra.values()) == 1


def test_a_copy_does_not_come_from_where_the_job_came_from(memory: MemoryBackend) -> None:
    carried = {"by": "me", "traceparent": "00-aa"}
    copy = copy_job(look.using(metadata=carried).enqueue())
    assert copy.metadata == {"by": "me"}
    assert copy_job(look.using(metadata={"traceparent": "00-aa"}).enqueue()).metadata == {}
