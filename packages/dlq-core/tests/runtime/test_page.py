from __future__ import annotations

import mmap
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from dlq.job import Claim
from dlq.runtime.page import ENDED_KEPT, NEVER, Gate, Page, Started

forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
"""Other tests may have left threads of libraries behind, which a child of these tests never needs."""


def listed(page: Page) -> list[Started]:
    return sorted(page.started(), key=lambda started: started.token)


def test_a_page_lists_nothing_at_first() -> None:
    assert Page(3).started() == []
    assert Page().started() == []


def test_a_job_is_listed_from_its_start_to_its_end(plain_claim: Callable[..., Claim]) -> None:
    page, claim = Page(1), plain_claim(token=2**60)
    slot = page.start(claim)
    assert page.started() == [Started(claim.id, 2**60, NEVER)]
    page.finish(slot)
    assert page.started() == []


def test_a_job_that_has_ended_is_known_until_the_store_knows_it_too(
    plain_claim: Callable[..., Claim],
) -> None:
    page, claims = Page(2), [plain_claim(token=token) for token in (1, 2)]
    for slot in [page.start(claim) for claim in claims]:
        page.finish(slot)
    keys = [(claim.id, claim.token) for claim in claims]
    assert (page.started(), sorted(page.ended())) == ([], sorted(keys))
    page.settle([keys[1], (claims[0].id, 77), keys[1]])
    assert page.ended() == [keys[0]]


def test_of_many_that_have_ended_the_last_are_known(plain_claim: Callable[..., Claim]) -> None:
    page, claims = Page(2), [plain_claim(token=token) for token in range(100)]
    for claim in claims:
        page.finish(page.start(claim))
    slots = [page.start(plain_claim(token=200)), page.start(plain_claim(token=201))]
    known = [token for _, token in page.ended()]
    assert sorted(known) == list(range(100 - len(known), 100))
    assert len(known) >= ENDED_KEPT
    assert len(set(slots)) == 2


def test_as_many_jobs_fit_as_there_are_slots(plain_claim: Callable[..., Claim]) -> None:
    page, claims = Page(8), [plain_claim(token=number) for number in range(8)]
    slots = [page.start(claim) for claim in claims]
    assert [(job.id, job.token) for job in listed(page)] == [(claim.id, claim.token) for claim in claims]
    assert len(set(slots)) == 8


def test_a_slot_is_used_again_without_the_limit_of_the_job_before(plain_claim: Callable[..., Claim]) -> None:
    page = Page(1)
    slot = page.start(plain_claim())
    page.limit(slot, 12.5)
    page.finish(slot)
    later = plain_claim(token=2)
    page.start(later)
    assert page.started() == [Started(later.id, 2, NEVER)]


def test_a_limit_is_told_for_its_job_alone(plain_claim: Callable[..., Claim]) -> None:
    page = Page(3)
    slots = [page.start(plain_claim(token=token)) for token in (1, 2, 3)]
    page.limit(slots[1], 12.5)
    assert [job.kill_at for job in listed(page)] == [NEVER, 12.5, NEVER]


def test_the_earlier_of_two_limits_holds_with_its_reason(plain_claim: Callable[..., Claim]) -> None:
    page, claims = Page(2), [plain_claim(token=token) for token in (1, 2)]
    overdue, cancelled = (page.start(claim) for claim in claims)
    page.limit(overdue, 12.5)
    page.limit(overdue, 20.0, "cancelled")
    page.limit(cancelled, 12.5)
    page.limit(cancelled, 10.0, "cancelled")
    page.limit(cancelled, 11.0)
    assert [(job.kill_at, job.why) for job in listed(page)] == [(12.5, "time"), (10.0, "cancelled")]


def test_a_job_is_expendable_from_when_it_says_so_to_its_end(plain_claim: Callable[..., Claim]) -> None:
    page, claims = Page(2), [plain_claim(token=token) for token in (1, 2)]
    slots = [page.start(claim) for claim in claims]
    page.give_up_on_stop(slots[1])
    assert [job.expendable for job in listed(page)] == [False, True]
    page.limit(slots[1], 12.5, "cancelled")
    page.finish(slots[1])
    page.start(plain_claim(token=3))
    assert [(job.token, job.expendable, job.why) for job in listed(page)] == [
        (1, False, "time"),
        (3, False, "time"),
    ]


def test_jobs_may_finish_in_any_order(plain_claim: Callable[..., Claim]) -> None:
    page = Page(3)
    slots = [page.start(plain_claim(token=token)) for token in (1, 2, 3)]
    page.finish(slots[1])
    assert [job.token for job in listed(page)] == [1, 3]
    page.start(plain_claim(token=4))
    assert [job.token for job in listed(page)] == [1, 3, 4]


@pytest.mark.parametrize("fatal", [slice, int], ids=["in the rest", "in the first byte"])
def test_a_job_is_not_listed_before_all_of_it_is_written(
    plain_claim: Callable[..., Claim], fatal: type
) -> None:
    class Dies(mmap.mmap):
        def __setitem__(self, key: Any, value: Any) -> None:
            if isinstance(key, fatal):
                raise KeyboardInterrupt
            super().__setitem__(key, value)

    page = Page(1)
    page._memory = Dies(-1, len(page._memory))
    with pytest.raises(KeyboardInterrupt):
        page.start(plain_claim())
    assert page.started() == []


def test_silence_is_counted_from_the_last_sign_of_life(clock: Any) -> None:
    page = Page()
    page.touch()
    assert page.silence() == 0.0
    clock.advance(12.5)
    assert page.silence() == 12.5
    page.touch()
    assert page.silence() == 0.0


def test_a_page_that_was_never_touched_is_silent_for_ever(clock: Any) -> None:
    assert Page().silence() == clock.now


@forks
def test_what_a_child_had_started_is_known_after_it_was_killed(plain_claim: Callable[..., Claim]) -> None:
    page, done, cut_off = Page(2), plain_claim(), plain_claim(token=5)
    if not (child := os.fork()):
        slot = page.start(done)
        page.finish(slot)
        page.limit(page.start(cut_off), 99.5)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert page.started() == [Started(cut_off.id, 5, 99.5)]


@forks
def test_a_sign_of_life_is_seen_in_another_process() -> None:
    page = Page()
    page.touch()
    if not (child := os.fork()):
        os._exit(0 if page.silence() < 60 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_what_is_said_about_being_alone_is_seen_on_the_other_side_and_harms_no_sign_of_life() -> None:
    page = Page(1)
    assert (page.gate, page.asks, page.is_quiet) == (Gate.OPEN, False, False)
    page.touch()
    for gate in Gate:
        page.gate = gate
        assert page.gate is gate
    page.asks = page.is_quiet = True
    assert (page.asks, page.is_quiet) == (True, True)
    assert page.silence() < 60
    assert page.started() == []
