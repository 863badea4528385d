from __future__ import annotations

import pytest

from dlq.runtime.heartbeat import PeerWatch

THRESHOLD = 30.0
INTERVAL = 5.0


def observed(watch: PeerWatch, beats: dict[str, int], *moments: float) -> list[list[tuple[str, int]]]:
    return [watch.observe(beats, moment) for moment in moments]


@pytest.fixture
def watch() -> PeerWatch:
    return PeerWatch("me", THRESHOLD)


def test_a_beat_that_stands_still_for_the_threshold_is_a_loss(watch: PeerWatch) -> None:
    lost = observed(watch, {"me": 1, "peer": 7}, 0, 5, 10, 15, 20, 25, 30)
    assert lost == [[], [], [], [], [], [], [("peer", 7)]]


def test_a_moment_before_the_threshold_nobody_is_lost(watch: PeerWatch) -> None:
    assert observed(watch, {"peer": 7}, 0, 10, 20, 29.999)[-1] == []


def test_the_first_reading_declares_nobody_lost(watch: PeerWatch) -> None:
    assert watch.observe({"peer": 7}, 1_000_000.0) == []


def test_a_beat_that_moves_starts_anew(watch: PeerWatch) -> None:
    observed(watch, {"peer": 7}, 0, 10, 20)
    assert observed(watch, {"peer": 8}, 29, 40, 50) == [[], [], []]
    assert watch.observe({"peer": 8}, 59.0) == [("peer", 8)]


def test_a_runner_that_beats_rarely_but_beats_is_never_lost(watch: PeerWatch) -> None:
    moments = [INTERVAL * step for step in range(100)]
    assert not any(watch.observe({"peer": step // 5}, moment) for step, moment in enumerate(moments))


def test_a_beat_that_goes_back_is_a_sign_of_life_too(watch: PeerWatch) -> None:
    observed(watch, {"peer": 7}, 0, 10, 20)
    assert watch.observe({"peer": 1}, 30.0) == []


def test_the_own_beat_is_not_judged(watch: PeerWatch) -> None:
    assert not any(observed(watch, {"me": 1}, 0, 10, 20, 30, 40))


def test_every_loss_is_named_with_its_beat_and_the_living_are_not(watch: PeerWatch) -> None:
    for step in range(6):
        assert watch.observe({"me": 1, "a": 7, "b": 9, "alive": step}, 5.0 * step) == []
    assert watch.observe({"me": 1, "a": 7, "b": 9, "alive": 6}, 30.0) == [("a", 7), ("b", 9)]


def test_a_loss_is_named_again_until_the_store_has_forgotten_the_runner(watch: PeerWatch) -> None:
    observed(watch, {"peer": 7}, 0, 10, 20, 30)
    assert watch.observe({"peer": 7}, 35.0) == [("peer", 7)]
    assert watch.observe({}, 40.0) == []
    assert watch.observe({"peer": 7}, 45.0) == []


def test_a_runner_that_joins_later_is_judged_from_then_on(watch: PeerWatch) -> None:
    observed(watch, {"peer": 7}, 0, 10, 20)
    assert observed(watch, {"peer": 7, "new": 1}, 25, 30) == [[], [("peer", 7)]]
    assert observed(watch, {"new": 1}, 40, 50, 55) == [[], [], [("new", 1)]]


@pytest.mark.parametrize("outage", [THRESHOLD / 2 + 0.001, THRESHOLD, 3 * THRESHOLD, 86_400.0])
def test_after_an_outage_of_any_length_observation_starts_anew(watch: PeerWatch, outage: float) -> None:
    observed(watch, {"peer": 7}, 0, 10, 20, 29)
    back = 29 + outage
    assert observed(watch, {"peer": 7}, back, back + 10, back + 20, back + 29.999) == [[], [], [], []]
    assert watch.observe({"peer": 7}, back + THRESHOLD) == [("peer", 7)]


def test_a_gap_of_half_the_threshold_is_no_outage_yet(watch: PeerWatch) -> None:
    assert observed(watch, {"peer": 7}, 0, 15, 30)[-1] == [("peer", 7)]


def test_short_outages_again_and_again_declare_nobody_lost(watch: PeerWatch) -> None:
    assert not any(observed(watch, {"peer": 7}, *(20 * step for step in range(50))))
