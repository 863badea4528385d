"""What a task decides by what it raises, and what it declares about that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dlq import Counted, Discard, MemoryBackend, Retry, Snooze, State, UpcastFailed, task
from dlq.job import Claim, Outcome
from dlq.runtime.execution import run_job
from dlq.runtime.failures import LONGEST_REASON

ClaimOf = Callable[..., Claim]
HERE = __name__


class Rejected(Exception):
    pass


class RejectedForEver(Rejected):
    pass


DECISIONS: dict[str, Callable[[], BaseException]] = {
    "retry": Retry,
    "retry after seconds": lambda: Retry(after=90),
    "retry after a time": lambda: Retry(timedelta(minutes=2)),
    "retry at once": lambda: Retry(0),
    "snooze for seconds": lambda: Snooze(30),
    "snooze for a time": lambda: Snooze(timedelta(minutes=1)),
    "snooze until the past": lambda: Snooze(datetime(2020, 1, 1, tzinfo=UTC)),
    "snooze beyond all time": lambda: Snooze(1e15),
    "discard": lambda: Discard("The account is closed."),
    "discard without a word": Discard,
    "odd reason": lambda: Discard("\x00\ud800" + "x" * 10_000),
    "rejected": Rejected,
    "rejected for ever": lambda: RejectedForEver("closed"),
    "other": LookupError,
    "exit": lambda: SystemExit(3),
}


def decision(what: str) -> BaseException:
    return DECISIONS[what]()


@task(max_attempts=3, backoff=7)
def decide(what: str) -> None:
    raise decision(what)


@task(max_attempts=3, backoff=7)
async def decide_soon(what: str) -> None:
    await asyncio.sleep(0)
    raise decision(what)


@task
def decide_once(what: str) -> None:
    raise decision(what)


@task(max_attempts=3, backoff=7, retry_on=Rejected, discard_on=RejectedForEver)
def choosy(what: str) -> None:
    raise decision(what)


@task(
    max_attempts=3,
    backoff=7,
    retry_on=[OSError, lambda error: "exit" not in repr(error).lower()],
    discard_on=lambda error: isinstance(error, LookupError),
)
def choosy_by_functions(what: str) -> None:
    raise decision(what)


def broken(error: BaseException) -> bool:
    raise RuntimeError("broken filter")


@task(max_attempts=3, backoff=7, retry_on=broken, discard_on=broken)
def choosy_and_broken(what: str) -> None:
    raise decision(what)


@pytest.fixture
def decided(memory: MemoryBackend, claim_of: ClaimOf) -> Callable[..., Outcome]:
    def decided(declared: Any, what: str) -> Outcome:
        return run_job(claim_of(declared, what), [], memory)

    return decided


Decided = Callable[..., Outcome]

both = pytest.mark.parametrize("declared", [decide, decide_soon], ids=["function", "coroutine"])


@both
@pytest.mark.parametrize(
    ("what", "state", "delay"),
    [
        ("retry", State.SCHEDULED, 7.0),
        ("retry after seconds", State.SCHEDULED, 90.0),
        ("retry after a time", State.SCHEDULED, 120.0),
        ("retry at once", State.READY, 0.0),
    ],
)
def test_a_task_that_asks_to_be_tried_again_is_and_an_attempt_is_counted(
    decided: Decided, declared: Any, what: str, state: State, delay: float
) -> None:
    outcome = decided(declared, what)
    assert (outcome.state, outcome.counted, outcome.delay) == (state, Counted.ATTEMPT, delay)
    assert outcome.failure is not None
    assert outcome.failure.exception == "dlq.errors.Retry"


def test_asking_to_be_tried_again_gives_no_attempt_beyond_the_last(decided: Decided) -> None:
    assert decided(decide_once, "retry after seconds").state is State.FAILED


@both
@pytest.mark.parametrize(
    ("what", "delay"),
    [("snooze for seconds", 30.0), ("snooze for a time", 60.0), ("snooze until the past", 0.0)],
)
def test_a_task_that_puts_itself_off_comes_back_as_if_it_had_not_been_started(
    decided: Decided, declared: Any, what: str, delay: float
) -> None:
    outcome = decided(declared, what)
    assert (outcome.state, outcome.counted) == (State.SCHEDULED, Counted.NOTHING)
    assert (outcome.delay, outcome.failure) == (delay, None)


def test_a_task_puts_itself_off_by_the_clock_of_the_store(memory: MemoryBackend, claim_of: ClaimOf) -> None:
    claim = claim_of(decide, "until then")
    DECISIONS["until then"] = lambda: Snooze(claim.claimed_at + timedelta(hours=1))
    outcome = run_job(claim, [], memory)
    assert 3590 < outcome.delay < 3600


def test_a_naive_time_is_one_of_the_site(memory: MemoryBackend, claim_of: ClaimOf, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    claim = claim_of(decide, "until then")
    in_tokyo = (claim.claimed_at + timedelta(hours=10)).astimezone(UTC).replace(tzinfo=None)
    DECISIONS["until then"] = lambda: Snooze(in_tokyo)
    assert 3590 < run_job(claim, [], memory).delay < 3600


def test_no_clock_is_asked_for_more_than_it_can_hold(decided: Decided) -> None:
    assert decided(decide, "snooze beyond all time").delay < 1e9


@pytest.mark.parametrize("what", ["tomorrow", True, float("nan"), float("inf"), -1])
@pytest.mark.parametrize("kind", [Snooze, Retry])
def test_a_decision_for_no_time_is_an_error_in_the_task(kind: Any, what: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"\(.*=\.\.\.\) takes"):
        kind(what)


@both
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("discard", "The account is closed."),
        ("discard without a word", "The task has discarded the job."),
    ],
)
def test_a_discarded_job_is_cancelled_for_the_reason_given(
    decided: Decided, declared: Any, what: str, reason: str
) -> None:
    outcome = decided(declared, what)
    assert (outcome.state, outcome.reason) == (State.CANCELLED, reason)
    assert (outcome.counted, outcome.failure) == (Counted.NOTHING, None)


def test_a_reason_is_one_that_every_store_can_keep(decided: Decided) -> None:
    reason = decided(decide, "odd reason").reason
    assert reason is not None
    assert reason.startswith("\\x00\\ud800xxx")
    assert len(reason) <= LONGEST_REASON + 20


# --- retry_on and discard_on ---


@pytest.mark.parametrize(
    ("what", "state"),
    [
        ("rejected", State.SCHEDULED),
        ("rejected for ever", State.CANCELLED),
        ("other", State.FAILED),
        ("exit", State.FAILED),
        ("retry", State.SCHEDULED),
    ],
)
def test_classes_say_what_is_worth_another_attempt(decided: Decided, what: str, state: State) -> None:
    assert decided(choosy, what).state is state


@pytest.mark.parametrize(
    ("what", "state"),
    [("rejected", State.SCHEDULED), ("other", State.CANCELLED), ("exit", State.FAILED)],
)
def test_functions_say_what_is_worth_another_attempt(decided: Decided, what: str, state: State) -> None:
    assert decided(choosy_by_functions, what).state is state


def test_what_a_job_was_discarded_for_is_in_its_history(decided: Decided) -> None:
    outcome = decided(choosy, "rejected for ever")
    assert outcome.reason == "RejectedForEver('closed')"
    assert outcome.failure is not None
    assert outcome.failure.exception == f"{HERE}.RejectedForEver"


def test_a_broken_filter_turns_no_retry_into_a_loss(
    decided: Decided, caplog: pytest.LogCaptureFixture
) -> None:
    assert decided(choosy_and_broken, "rejected").state is State.SCHEDULED
    assert [r.getMessage().partition(" of ")[0] for r in caplog.records if r.exc_info] == [
        "A function in discard_on",
        "A function in retry_on",
    ]


# --- Versions ---


def brought_up_to_date(version: int, args: list[Any], kwargs: dict[str, Any]) -> Any:
    match args:
        case ["raise"]:
            raise KeyError("currency")
        case ["nonsense", nonsense]:
            return nonsense
    return [*args, f"from {version}"], {**kwargs, "currency": "EUR"}


@task(version=3, upcast=brought_up_to_date)
def pay(*args: Any, currency: str = "") -> list[Any]:
    return [*args, currency]


@pytest.fixture
def paid(memory: MemoryBackend, claim_of: ClaimOf) -> Callable[..., Outcome]:
    def paid(payload: str, overrides: str | None) -> Outcome:
        return run_job(replace(claim_of(pay), payload=payload, overrides=overrides), [], memory)

    return paid


Paid = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("overrides", "result"),
    [
        (None, '[1,"from 1","EUR"]'),
        ('{"timeout":30}', '[1,"from 1","EUR"]'),
        ('{"version":2}', '[1,"from 2","EUR"]'),
        ('{"version":3}', '[1,""]'),
    ],
)
def test_older_arguments_are_brought_up_to_date_when_the_job_runs(
    paid: Paid, overrides: str | None, result: str
) -> None:
    assert paid("[[1],{}]", overrides).result == result


def test_a_new_job_has_the_version_of_its_task(paid: Paid, claim_of: ClaimOf, memory: MemoryBackend) -> None:
    claim = claim_of(pay, 5)
    assert claim.overrides == '{"version": 3}'
    assert run_job(claim, [], memory).result == '[5,""]'


def test_arguments_of_a_newer_version_wait_for_a_worker_that_knows_it(paid: Paid) -> None:
    outcome = paid("[[1],{}]", '{"version":4}')
    assert (outcome.state, outcome.version, outcome.counted) == (State.BLOCKED, 4, Counted.NOTHING)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ('[["raise"],{}]', "its upcast raised KeyError('currency')"),
        ('[["nonsense",null],{}]', "its upcast returned None"),
        ('[["nonsense",["ab",{}]],{}]', "its upcast returned ['ab', {}]"),
        ('[["nonsense",[[]]],{}]', "its upcast returned [[]]"),
    ],
)
def test_a_job_whose_arguments_cannot_be_brought_up_to_date_fails_and_says_why(
    paid: Paid, payload: str, said: str
) -> None:
    outcome = paid(payload, None)
    assert outcome.state is State.FAILED
    assert outcome.failure is not None
    assert outcome.failure.exception == f"{UpcastFailed.__module__}.UpcastFailed"
    assert said in outcome.failure.traceback
