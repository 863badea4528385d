from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable

import pytest

from dlq.runtime.lasting import LastingThread, _pause_after
from dlq.runtime.seat import LONGEST_PAUSE

LATE = 30.0


class Rig:
    """A thread whose work the test writes."""

    def __init__(self, *lives: Callable[[], object]) -> None:
        self.ending = threading.Event()
        self.ended = threading.Event()
        self.begun = 0
        self._lives = lives
        self.thread = LastingThread("work", self._work, self.ending, self.ended.set)
        self.thread.start()

    def _work(self) -> None:
        self.begun += 1
        self._lives[self.begun - 1]()


def fail() -> None:
    raise ZeroDivisionError("a defect")


def test_work_that_returns_is_done(caplog: pytest.LogCaptureFixture) -> None:
    made = Rig(lambda: None)
    assert made.ended.wait(LATE)
    assert not made.thread.is_alive
    assert made.begun == 1
    assert caplog.messages == []


@pytest.mark.parametrize(
    "end", [fail, sys.exit, lambda: sys.exit(1)], ids=["raises", "exits", "exits with 1"]
)
def test_work_that_fails_is_begun_anew_at_once_and_reported(
    end: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reported: list[str] = []
    monkeypatch.setattr("dlq.runtime.lasting.report_error", lambda error, where: reported.append(where))
    made = Rig(end, lambda: None)
    assert made.ended.wait(LATE)
    assert made.begun == 2
    assert reported == ["the thread work"]
    (line,) = caplog.records
    assert (line.levelno, line.getMessage()) == (logging.ERROR, "The thread work failed through a defect.")


def test_work_that_keeps_failing_is_begun_more_and_more_rarely() -> None:
    pauses = [_pause_after(deaths) for deaths in range(1, 20)]
    assert pauses[0] == 0.0
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


def test_a_pause_ends_with_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlq.runtime.lasting._pause_after", lambda deaths: LATE * 1000)
    failed = threading.Event()
    made = Rig(lambda: failed.set() or fail())
    assert failed.wait(LATE)
    assert made.thread.is_alive
    made.ending.set()
    assert made.ended.wait(LATE)
    assert made.begun == 1
