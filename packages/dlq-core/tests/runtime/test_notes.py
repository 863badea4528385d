"""What jobs say on its way to the store: soon, before their outcomes, and without a storm."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from dlq.context import Notebook
from dlq.job import Claim, Outcome
from dlq.runtime.notes import EVERY
from dlq.runtime.page import Page
from dlq.runtime.workload import Assignment, Workload

Claims = Callable[..., Claim]
Threads = Callable[..., threading.Thread]


class Speaker:
    """A job that runs and talks."""

    def __init__(self, workload: Workload, claim: Claim) -> None:
        self.workload = workload
        self.claim = claim
        self.notebook = Notebook(claim.id, claim.token, None)
        self.notebook.listen(workload.noted)
        workload.add([Assignment(claim)])
        assert workload.take_now() is not None

    def say(self, line: str) -> None:
        self.notebook.write(lines=[line])

    def end(self) -> Outcome:
        outcome = Outcome.succeeded(self.claim, "null", 0.0)
        self.workload.done(self.claim, outcome, 0.0)
        return outcome


@pytest.fixture
def workload() -> Workload:
    workload = Workload(8, Page())
    workload.enough, workload.low = 1000, -1
    return workload


@pytest.fixture
def speaker(workload: Workload, plain_claim: Claims, clock: Any) -> Speaker:
    return Speaker(workload, plain_claim())


def lines(workload: Workload) -> list[list[str]]:
    return [list(note.lines) for note in workload.collect_notes()]


def test_the_first_word_is_collected_at_once(workload: Workload, speaker: Speaker) -> None:
    speaker.say("one")
    assert lines(workload) == [["one"]]
    assert lines(workload) == []


def test_what_a_running_job_goes_on_to_say_is_collected_together(
    workload: Workload, speaker: Speaker, clock: Any
) -> None:
    speaker.say("one")
    assert lines(workload) == [["one"]]
    for word in ("two", "three"):
        speaker.say(word)
        assert lines(workload) == []
    clock.advance(EVERY)
    assert lines(workload) == [["two", "three"]]


def test_jobs_do_not_share_a_note(workload: Workload, speaker: Speaker, plain_claim: Claims) -> None:
    other = Speaker(workload, plain_claim())
    speaker.say("one")
    other.say("two")
    assert sorted(lines(workload)) == [["one"], ["two"]]


def test_the_last_words_of_a_job_that_has_ended_do_not_wait(workload: Workload, speaker: Speaker) -> None:
    speaker.say("one")
    workload.collect_notes()
    speaker.say("two")
    speaker.end()
    assert lines(workload) == [["two"]]


def test_an_outcome_waits_until_the_note_of_its_job_was_collected(
    workload: Workload, speaker: Speaker, plain_claim: Claims
) -> None:
    silent = Speaker(workload, plain_claim())
    speaker.say("one")
    spoken, unspoken = speaker.end(), silent.end()
    assert workload.collect()[0] == [unspoken]
    assert (speaker.claim.id, speaker.claim.token) in workload.held()
    assert lines(workload) == [["one"]]
    assert workload.collect()[0] == [spoken]


def test_notes_that_the_store_did_not_take_come_first_the_next_time(
    workload: Workload, speaker: Speaker, clock: Any
) -> None:
    speaker.say("one")
    workload.restore_notes(workload.collect_notes())
    speaker.say("two")
    outcome = speaker.end()
    assert workload.collect()[0] == []
    notes = workload.collect_notes()
    assert [list(note.lines) for note in notes] == [["one", "two"]]
    workload.restore_notes(notes)
    assert workload.collect()[0] == []
    clock.advance(EVERY)
    assert lines(workload) == [["one", "two"]]
    assert workload.collect()[0] == [outcome]


# --- Waking ---


class Waits(list[float]):
    """How long the control thread would have waited, each time."""


@pytest.fixture
def waits(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> Waits:
    waits = Waits()
    monkeypatch.setattr(workload._reportable, "wait", waits.append)
    return waits


def test_a_word_wakes_the_control_thread(workload: Workload, speaker: Speaker, in_thread: Threads) -> None:
    waiting = in_thread(lambda: workload.wait(60.0))
    while not workload._reportable._waiters:  # type: ignore[attr-defined]
        pass
    speaker.say("one")
    waiting.join(10.0)
    assert not waiting.is_alive()


def test_a_silent_worker_waits_for_as_long_as_it_is_told(workload: Workload, waits: Waits) -> None:
    workload.wait(60.0)
    assert waits == [60.0]


def test_after_a_note_the_control_thread_looks_once_more_in_time(
    workload: Workload, speaker: Speaker, waits: Waits, clock: Any
) -> None:
    speaker.say("one")
    workload.collect_notes()
    workload.wait(60.0)
    clock.advance(EVERY)
    workload.wait(60.0)
    assert waits == [EVERY, 60.0]


def test_however_much_a_job_says_nobody_is_woken_before_it_is_time(
    workload: Workload, speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[int] = []
    monkeypatch.setattr(workload._reportable, "notify", lambda: woken.append(1))
    for _ in range(10):
        speaker.say("one")
    assert len(woken) == 1
    workload.collect_notes()
    for _ in range(10):
        speaker.say("two")
    assert len(woken) == 1


def test_notes_that_cannot_be_collected_are_no_reason_not_to_wait(
    workload: Workload, speaker: Speaker, waits: Waits, clock: Any
) -> None:
    """While the store is away, the worker does not come as far as to collect."""
    speaker.say("one")
    workload.wait(60.0)
    workload.wait(60.0)
    clock.advance(EVERY)
    workload.wait(60.0)
    workload.wait(60.0)
    assert waits == [0.0, EVERY, 0.0, EVERY]


def test_notes_that_came_back_are_looked_for_again(
    workload: Workload, speaker: Speaker, waits: Waits, clock: Any
) -> None:
    speaker.say("one")
    workload.restore_notes(workload.collect_notes())
    workload.wait(60.0)
    clock.advance(EVERY)
    workload.wait(60.0)
    assert waits == [EVERY, 0.0]
