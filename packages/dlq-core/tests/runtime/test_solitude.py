"""One worker of a runner is alone in it, and only when the others are quiet."""

from __future__ import annotations

import pytest

from dlq.runtime.page import Gate, Page
from dlq.runtime.solitude import PATIENCE, Solitude


@pytest.fixture
def pages() -> list[Page]:
    """Those of three workers."""
    return [Page(1) for _ in range(3)]


def gates(pages: list[Page]) -> list[Gate]:
    return [page.gate for page in pages]


def test_while_nobody_asks_all_gates_are_open(pages: list[Page]) -> None:
    Solitude().turn(pages, 0.0)
    assert gates(pages) == [Gate.OPEN] * 3


def test_who_asks_is_alone_when_all_others_have_said_that_they_are_quiet(pages: list[Page]) -> None:
    solitude = Solitude()
    pages[1].asks = True
    solitude.turn(pages, 0.0)
    assert gates(pages) == [Gate.HELD, Gate.OPEN, Gate.HELD]
    pages[0].is_quiet = True
    solitude.turn(pages, 1.0)
    assert gates(pages) == [Gate.HELD, Gate.OPEN, Gate.HELD]
    pages[2].is_quiet = True
    solitude.turn(pages, 2.0)
    assert gates(pages) == [Gate.HELD, Gate.GRANTED, Gate.HELD]
    pages[1].asks = False
    solitude.turn(pages, 3.0)
    assert gates(pages) == [Gate.OPEN] * 3


def test_the_only_worker_is_alone_at_once() -> None:
    page = Page(1)
    page.asks = True
    Solitude().turn([page], 0.0)
    assert page.gate is Gate.GRANTED


def test_a_worker_that_starts_meanwhile_is_held(pages: list[Page]) -> None:
    solitude = Solitude()
    assert solitude.for_newcomers() is Gate.OPEN
    pages[0].asks = True
    solitude.turn(pages[:1], 0.0)
    assert solitude.for_newcomers() is Gate.HELD


def test_two_that_ask_are_alone_one_after_the_other_and_quiet_is_said_anew(pages: list[Page]) -> None:
    solitude = Solitude()
    for page in pages[:2]:
        page.asks = True
    solitude.turn(pages, 0.0)
    for page in pages[1:]:
        page.is_quiet = True
    solitude.turn(pages, 1.0)
    assert gates(pages) == [Gate.GRANTED, Gate.HELD, Gate.HELD]
    pages[0].asks = False
    solitude.turn(pages, 2.0)
    assert gates(pages) == [Gate.HELD, Gate.HELD, Gate.HELD]
    assert not pages[0].is_quiet
    pages[0].is_quiet = True
    solitude.turn(pages, 3.0)
    assert gates(pages) == [Gate.HELD, Gate.GRANTED, Gate.HELD]


def test_when_the_one_that_is_alone_dies_the_others_go_on(pages: list[Page]) -> None:
    solitude = Solitude()
    pages[0].asks = True
    solitude.turn(pages[:1], 0.0)
    assert pages[0].gate is Gate.GRANTED
    solitude.turn(pages[1:], 1.0)
    assert gates(pages[1:]) == [Gate.OPEN] * 2


def test_others_that_run_for_long_are_not_held_up_for_long(pages: list[Page]) -> None:
    solitude = Solitude()
    pages[0].asks = True
    solitude.turn(pages, 0.0)
    pages[1].is_quiet = True
    solitude.turn(pages, PATIENCE - 1.0)
    assert gates(pages) == [Gate.OPEN, Gate.HELD, Gate.HELD]
    solitude.turn(pages, PATIENCE)
    assert gates(pages) == [Gate.REFUSED, Gate.OPEN, Gate.OPEN]
    solitude.turn(pages, PATIENCE + 1.0)
    assert gates(pages) == [Gate.REFUSED, Gate.OPEN, Gate.OPEN]
    pages[0].asks = False
    solitude.turn(pages, PATIENCE + 2.0)
    assert gates(pages) == [Gate.OPEN] * 3


def test_who_is_alone_may_stay_so_for_as_long_as_its_job_runs() -> None:
    solitude, page = Solitude(), Page(1)
    page.asks = True
    solitude.turn([page], 0.0)
    solitude.turn([page], 100 * PATIENCE)
    assert page.gate is Gate.GRANTED
