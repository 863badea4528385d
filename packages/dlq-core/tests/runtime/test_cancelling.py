"""Jobs that somebody wants to end: those that wait in a worker, and those that run."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.tasks.signals import task_finished

from dlq import Counted, MemoryBackend, State, task
from dlq.context import JobContext, current_context
from dlq.errors import JobCancelled
from dlq.job import Claim, Outcome
from dlq.runtime.execution import Execution
from dlq.runtime.page import Started
from dlq.runtime.workload import Assignment

from .rig import KILL_AFTER, KINDS, NEVER, SOON, Rig

ClaimOf = Callable[..., Claim]
every_kind = pytest.mark.parametrize("kind", KINDS)


class Bench:
    """What the jobs of one test share with it."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.go_on = threading.Event()
        self.seen: list[Any] = []


BENCH = Bench()


def work() -> None:
    BENCH.started.set()
    while True:
        threading.Event().wait(SOON / 4)


async def work_soon() -> None:
    BENCH.started.set()
    await asyncio.sleep(NEVER)


@task(max_attempts=9)
def go_on_for_ever() -> None:
    work()


@task(max_attempts=9)
async def go_on_for_ever_soon() -> None:
    await work_soon()


@task
def catch_it_and_return() -> str:
    try:
        work()
    except JobCancelled as error:
        return f"tidied: {error}"
    return "not reached"


@task
async def catch_it_and_return_soon() -> str:
    try:
        await work_soon()
    except asyncio.CancelledError:
        return "tidied"
    return "not reached"


@task(max_attempts=9)
def catch_it_and_fail() -> None:
    try:
        work()
    except JobCancelled:
        raise LookupError("no such address") from None


@task(max_attempts=9)
async def catch_it_and_fail_soon() -> None:
    try:
        await work_soon()
    finally:
        raise LookupError("no such address")


@task(takes_context=True)
def ask_whether_to_stop(context: JobContext[..., Any]) -> bool:
    BENCH.started.set()
    before = context.should_stop
    try:
        BENCH.go_on.wait(NEVER)
        while not context.should_stop:
            pass
    except JobCancelled:
        pass
    return [before, context.should_stop] == [False, True]


@task(max_attempts=9)
def cancel_oneself() -> None:
    raise JobCancelled("the customer has gone")


@task(timeout=SOON, max_attempts=9)
def overrun() -> None:
    work()


@task
def add(first: int, second: int) -> int:
    return sum(range(first, first + second, second))


@task
async def add_soon(first: int, second: int) -> int:
    for _ in range(3):
        await asyncio.sleep(0)
    return first


@pytest.fixture
def rig(memory: MemoryBackend, claim_of: ClaimOf) -> Callable[..., Rig]:
    BENCH.__init__()  # type: ignore[misc]
    return lambda kind, **changes: Rig(kind, memory, claim_of, **changes)


def cancelled(rig: Rig, declared: Any, *after: Any, reason: str = "not needed") -> list[Outcome]:
    """The outcome of a job that is cancelled once it runs, and those of the jobs after it."""
    first, *others = rig.claims(declared, *after)

    def cancel() -> None:
        assert BENCH.started.wait(NEVER)
        rig.executor.cancel(first.id, first.token, reason)
        # It is told again and again, until the job has ended.
        rig.executor.cancel(first.id, first.token, "told again")
        BENCH.go_on.set()

    return rig.run_claims(first, *others, meanwhile=cancel)


# --- Jobs that run ---


@every_kind
@pytest.mark.parametrize("declared", [go_on_for_ever, go_on_for_ever_soon], ids=["function", "coroutine"])
def test_a_running_job_ends_as_cancelled_and_is_never_tried_again(rig: Any, kind: str, declared: Any) -> None:
    outcome, *rest = cancelled(rig(kind), declared, (add, 1, 2), (add_soon, 3, 4))
    assert (outcome.state, outcome.counted, outcome.reason) == (
        State.CANCELLED,
        Counted.NOTHING,
        "not needed",
    )
    assert outcome.failure is None
    assert [json.loads(other.result) for other in rest] == [1, 3]


@every_kind
@pytest.mark.parametrize(
    ("declared", "value"),
    # In a thread the exception comes without words.
    [(catch_it_and_return, "tidied: "), (catch_it_and_return_soon, "tidied")],
    ids=["function", "coroutine"],
)
def test_a_task_that_returns_has_succeeded_whatever_was_asked_of_it(
    rig: Any, kind: str, declared: Any, value: str
) -> None:
    (outcome,) = cancelled(rig(kind), declared)
    assert outcome.state is State.SUCCEEDED
    assert json.loads(outcome.result).startswith(value)


@every_kind
@pytest.mark.parametrize(
    "declared", [catch_it_and_fail, catch_it_and_fail_soon], ids=["function", "coroutine"]
)
def test_a_job_that_was_to_be_cancelled_is_not_tried_again_for_what_it_raises(
    rig: Any, kind: str, declared: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (outcome,) = cancelled(rig(kind), declared)
    assert (outcome.state, outcome.reason) == (State.CANCELLED, "not needed")
    assert "was cancelled (not needed) and raised LookupError('no such address')" in caplog.text


@every_kind
def test_a_task_may_ask_whether_it_is_to_be_cancelled(rig: Any, kind: str) -> None:
    (outcome,) = cancelled(rig(kind), ask_whether_to_stop)
    assert outcome.result == "true"


@every_kind
def test_a_task_may_ask_whether_its_worker_stops(rig: Any, kind: str) -> None:
    made = rig(kind)

    def stop() -> None:
        assert BENCH.started.wait(NEVER)
        made.workload.is_stopping = True
        BENCH.go_on.set()

    (outcome,) = made.run(ask_whether_to_stop, meanwhile=stop)
    assert outcome.result == "true"


@every_kind
def test_a_task_may_cancel_its_own_job(rig: Any, kind: str) -> None:
    (outcome,) = rig(kind).run(cancel_oneself)
    assert (outcome.state, outcome.reason) == (State.CANCELLED, "the customer has gone")


@every_kind
@pytest.mark.parametrize("declared", [go_on_for_ever, go_on_for_ever_soon], ids=["function", "coroutine"])
def test_the_parent_learns_when_to_kill_a_job_that_will_not_end(
    rig: Any, kind: str, declared: Any, clock: Any
) -> None:
    made, seen = rig(kind), []
    (claim,) = made.claims(declared)

    def cancel() -> None:
        assert BENCH.started.wait(NEVER)
        sound = made.page.limit
        made.page.limit = lambda *args: (sound(*args), seen.extend(made.page.started()))
        made.executor.cancel(claim.id, claim.token, "not needed")

    made.run_claims(claim, meanwhile=cancel)
    assert seen == [Started(claim.id, claim.token, clock.now + KILL_AFTER, "cancelled")]


@every_kind
def test_a_job_that_is_cancelled_while_it_starts_does_not_begin(
    rig: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rig(kind)
    claim, soon = made.claims(go_on_for_ever, go_on_for_ever_soon)

    def cancel_first(execution: Any) -> None:
        sound(execution)
        made.executor.cancel(execution.claim.id, execution.claim.token, "not needed")

    sound = Execution.start
    monkeypatch.setattr(Execution, "start", cancel_first)
    outcomes = made.run_claims(claim, soon)
    assert [outcome.reason for outcome in outcomes] == ["not needed"] * 2
    assert not BENCH.started.is_set()


@pytest.mark.parametrize("kind", ["process", "threads"])
def test_whoever_listens_learns_of_a_cancelled_job_as_one_that_failed(rig: Any, kind: str) -> None:
    heard: list[Any] = []

    def hear(task_result: Any, **kwargs: Any) -> None:
        heard.append((task_result.state, task_result.status, task_result.errors[-1].exception_class_path))

    task_finished.connect(hear)
    cancelled(rig(kind), go_on_for_ever)
    task_finished.disconnect(hear)
    assert heard == [(State.CANCELLED, "FAILED", "dlq.errors.JobCancelled")]


# --- Cancelling and time ---

ROUNDS = 20


@every_kind
def test_a_cancellation_and_a_timeout_at_once_harm_no_job_after_them(rig: Any, kind: str) -> None:
    """Both are aimed at the same job; whichever comes first, nothing is left for those that follow it."""
    made = rig(kind)
    claims = made.claims(*[call for _ in range(ROUNDS) for call in (overrun, (add, 1, 2), (add_soon, 3, 4))])

    def cancel_again_and_again() -> None:
        targets = claims[::3]
        for _ in range(200):
            for claim in targets:
                made.executor.ring()
                if (claim.id, claim.token) in made.executor._running:
                    made.executor.cancel(claim.id, claim.token, "not needed")
            BENCH.go_on.wait(SOON / 100)

    outcomes = made.run_claims(*claims, meanwhile=cancel_again_and_again)
    assert {outcome.state for outcome in outcomes[::3]} <= {State.CANCELLED, State.SCHEDULED}
    assert [outcome.result for outcome in outcomes[1::3]] == ["1"] * ROUNDS
    assert [outcome.result for outcome in outcomes[2::3]] == ["3"] * ROUNDS


# --- Jobs that wait ---


def test_a_claim_that_has_not_started_is_withdrawn_and_settled(rig: Any) -> None:
    made = rig("process")
    waiting, other = made.claims(go_on_for_ever, (add, 1, 2))
    made.workload.add(map(Assignment, (waiting, other)))
    made.executor.cancel(waiting.id, waiting.token, "not needed")
    ((outcome,), seconds) = made.workload.collect()
    assert (outcome.id, outcome.state, outcome.reason) == (waiting.id, State.CANCELLED, "not needed")
    assert seconds == []
    assert made.workload.take_now().claim == other


@pytest.mark.parametrize("state", ["never held", "ended", "another token"])
def test_cancelling_what_is_not_here_any_more_is_harmless(rig: Any, state: str) -> None:
    made = rig("process")
    (claim,) = made.claims((add, 1, 2))
    if state == "another token":
        made.workload.add([Assignment(claim)])
        made.executor.cancel(claim.id, claim.token + 1, "not needed")
        assert made.workload.take_now().claim == claim
    else:
        if state == "ended":
            made.run_claims(claim)
        made.executor.cancel(claim.id, claim.token, "not needed")
        assert made.workload.collect() == ([], [])


def test_outside_of_jobs_nothing_is_current_after_all_that() -> None:
    assert current_context() is None
