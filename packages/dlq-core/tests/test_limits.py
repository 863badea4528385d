from __future__ import annotations

from typing import Any

import pytest

from dlq import Concurrency, EnqueueError, InvalidOption, KeyRefused, State, task
from dlq.backend import queue_backend
from dlq.ids import new_job_id
from dlq.limits import (
    Contender,
    Limits,
    Policy,
    Slot,
    decide,
    limits_from_json,
    limits_to_json,
    line_of,
    policy_of,
)

pytestmark = pytest.mark.usefixtures("memory")

# --- Options ---


@task(concurrency={"key": "account:{account_id}", "limit": 2})
def charge(account_id: int, amount: int = 0, **others: Any) -> None: ...


def _by_owner(order: dict[str, Any], note: str = "") -> str:
    return f"owner:{order['owner']}"


@task(concurrency=Concurrency(key=_by_owner, limit=1, policy="discard"))
def ship(order: dict[str, Any], note: str = "") -> None: ...


@task(takes_context=True, concurrency=Concurrency(key="{order[owner]}/{note}", limit=1))
def pack(context: Any, order: dict[str, Any], note: str = "none") -> None: ...


def _limits(called: Any, *args: Any, **kwargs: Any) -> Limits | None:
    return queue_backend().new_job(called, args, kwargs).limits


def _slot(key: str, limit: int, policy: Policy = Policy.BLOCK) -> Limits:
    return Limits(slot=Slot(key=key, limit=limit, policy=policy))


def test_a_mapping_is_short_for_the_option() -> None:
    assert charge.concurrency == Concurrency(key="account:{account_id}", limit=2, policy="block")


def test_a_template_is_filled_with_the_arguments_however_they_are_given() -> None:
    assert _limits(charge, 7) == _limits(charge, account_id=7) == _slot("account:7", 2)
    assert _limits(pack, {"owner": "ann"}) == _slot("ann/none", 1)


def test_a_template_may_name_what_only_the_keyword_arguments_have() -> None:
    region = charge.using(concurrency=Concurrency(key="{region}", limit=1))
    assert _limits(region, 7, region="eu") == _slot("eu", 1)


def test_a_function_gets_the_arguments_of_the_call() -> None:
    assert _limits(ship, {"owner": "ann"}, note="x") == _slot("owner:ann", 1, Policy.DISCARD)


def test_a_call_may_have_a_limit_of_its_own() -> None:
    assert _limits(charge.using(concurrency={"key": "all", "limit": 9}), 7) == _slot("all", 9)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"key": "a"}, "must have a key and a limit"),
        ({"limit": 1}, "must have a key and a limit"),
        ({"key": "a", "limit": 1, "duration": 5}, "must have a key and a limit"),
        ({"key": "a", "limit": 0}, "limit=0"),
        ({"key": "a", "limit": -1}, "limit=-1"),
        ({"key": "a", "limit": True}, "limit=True"),
        ({"key": "a", "limit": 1.5}, "limit=1.5"),
        ({"key": "a", "limit": 40_000}, "limit=40000"),
        ({"key": "a", "limit": 1, "policy": "wait"}, "policy='wait'"),
        ({"key": "", "limit": 1}, "key=''"),
        ({"key": 7, "limit": 1}, "key=7"),
        ({"key": "{account", "limit": 1}, "is no template"),
        ({"key": "a {} {}", "limit": 1}, "names ''"),
        ("a", "concurrency='a'"),
    ],
)
def test_an_option_that_cannot_work_is_refused_where_it_is_declared(wrong: Any, what: str) -> None:
    with pytest.raises(InvalidOption, match=what):
        ship.using(concurrency=wrong)


def test_a_template_that_names_no_argument_is_refused_where_it_is_declared() -> None:
    with pytest.raises(InvalidOption, match="names 'context', and the task takes note, order"):
        pack.using(concurrency={"key": "{context}", "limit": 1})


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("{order[buyer]}", "KeyError: 'buyer'"),
        ("{order.owner}", "AttributeError"),
        ("{order[owner]:d}", "ValueError"),
        ("{note}", "came to ''"),
        ("{order[long]}", "256 characters"),
        ("{order[nul]}", "no store holds"),
        ("{order[half]}", "no store holds"),
        (lambda order, note="": None, "came to None"),
        (lambda order, note="": 1 / 0, "ZeroDivisionError"),
        (lambda: "a", "TypeError"),
    ],
)
def test_a_key_that_cannot_be_made_is_refused_at_enqueue(key: Any, what: str) -> None:
    called = ship.using(concurrency=Concurrency(key=key, limit=1))
    order = {"owner": "ann", "long": "x" * 256, "nul": "a\0", "half": "\ud800"}
    with pytest.raises(KeyRefused, match=what) as refused:
        called.enqueue(order)
    assert isinstance(refused.value, EnqueueError)
    assert queue_backend().inspector.counts() == []


def test_limits_survive_as_text() -> None:
    assert limits_from_json(limits_to_json(_slot("ä{", 3, Policy.DISCARD))) == _slot("ä{", 3, Policy.DISCARD)
    assert limits_from_json(limits_to_json(None)) is None


def test_a_blocked_result_is_ready_for_django() -> None:
    first, second = charge(7), charge(7)
    third = charge(7)
    assert third.state is State.BLOCKED
    third.refresh()
    assert (third.state, third.status) == (State.BLOCKED, State.READY.status)
    second.refresh()
    assert second.state is State.READY
    assert first.id != second.id


# --- Lines ---


@pytest.mark.parametrize("policy", Policy)
def test_a_line_tells_its_policy(policy: Policy) -> None:
    assert policy_of(line_of("default", "mail", _slot("a", 1, policy))) is policy


def test_lines_differ_by_backend_queue_key_and_policy() -> None:
    places = [
        ("a", "q", "k"),
        ("b", "q", "k"),
        ("a", "r", "k"),
        ("a", "q", "l"),
        ("a q", "", "k"),
        ("a", "q k", ""),
    ]
    lines = {line_of(backend, queue, _slot(key, 1)) for backend, queue, key in places}
    assert len(lines | {line_of("a", "q", _slot("k", 1, Policy.DISCARD))}) == 7


# --- Decisions ---


def _contender(seq: int, **changes: Any) -> Contender:
    plain = {"state": State.BLOCKED, "policy": Policy.BLOCK, "priority": 0, "begun": False}
    return Contender(id=new_job_id(), seq=seq, **(plain | changes))


def test_slots_go_by_priority_and_then_by_age() -> None:
    old, new, high = _contender(1), _contender(2), _contender(3, priority=1)
    assert decide(3, 1, [new, old, high]).admitted == [high.id, old.id]


def test_nothing_is_decided_where_no_slot_is_free() -> None:
    assert not decide(1, 1, [_contender(1)])
    assert not decide(1, 4, [_contender(1)])


def test_the_oldest_give_way_and_whoever_runs_keeps_its_slot_until_it_has_ended() -> None:
    running, ready = _contender(1, state=State.RUNNING), _contender(2, state=State.READY)
    older, newer = (_contender(seq, policy=Policy.CANCEL_RUNNING) for seq in (3, 4))
    decision = decide(2, 2, [newer, older], [ready, running])
    assert (decision.asked, decision.superseded, decision.admitted) == ([running.id], [ready.id], [older.id])


def test_a_job_that_waits_for_a_key_with_other_policies_has_nobody_give_way() -> None:
    running, waiting = _contender(1, state=State.RUNNING), _contender(2)
    assert not decide(1, 1, [waiting], [running])
