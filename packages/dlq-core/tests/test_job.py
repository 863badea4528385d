import time
from dataclasses import replace
from datetime import UTC, datetime
from uuid import RFC_4122, uuid4

import pytest

from dlq import Counted, Failure, State
from dlq.ids import new_job_id
from dlq.job import Claim, Outcome
from dlq.states import TRANSITIONS
from dlq.workers import Order

CLAIM = Claim(
    id=uuid4(),
    token=4,
    task="shop.tasks.send",
    queue="email",
    payload="[[],{}]",
    priority=0,
    run_after=None,
    enqueued_at=datetime(2030, 1, 1, tzinfo=UTC),
    claimed_at=datetime(2030, 1, 2, tzinfo=UTC),
    worker="worker-1",
    attempts=0,
    interruptions=0,
    max_attempts=1,
    max_interruptions=3,
)
FAILURE = Failure(exception="builtins.ValueError", traceback="ValueError\n")


def test_ids_are_uuids_of_version_7() -> None:
    before = time.time_ns() // 1_000_000
    id = new_job_id()
    after = time.time_ns() // 1_000_000
    assert (id.version, id.variant) == (7, RFC_4122)
    assert before <= id.int >> 80 <= after


def test_ids_are_unique() -> None:
    assert len({new_job_id() for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize(
    ("outcome", "state", "counted"),
    [
        (Outcome.succeeded(CLAIM, "42", 1.5), State.SUCCEEDED, Counted.ATTEMPT),
        (Outcome.failed(CLAIM, FAILURE), State.FAILED, Counted.ATTEMPT),
        (Outcome.failed(CLAIM, FAILURE, counted=Counted.INTERRUPTION), State.FAILED, Counted.INTERRUPTION),
        (Outcome.retry(CLAIM, FAILURE, delay=5), State.SCHEDULED, Counted.ATTEMPT),
        (Outcome.retry(CLAIM, FAILURE, delay=0), State.READY, Counted.ATTEMPT),
        (Outcome.cancelled(CLAIM, "Nobody needs it."), State.CANCELLED, Counted.NOTHING),
        (Outcome.handed_back(CLAIM), State.READY, Counted.NOTHING),
        (Outcome.interrupted(CLAIM, FAILURE), State.READY, Counted.INTERRUPTION),
        (Outcome.parked(CLAIM), State.BLOCKED, Counted.NOTHING),
    ],
)
def test_an_outcome_carries_the_token_of_its_claim_and_counts_what_really_happened(
    outcome: Outcome, state: State, counted: Counted
) -> None:
    assert (outcome.id, outcome.token) == (CLAIM.id, CLAIM.token)
    assert (outcome.state, outcome.counted, outcome.keep_for) == (state, counted, None)


def test_only_a_cancelled_outcome_says_in_words_why() -> None:
    assert Outcome.cancelled(CLAIM, "Nobody needs it.", 1.5).reason == "Nobody needs it."
    assert Outcome.failed(CLAIM, FAILURE).reason is None


@pytest.mark.parametrize("state", sorted(set(State) - TRANSITIONS[State.RUNNING]))
def test_an_outcome_goes_only_where_the_table_lets_a_running_job_go(state: State) -> None:
    with pytest.raises(ValueError, match=f"A running job cannot become {state.label}"):
        Outcome(id=CLAIM.id, token=1, state=state, counted=Counted.NOTHING)


def test_a_job_is_suspect_once_a_worker_was_lost_with_it() -> None:
    assert not CLAIM.suspect
    assert replace(CLAIM, interruptions=1).suspect


def test_stored_orders_never_change_their_meaning() -> None:
    assert {order.name: order.value for order in Order} == {
        "WORK": "work",
        "QUIET": "quiet",
        "STOP": "stop",
        "PING": "ping",
    }


def test_stored_counts_never_change_their_meaning() -> None:
    assert {counted.name: counted.value for counted in Counted} == {
        "NOTHING": 0,
        "ATTEMPT": 1,
        "INTERRUPTION": 2,
    }
