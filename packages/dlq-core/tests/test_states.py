import pytest
from django.tasks import TaskResultStatus

from dlq import State
from dlq.states import FINISHED, LIVE, TRANSITIONS, WAITING

NUMBERS = {
    "SCHEDULED": 1,
    "BLOCKED": 2,
    "READY": 3,
    "RUNNING": 4,
    "SUCCEEDED": 5,
    "FAILED": 6,
    "CANCELLED": 7,
}


def test_stored_numbers_never_change_their_meaning() -> None:
    assert {state.name: state.value for state in State} == NUMBERS


def test_every_state_is_either_live_or_finished() -> None:
    assert set(State) == LIVE | FINISHED
    assert not LIVE & FINISHED


def test_every_live_job_runs_or_waits() -> None:
    assert LIVE - {State.RUNNING} == WAITING


def test_the_table_says_where_every_state_may_go() -> None:
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize("state", State)
def test_no_state_becomes_itself(state: State) -> None:
    assert not state.may_become(state)


@pytest.mark.parametrize("state", sorted(set(State) - {State.READY}))
def test_only_a_ready_job_is_claimed(state: State) -> None:
    assert State.READY.may_become(State.RUNNING)
    assert not state.may_become(State.RUNNING)


@pytest.mark.parametrize("state", sorted(set(State) - {State.RUNNING}))
def test_only_a_running_job_succeeds(state: State) -> None:
    assert State.RUNNING.may_become(State.SUCCEEDED)
    assert not state.may_become(State.SUCCEEDED)


@pytest.mark.parametrize("state", sorted(LIVE))
def test_every_live_job_can_be_cancelled(state: State) -> None:
    assert state.may_become(State.CANCELLED)


@pytest.mark.parametrize("state", sorted(FINISHED - {State.SUCCEEDED}))
def test_a_job_that_did_not_succeed_can_be_retried_by_hand(state: State) -> None:
    assert state.may_become(State.READY)
    assert state.may_become(State.SCHEDULED)


def test_a_failed_job_can_be_cancelled_by_whoever_has_seen_it() -> None:
    assert State.FAILED.may_become(State.CANCELLED)
    assert State.CANCELLED not in TRANSITIONS[State.SUCCEEDED] | TRANSITIONS[State.CANCELLED]


@pytest.mark.parametrize("state", sorted(WAITING))
def test_every_job_that_waits_can_expire(state: State) -> None:
    assert state.may_become(State.FAILED)


def test_success_is_final() -> None:
    assert TRANSITIONS[State.SUCCEEDED] == frozenset()


@pytest.mark.parametrize(
    ("status", "states"),
    [
        (TaskResultStatus.READY, {State.SCHEDULED, State.BLOCKED, State.READY}),
        (TaskResultStatus.RUNNING, {State.RUNNING}),
        (TaskResultStatus.SUCCESSFUL, {State.SUCCEEDED}),
        (TaskResultStatus.FAILED, {State.FAILED, State.CANCELLED}),
    ],
)
def test_django_knows_each_state_under_one_of_its_four_names(
    status: TaskResultStatus, states: set[State]
) -> None:
    assert {state for state in State if state.status == status} == states


def test_people_read_states_in_lower_case() -> None:
    assert State.SUCCEEDED.label == "succeeded"
