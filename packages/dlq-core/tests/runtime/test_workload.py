from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dlq.job import Attempt, Claim, Counted, Failure, Outcome
from dlq.runtime.page import Gate, Page
from dlq.runtime.workload import Assignment, Workload
from dlq.testing.contract.builders import NOON

Threads = Callable[..., threading.Thread]
Claims = Callable[..., Claim]

LONG = 60.0
"""Seconds that no test waits: a wait so long must end by what happens."""


def assigned(*claims: Claim) -> list[Assignment]:
    return [Assignment(claim) for claim in claims]


def taken(workload: Workload) -> list[Claim]:
    """All that may start now."""
    found = []
    while (assignment := workload.take_now()) is not None:
        found.append(assignment.claim)
    return found


def finish(workload: Workload, claim: Claim, seconds: float = 0.001) -> Outcome:
    outcome = Outcome.succeeded(claim, "null", seconds)
    workload.done(claim, outcome, seconds)
    return outcome


def lost_with_runner(claim: Claim) -> Assignment:
    """A suspect whose runner was lost while it ran."""
    failure = Failure(exception="dlq.errors.RunnerLost", traceback="")
    attempt = Attempt(
        worker="worker-9", started_at=NOON, finished_at=NOON, counted=Counted.INTERRUPTION, failure=failure
    )
    return Assignment(claim, [attempt])


# --- What may start ---


def test_claims_start_in_the_order_in_which_they_came(plain_claim: Claims) -> None:
    workload, claims = Workload(5, Page()), [plain_claim() for _ in range(5)]
    workload.add(assigned(*claims[:2]))
    workload.add(assigned(*claims[2:]))
    assert taken(workload) == claims


def test_no_more_start_than_there_are_slots(plain_claim: Claims) -> None:
    workload, claims = Workload(2, Page()), [plain_claim() for _ in range(3)]
    workload.add(assigned(*claims))
    assert taken(workload) == claims[:2]
    finish(workload, claims[1])
    assert taken(workload) == claims[2:]


def test_an_assignment_keeps_its_history(plain_claim: Claims) -> None:
    workload, assignment = Workload(1, Page()), Assignment(plain_claim(), ("an attempt",))  # type: ignore[arg-type]
    workload.add([assignment])
    assert workload.take() is assignment


def test_a_suspect_waits_until_nothing_else_runs(plain_claim: Claims) -> None:
    workload = Workload(4, Page())
    first, suspect, third = plain_claim(), plain_claim(interruptions=1), plain_claim()
    workload.add(assigned(first, suspect, third))
    assert taken(workload) == [first]
    finish(workload, first)
    assert taken(workload) == [suspect]


def test_nothing_starts_beside_a_suspect(plain_claim: Claims) -> None:
    workload, suspect, other = Workload(4, Page()), plain_claim(interruptions=1), plain_claim()
    workload.add(assigned(suspect, other))
    assert taken(workload) == [suspect]
    finish(workload, suspect)
    assert taken(workload) == [other]


def test_suspects_run_one_after_another(plain_claim: Claims) -> None:
    workload, suspects = Workload(4, Page()), [plain_claim(interruptions=1) for _ in range(3)]
    workload.add(assigned(*suspects))
    for suspect in suspects:
        assert taken(workload) == [suspect]
        finish(workload, suspect)


def test_a_job_that_only_raised_before_is_no_suspect(plain_claim: Claims) -> None:
    workload, claims = Workload(2, Page()), [plain_claim(attempts=3), plain_claim(attempts=3)]
    workload.add(assigned(*claims))
    assert taken(workload) == claims


# --- Threads that wait for work ---


def test_a_waiting_thread_gets_the_next_claim(plain_claim: Claims, in_thread: Threads) -> None:
    workload, claim, got = Workload(1, Page()), plain_claim(), []
    thread = in_thread(lambda: got.append(workload.take()))
    workload.add(assigned(claim))
    thread.join(LONG)
    assert got == assigned(claim)


def test_as_many_waiting_threads_wake_as_there_are_claims(plain_claim: Claims, in_thread: Threads) -> None:
    workload, claims, got = Workload(3, Page()), {plain_claim().id: None for _ in range(3)}, []
    threads = [in_thread(lambda: got.append(workload.take().claim.id)) for _ in range(3)]  # type: ignore[union-attr]
    workload.add(assigned(*(plain_claim(id=id) for id in claims)))
    for thread in threads:
        thread.join(LONG)
    assert set(got) == set(claims)


def test_a_thread_waiting_for_a_slot_gets_the_one_that_becomes_free(
    plain_claim: Claims, in_thread: Threads
) -> None:
    workload, first, second, got = Workload(1, Page()), plain_claim(), plain_claim(), []
    workload.add(assigned(first, second))
    workload.take()
    thread = in_thread(lambda: got.append(workload.take()))
    finish(workload, first)
    thread.join(LONG)
    assert got == assigned(second)


def test_closing_ends_every_waiting_thread(in_thread: Threads) -> None:
    workload, got = Workload(2, Page()), []
    threads = [in_thread(lambda: got.append(workload.take())) for _ in range(2)]
    workload.close()
    for thread in threads:
        thread.join(LONG)
    assert got == [None, None]
    assert workload.closed


def test_executors_that_must_not_block_hear_of_what_may_start(plain_claim: Claims) -> None:
    workload, heard = Workload(1, Page()), []
    workload.on_startable = lambda: heard.append(workload.counts())
    claims = [plain_claim(), plain_claim()]
    workload.add(assigned(*claims))
    workload.take_now()
    finish(workload, claims[0])
    workload.take_now()
    finish(workload, claims[1])
    workload.close()
    assert heard == [(2, 0, 0), (1, 0, 1), (0, 0, 2)]


# --- What the worker answers for ---


def test_everything_not_settled_is_held(plain_claim: Claims) -> None:
    workload = Workload(2, Page())
    waiting, running, finished = plain_claim(token=3), plain_claim(token=4), plain_claim(token=5)
    workload.add(assigned(finished, running, waiting))
    taken(workload)
    finish(workload, finished)
    assert workload.held() == {(claim.id, claim.token) for claim in (waiting, running, finished)}


def test_what_the_store_did_not_take_is_held_and_comes_first_again(plain_claim: Claims) -> None:
    workload, claims = Workload(2, Page()), [plain_claim(), plain_claim()]
    workload.add(assigned(*claims))
    taken(workload)
    first = finish(workload, claims[0])
    refused, _ = workload.collect()
    second = finish(workload, claims[1])
    workload.restore(refused)
    assert workload.held() == {(claim.id, claim.token) for claim in claims}
    assert workload.collect()[0] == [first, second]


def test_what_was_collected_is_not_held_any_more(plain_claim: Claims) -> None:
    workload, claim = Workload(1, Page()), plain_claim()
    workload.add(assigned(claim))
    taken(workload)
    outcome = finish(workload, claim, seconds=0.25)
    assert workload.collect() == ([outcome], [0.25])
    assert workload.collect() == ([], [])
    assert workload.held() == set()


def test_claims_of_some_queues_can_be_withdrawn_alone(plain_claim: Claims) -> None:
    workload, claims = Workload(1, Page()), [plain_claim(queue=queue) for queue in "abcab"]
    workload.add(assigned(*claims))
    assert workload.withdraw({"b", "c", "d"}) == [claims[1], claims[2], claims[4]]
    assert workload.withdraw(()) == []
    assert workload.withdraw() == [claims[0], claims[3]]


def test_a_claim_that_waits_can_be_cancelled(plain_claim: Claims) -> None:
    workload, claims = Workload(1, Page()), [plain_claim() for _ in range(3)]
    workload.add(assigned(*claims))
    running = workload.take()
    assert running is not None
    assert not workload.cancel(running.claim.id, running.claim.token, "not needed")
    assert not workload.cancel(claims[1].id, claims[1].token + 1, "not needed")
    assert workload.cancel(claims[1].id, claims[1].token, "not needed")
    assert not workload.cancel(claims[1].id, claims[1].token, "not needed")
    assert workload.collect() == ([Outcome.cancelled(claims[1], "not needed")], [])
    assert workload.withdraw() == claims[2:]


def test_only_claims_that_have_not_started_can_be_withdrawn(plain_claim: Claims) -> None:
    workload, claims = Workload(1, Page()), [plain_claim() for _ in range(3)]
    workload.add(assigned(*claims))
    taken(workload)
    assert workload.withdraw() == claims[1:]
    assert workload.withdraw() == []
    assert workload.counts() == (0, 1, 0)
    assert workload.held() == {(claims[0].id, claims[0].token)}


def test_one_job_may_run_under_two_tokens(plain_claim: Claims) -> None:
    """It was taken from this worker while it ran, and given to it again."""
    workload, first = Workload(2, Page()), plain_claim(token=1)
    second = plain_claim(id=first.id, token=2)
    workload.add(assigned(first, second))
    assert taken(workload) == [first, second]
    assert workload.counts() == (0, 2, 0)
    assert workload.held() == {(first.id, 1), (first.id, 2)}
    outcomes = [finish(workload, first), finish(workload, second)]
    assert workload.collect()[0] == outcomes


# --- Being held up ---


def test_claims_are_stuck_when_none_has_started_for_a_while(plain_claim: Claims, clock: Any) -> None:
    workload = Workload(1, Page())
    workload.add(assigned(plain_claim(), plain_claim()))
    workload.take()
    clock.advance(0.5)
    assert not workload.is_stuck(0.5)
    clock.advance(0.001)
    assert workload.is_stuck(0.5)


def test_a_claim_that_has_just_come_is_not_stuck(plain_claim: Claims, clock: Any) -> None:
    workload = Workload(1, Page())
    clock.advance(3600)
    workload.add(assigned(plain_claim()))
    assert not workload.is_stuck(0.1)
    clock.advance(0.2)
    assert workload.is_stuck(0.1)


def test_without_a_waiting_claim_nothing_is_stuck(plain_claim: Claims, clock: Any) -> None:
    workload = Workload(1, Page())
    assert not workload.is_stuck(0.1)
    workload.add(assigned(plain_claim()))
    workload.take()
    clock.advance(3600)
    assert not workload.is_stuck(0.1)


# --- The control thread's wait ---


def waits_no_longer(workload: Workload, in_thread: Threads) -> None:
    thread = in_thread(workload.wait, LONG)
    thread.join(LONG / 10)
    assert not thread.is_alive()


def test_a_wake_up_ends_the_next_wait(in_thread: Threads) -> None:
    workload = Workload(1, Page())
    workload.wake()
    waits_no_longer(workload, in_thread)


def test_a_wake_up_ends_one_wait_only() -> None:
    workload, ended = Workload(1, Page()), []
    workload.wake()
    workload.wait(LONG)
    workload._reportable.wait = ended.append  # type: ignore[method-assign]
    workload.wait(0.25)
    assert ended == [0.25]


def waits(workload: Workload) -> bool:
    """Whether the control thread would wait now."""
    asked: list[float | None] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workload._reportable, "wait", asked.append)
        workload.wait(LONG)
    return asked == [LONG]


def test_the_control_thread_is_woken_when_claims_run_low(plain_claim: Claims) -> None:
    workload, claims = Workload(1, Page()), [plain_claim() for _ in range(4)]
    workload.low, workload.enough = 1, 100
    workload.add(assigned(*claims))
    waited = []
    for _ in claims:
        finish(workload, taken(workload)[0])
        waited.append(waits(workload))
    assert waited == [True, True, False, False]


def test_the_control_thread_is_woken_when_enough_outcomes_wait(plain_claim: Claims) -> None:
    workload, claims = Workload(1, Page()), [plain_claim() for _ in range(4)]
    workload.low, workload.enough = -1, 2
    workload.add(assigned(*claims))
    waited = []
    for _ in claims[:3]:
        finish(workload, taken(workload)[0])
        waited.append(waits(workload))
    assert waited == [True, False, False]


def test_what_ends_while_claims_are_fetched_waits_for_more(plain_claim: Claims) -> None:
    workload = Workload(1, Page())
    workload.low, workload.enough = 1, 100
    workload.add(assigned(plain_claim(), plain_claim()))
    finish(workload, taken(workload)[0])
    workload.add(assigned(plain_claim(), plain_claim()))
    assert waits(workload)


def test_what_ends_while_no_claims_are_found_is_reported_at_once(plain_claim: Claims) -> None:
    workload = Workload(1, Page())
    workload.add(assigned(plain_claim()))
    finish(workload, taken(workload)[0])
    workload.add([])
    assert not waits(workload)


def test_a_signal_handler_may_wake_on_the_thread_that_holds_the_lock(in_thread: Threads) -> None:
    workload = Workload(1, Page())
    before = signal.signal(signal.SIGUSR1, lambda *_: workload.wake())
    try:
        with workload._lock:
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    waits_no_longer(workload, in_thread)


def test_an_outcome_ends_a_wait(plain_claim: Claims, in_thread: Threads) -> None:
    workload, claim = Workload(1, Page()), plain_claim()
    workload.add(assigned(claim))
    workload.take()
    waiting = threading.Event()
    wait = workload._reportable.wait
    workload._reportable.wait = lambda timeout: waiting.set() or wait(timeout)  # type: ignore[method-assign, func-returns-value]
    thread = in_thread(workload.wait, LONG)
    assert waiting.wait(LONG)
    finish(workload, claim)
    thread.join(LONG / 10)
    assert not thread.is_alive()


def test_an_outcome_that_came_just_before_the_wait_is_not_overslept(
    plain_claim: Claims, in_thread: Threads
) -> None:
    workload, claim = Workload(1, Page()), plain_claim()
    workload.add(assigned(claim))
    workload.take()
    workload.collect()
    finish(workload, claim)
    waits_no_longer(workload, in_thread)


@pytest.mark.parametrize(
    ("enough", "low", "wakes"),
    [
        (1, 0, [True, True, True]),
        (2, 0, [False, True, True]),
        (9, 1, [False, True, True]),
        (9, 0, [False, False, True]),
    ],
)
def test_few_outcomes_wait_for_more_while_claims_wait(
    plain_claim: Claims, enough: int, low: int, wakes: list[bool]
) -> None:
    """Each outcome leaves a claim less behind it: 2, 1 and then none."""
    workload, claims = Workload(1, Page()), [plain_claim() for _ in range(3)]
    workload.enough, workload.low = enough, low
    workload.add(assigned(*claims))
    notified: list[bool] = []
    workload._reportable.notify = lambda: notified.append(True)  # type: ignore[method-assign]
    seen = []
    for claim in claims:
        workload.take_now()
        finish(workload, claim)
        seen.append(bool(notified))
        notified.clear()
    assert seen == wakes


# --- Alone in the runner ---


def test_a_suspect_of_a_lost_runner_waits_until_it_may_run_alone_and_lets_others_pass(
    plain_claim: Claims,
) -> None:
    page = Page(4)
    workload, suspect, other = Workload(4, page), plain_claim(interruptions=1), plain_claim()
    workload.add([lost_with_runner(suspect), *assigned(other)])
    assert page.asks
    assert taken(workload) == [other]
    page.gate = Gate.GRANTED
    assert taken(workload) == []  # The other one runs yet.
    finish(workload, other)
    assert taken(workload) == [suspect]
    workload.add(assigned(plain_claim()))
    assert taken(workload) == []
    assert page.asks
    finish(workload, suspect)
    assert not page.asks


def test_a_worker_asks_once_for_all_that_must_run_alone(plain_claim: Claims) -> None:
    page, suspects = Page(2), [plain_claim(interruptions=1) for _ in range(2)]
    workload = Workload(2, page)
    workload.add(map(lost_with_runner, suspects))
    page.gate = Gate.GRANTED
    for suspect in suspects:
        assert page.asks
        assert taken(workload) == [suspect]
        finish(workload, suspect)
    assert not page.asks


def test_a_suspect_that_last_lost_its_worker_alone_needs_no_runner(plain_claim: Claims) -> None:
    assignment = lost_with_runner(plain_claim(interruptions=2))
    later = Failure(exception="dlq.errors.WorkerLost", traceback="")
    history = [*assignment.history, replace(assignment.history[0], failure=later)]
    assert assignment.wants_runner
    assert not Assignment(assignment.claim, history).wants_runner


def test_a_worker_that_is_held_starts_nothing_and_is_quiet_once_nothing_runs(plain_claim: Claims) -> None:
    page = Page(2)
    workload, claims = Workload(2, page), [plain_claim() for _ in range(2)]
    workload.add(assigned(claims[0]))
    assert taken(workload) == claims[:1]
    page.gate = Gate.HELD
    workload.add(assigned(claims[1]))
    assert taken(workload) == []
    assert (workload.heed_gate(), page.is_quiet) == (Gate.HELD, False)
    finish(workload, claims[0])
    assert (workload.heed_gate(), page.is_quiet) == (Gate.HELD, True)
    assert taken(workload) == []
    page.gate = Gate.OPEN
    assert taken(workload) == claims[1:]


def test_an_idle_thread_is_woken_when_the_gate_opens(plain_claim: Claims, in_thread: Threads) -> None:
    page, suspect, got = Page(1), plain_claim(interruptions=1), []
    workload = Workload(1, page)
    workload.add([lost_with_runner(suspect)])
    thread = in_thread(lambda: got.append(workload.take()))
    page.gate = Gate.GRANTED
    workload.heed_gate()
    thread.join(LONG)
    assert [assignment and assignment.claim for assignment in got] == [suspect]


def test_what_waits_to_be_alone_is_held_counted_withdrawn_and_cancelled_like_the_rest(
    plain_claim: Claims,
) -> None:
    page, (one, two) = Page(1), [plain_claim(interruptions=1) for _ in range(2)]
    workload = Workload(1, page)
    workload.add(map(lost_with_runner, [one, two]))
    assert workload.held() == {(one.id, one.token), (two.id, two.token)}
    assert (workload.counts(), workload.uncounted()) == ((2, 0, 0), 2)
    assert workload.withdraw() == []
    assert workload.cancel(one.id, one.token, "not wanted")
    assert workload.withdraw_secluded() == [two]
    assert not page.asks
