from itertools import islice

import pytest

from dlq.waiting import pauses


class Clock:
    """Stands still but for what a test adds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_pauses_grow_up_to_a_second_and_never_end() -> None:
    first = list(islice(pauses(None), 50))
    assert first[0] == 0.05
    assert first == sorted(first)
    assert first[-1] == 1.0


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (0, []),
        (-1, []),
        (0.02, [0.02]),
        (0.05, [0.05]),
        (0.1, [0.05, 0.05]),
        (0.5, [0.05, 0.075, 0.1125, 0.16875, 0.09375]),
    ],
)
def test_the_last_pause_ends_with_the_timeout(timeout: float, expected: list[float]) -> None:
    clock, slept = Clock(), []
    for pause in pauses(timeout, clock):
        slept.append(pause)
        clock.now += pause
    assert slept == pytest.approx(expected)


def test_what_happens_between_pauses_counts_towards_the_timeout() -> None:
    clock, slept = Clock(), []
    for pause in pauses(10, clock):
        slept.append(pause)
        clock.now += 4 + pause
    assert len(slept) == 3
