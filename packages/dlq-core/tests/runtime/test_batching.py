from __future__ import annotations

import pytest

from dlq.runtime.batching import MOST, WIDEST, WINDOW, Pace


def paced(slots: int, *seconds: float) -> Pace:
    pace = Pace(slots)
    pace.observe(seconds)
    return pace


@pytest.mark.parametrize("slots", [1, 8])
def test_until_a_job_was_measured_there_is_room_for_the_free_slots_alone(slots: int) -> None:
    pace = Pace(slots)
    assert (pace.ahead, pace.room(0, 0), pace.room(0, slots)) == (0, slots, 0)


@pytest.mark.parametrize("slots", [1, 2, 8])
@pytest.mark.parametrize("seconds", [0.0001, 0.001, 0.0037, 0.009, 0.0199])
def test_no_more_waits_than_can_start_within_the_window(slots: int, seconds: float) -> None:
    ahead = paced(slots, seconds).ahead
    assert 1 <= ahead <= MOST
    assert ahead == MOST or WINDOW - seconds < ahead * seconds / slots <= WINDOW


@pytest.mark.parametrize("seconds", [4 * WINDOW, 0.5, 3600.0])
def test_nothing_waits_behind_jobs_that_fill_the_window(seconds: float) -> None:
    pace = paced(4, seconds)
    assert (pace.ahead, pace.room(0, 4), pace.room(0, 1)) == (0, 0, 3)


def test_short_jobs_let_more_wait() -> None:
    pace, seen = Pace(1), []
    for seconds in (0.01, 0.005, 0.001, 0.0005):
        pace.observe([seconds] * 50)
        seen.append(pace.ahead)
    assert seen == sorted(seen)
    assert seen[0] < seen[-1]


def test_one_long_job_is_enough_to_let_nothing_wait() -> None:
    pace = paced(1, *[0.001] * 50)
    assert pace.ahead > 0
    pace.observe([1.0])
    assert pace.ahead == 0


def test_the_pace_recovers_after_a_long_job() -> None:
    pace = paced(1, *[0.001] * 50, 1.0)
    pace.observe([0.001] * 40)
    assert pace.ahead > 0


def test_jobs_that_take_no_time_at_all_have_a_limit_too() -> None:
    pace = paced(1, 0.0)
    assert (pace.ahead, pace.room(0, 0)) == (MOST, MOST)


def test_room_is_what_is_missing() -> None:
    pace = paced(2, 0.01)
    assert pace.ahead == 4
    held = [(0, 0), (0, 2), (3, 2), (4, 2), (9, 2)]
    assert [pace.room(waiting, running) for waiting, running in held] == [6, 4, 1, 0, 0]


def test_no_observation_changes_nothing() -> None:
    pace = paced(1, 0.004)
    before = pace.ahead
    pace.observe([])
    assert pace.ahead == before


@pytest.mark.parametrize(
    ("slots", "seconds", "ahead"), [(200, 0.1, 40), (8, 0.1, 1), (8, 0.16, 0), (8, 1.0, 0)]
)
def test_many_slots_free_one_often_enough_for_some_to_wait(slots: int, seconds: float, ahead: int) -> None:
    pace = Pace(slots)
    pace.observe([seconds] * 100)
    assert pace.ahead == ahead


@pytest.mark.parametrize("slots", [1, 8])
def test_without_prefetching_there_is_never_room_for_more_than_the_free_slots(slots: int) -> None:
    pace = Pace(slots, prefetches=False)
    pace.observe([0.0001] * 50)
    assert (pace.ahead, pace.room(0, 0), pace.room(0, slots), pace.room(slots, 0)) == (0, slots, 0, 0)


# --- What the store takes ---


def after_trips(pace: Pace, seconds: float) -> int:
    for _ in range(100):
        pace.observe_trip(seconds)
    return pace.ahead


def test_a_quick_store_does_not_narrow_the_window() -> None:
    pace = paced(1, 0.001)
    before = pace.ahead
    assert after_trips(pace, 0.0001) == before


def test_more_may_wait_so_that_none_runs_out_during_a_round_trip() -> None:
    assert after_trips(paced(1, 0.001), 0.03) == pytest.approx(60, abs=1)


def test_however_slow_the_store_the_window_has_an_end() -> None:
    assert after_trips(paced(1, 0.001), 20.0) <= WIDEST / 0.001


def test_nothing_waits_behind_long_jobs_however_slow_the_store() -> None:
    assert after_trips(paced(1, 4 * WINDOW), 20.0) == 0


def test_of_jobs_that_alternate_all_count() -> None:
    """The last one alone would let twice as many wait, or half as many, from one exchange to the next."""
    pace = paced(1, *[0.0001, 0.0003] * 50)
    assert pace.ahead == pytest.approx(WINDOW / 0.0002, abs=1)
