from __future__ import annotations

import logging

import pytest
from pytest_django import Settings

from dlq.errors import StoreNotReady, StoreUnavailable
from dlq.runtime.outage import FIRST, Outage

AWAY = StoreUnavailable("connection refused")


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Outage:
    """An outage without jitter."""
    monkeypatch.setattr("dlq.runtime.outage.random.uniform", lambda low, high: high)
    return Outage("Worker 7", longest=5.0)


def test_waits_double_up_to_the_longest(outage: Outage) -> None:
    waits = [outage.failed(AWAY) for _ in range(8)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_a_very_long_outage_waits_no_longer(outage: Outage) -> None:
    assert max(outage.failed(AWAY) for _ in range(3000)) == 5.0


def test_jitter_shortens_waits_by_up_to_half() -> None:
    first = [Outage("Worker", longest=5.0).failed(AWAY) for _ in range(200)]
    assert all(FIRST / 2 <= wait <= FIRST for wait in first)
    assert len(set(first)) > 100


def test_after_an_answer_waits_start_small_again(outage: Outage) -> None:
    for _ in range(5):
        outage.failed(AWAY)
    outage.over()
    assert outage.failed(AWAY) == pytest.approx(FIRST)


def test_only_the_answer_that_ends_an_outage_says_so(outage: Outage) -> None:
    assert not outage.over()
    outage.failed(AWAY)
    assert outage.over()
    assert not outage.over()


def test_another_reason_is_told_too(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    for error in (AWAY, AWAY, StoreNotReady("it is a replica"), AWAY):
        outage.failed(error)
    assert [record.getMessage().partition(".")[0] for record in caplog.records] == [
        "Worker 7: connection refused",
        "Worker 7: it is a replica",
        "Worker 7: connection refused",
    ]


def test_an_outage_is_two_lines_in_the_log_however_long_it_is(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="dlq.store")
    outage.over()
    for _ in range(100):
        outage.failed(AWAY)
    outage.over()
    outage.over()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "Worker 7: connection refused. Trying again until it is back."),
        ("WARNING", "Worker 7: the store is back."),
    ]


def test_a_store_that_is_not_set_up_says_what_to_do(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    outage.failed(StoreNotReady("run migrate"))
    assert "run migrate" in caplog.text


heard: list[BaseException] = []


def hear(error: BaseException) -> None:
    heard.append(error)


def test_an_outage_is_reported_once_to_who_wants_to_know(outage: Outage, settings: Settings) -> None:
    settings.DLQ_ON_ERROR = f"{__name__}.hear"
    heard.clear()
    for _ in range(3):
        outage.failed(AWAY)
    assert heard == [AWAY]
    outage.over()
    outage.failed(AWAY)
    assert heard == [AWAY, AWAY]
