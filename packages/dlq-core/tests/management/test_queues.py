"""queue_pause, queue_resume, queue_clear, queue_deduplicate."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import Settings

from dlq import MemoryBackend, State
from dlq.queue import QueueInfo
from dlq.testing.contract.builders import add, add_many, claim_one, register, state_of

type Run = Callable[..., str]

# --- Pausing ---


def test_a_queue_is_paused_until_a_time(memory: MemoryBackend, run: Run) -> None:
    until = "2999-01-31T09:00:00+02:00"
    assert run("queue_pause", "email", "--until", until) == f"Paused queue email until {until}.\n"
    assert QueueInfo("email").paused_until == datetime(2999, 1, 31, 7, tzinfo=UTC)


def test_a_queue_is_paused_for_a_while(memory: MemoryBackend, run: Run) -> None:
    before = datetime.now(UTC)
    said = run("queue_pause", "email", "--for", "1h2m3s")
    end = QueueInfo("email").paused_until
    assert end is not None
    assert said == f"Paused queue email until {end.isoformat()}.\n"
    assert timedelta(0) <= end - before - timedelta(hours=1, minutes=2, seconds=3) < timedelta(minutes=1)


def test_a_queue_is_paused_until_somebody_resumes_it(memory: MemoryBackend, run: Run) -> None:
    assert run("queue_pause", "email") == "Paused queue email until it is resumed.\n"
    assert (QueueInfo("email").paused, QueueInfo("email").paused_until) == (True, None)
    assert run("queue_resume", "email") == "Resumed queue email.\n"
    assert not QueueInfo("email").paused
    assert run("queue_resume", "email") == "Queue email was not paused.\n"


REFUSED_PAUSES = {
    "past": (["--until", "2020-01-01T00:00:00+00:00"], "Refusing to pause until a time in the past."),
    "no time": (["--for", "0s"], "Refusing to pause until a time in the past."),
    "both": (["--until", "2999-01-01T00:00:00Z", "--for", "1h"], "Give --until or --for, not both."),
    "empty duration": (["--for", ""], "--for: '' is no duration; write one such as 90s, 1h30m, 7d or 2w."),
    "wrong duration": (["--for", "soon"], "--for: 'soon' is no duration; write one"),
    "long duration": (["--for", "9999999999h"], "--for: '9999999999h' is longer than a hundred years."),
    "wrong time": (["--until", "tomorrow"], "--until: 'tomorrow' is no time; write one such as 2030"),
    "empty time": (["--until", ""], "--until: '' is no time"),
    "naive time": (["--until", "2999-01-01T00:00:00"], "2999-01-01T00:00:00 has no time zone; add one"),
    "end of time": (["--until", "9999-12-31T23:59:59-01:00"], "beyond the end of the calendar"),
}


@pytest.mark.parametrize(("arguments", "says"), REFUSED_PAUSES.values(), ids=REFUSED_PAUSES)
def test_a_pause_that_makes_no_sense_is_refused(
    memory: MemoryBackend, refused: Run, arguments: list[str], says: str
) -> None:
    assert says in refused("queue_pause", "email", *arguments)
    assert not QueueInfo("email").paused


# --- Which queue, on which backend ---

COMMANDS = {
    "queue_pause": "Paused queue email until it is resumed.",
    "queue_resume": "Queue email was not paused.",
    "queue_clear": "Cleared 0 jobs from queue email.",
    "queue_deduplicate": "No duplicate jobs detected (queue length remains 0)",
}
each_command = pytest.mark.parametrize(("command", "says"), COMMANDS.items(), ids=COMMANDS)


@each_command
def test_a_queue_that_nobody_has_seen_is_taken_with_a_word_about_it(
    memory: MemoryBackend, run: Run, command: str, says: str
) -> None:
    add(memory.store, queue="emial")
    add(memory.store, queue="default")
    err = io.StringIO()
    assert run(command, "email", err=err) == f"{says}\n"
    assert err.getvalue() == (
        "No job is stored for the queue 'email', in any state. There are jobs for: default, emial.\n"
    )


@each_command
def test_a_queue_with_jobs_needs_no_word(memory: MemoryBackend, run: Run, command: str, says: str) -> None:
    add(memory.store, queue="email", run_after=datetime(2999, 1, 1, tzinfo=UTC))
    err = io.StringIO()
    assert run(command, "email", err=err) == f"{says}\n"
    assert err.getvalue() == ""


@each_command
def test_every_backend_of_dlq_that_takes_the_queue_is_meant(
    other: MemoryBackend, run: Run, command: str, says: str
) -> None:
    assert run(command, "email") == f"default: {says}\nother: {says}\n"
    assert run(command, "email", "--backend", "other") == f"other: {says}\n"


def test_a_pause_ends_at_the_same_moment_everywhere(other: MemoryBackend, run: Run) -> None:
    run("queue_pause", "email", "--for", "1h")
    ends = {QueueInfo("email", alias).paused_until for alias in ("default", "other")}
    assert len(ends) == 1
    assert None not in ends


def test_one_backend_alone_is_paused_when_it_is_named(other: MemoryBackend, run: Run) -> None:
    run("queue_pause", "email", "--backend", "other")
    assert (QueueInfo("email", "other").paused, QueueInfo("email", "default").paused) == (True, False)


def test_a_backend_whose_queues_rule_it_out_is_left_alone(
    settings: Settings, memory: MemoryBackend, run: Run, refused: Run
) -> None:
    settings.TASKS = {
        "default": {"BACKEND": "dlq.MemoryBackend", "QUEUES": ["default", "email"]},
        "other": {"BACKEND": "dlq.MemoryBackend", "QUEUES": ["bulk"]},
    }
    assert run("queue_pause", "email") == "default: Paused queue email until it is resumed.\n"
    assert "'emial' is not among the QUEUES of default, other in TASKS." in refused("queue_pause", "emial")
    assert "is not among the QUEUES of other" in refused("queue_pause", "email", "--backend", "other")

    add(memory.store, queue="old")
    assert run("queue_pause", "old") == "default: Paused queue old until it is resumed.\n"


@each_command
@pytest.mark.parametrize("queue", ["", "two words", "email*", "q" * 256])
def test_a_name_that_no_queue_can_have_is_refused(refused: Run, command: str, says: str, queue: str) -> None:
    assert "names are 1 to 255 printable characters" in refused(command, queue)


# --- Clearing ---


@pytest.fixture
def answers(
    monkeypatch: pytest.MonkeyPatch, terminal: io.StringIO
) -> Callable[[str | type[BaseException]], list[str]]:
    """Sits somebody at the terminal who gives this answer; returns what that person is asked."""

    def answer(text: str | type[BaseException]) -> list[str]:
        asked: list[str] = []

        def reply(prompt: str) -> str:
            asked.append(prompt)
            if isinstance(text, str):
                return text
            raise text

        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr("builtins.input", reply)
        return asked

    return answer


@pytest.mark.parametrize("answer", ["y", "Y", " y "])
def test_a_queue_is_cleared_when_a_person_says_yes(
    memory: MemoryBackend, run: Run, answers: Callable[[str], list[str]], answer: str
) -> None:
    add_many(memory.store, 1200, queue="email")
    scheduled = add(memory.store, queue="email", run_after=datetime(2999, 1, 1, tzinfo=UTC))
    asked = answers(answer)
    assert run("queue_clear", "email") == "Cleared 1,200 jobs from queue email.\n"
    assert asked == ["Clear 1,200 jobs from queue email? [y/N] "]
    assert QueueInfo("email").counts[State.CANCELLED] == 1200
    assert state_of(memory.store, scheduled) is State.SCHEDULED


@pytest.mark.parametrize("answer", ["", "n", "yes", "no", EOFError, KeyboardInterrupt])
def test_nothing_is_cleared_when_a_person_says_anything_else(
    memory: MemoryBackend,
    refused: Run,
    answers: Callable[[str | type[BaseException]], list[str]],
    answer: str | type[BaseException],
) -> None:
    add(memory.store, queue="email")
    answers(answer)
    assert refused("queue_clear", "email") == "Aborted, nothing was cleared."
    assert QueueInfo("email").size == 1


def test_nothing_is_cleared_where_nobody_can_be_asked(
    memory: MemoryBackend, run: Run, refused: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    add(memory.store, queue="email")
    said = refused("queue_clear", "email")
    assert said.startswith("1 job would go, and there is no terminal to ask on")
    assert said.endswith("Add --yes.")
    assert QueueInfo("email").size == 1
    assert run("queue_clear", "email", "--yes") == "Cleared 1 job from queue email.\n"
    assert QueueInfo("email").size == 0


def test_one_question_is_asked_for_all_backends(
    memory: MemoryBackend, other: MemoryBackend, run: Run, answers: Callable[[str], list[str]]
) -> None:
    add(memory.store, queue="email")
    add_many(other.store, 2, queue="email")
    asked = answers("y")
    assert run("queue_clear", "email") == (
        "default: Cleared 1 job from queue email.\nother: Cleared 2 jobs from queue email.\n"
    )
    assert asked == ["Clear 3 jobs from queue email? [y/N] "]


# --- Deduplicating ---


def test_a_queue_without_duplicates_stays_as_it_is(memory: MemoryBackend, run: Run) -> None:
    add(memory.store)
    add(memory.store, payload="[[1],{}]")
    assert run("queue_deduplicate", "default") == "No duplicate jobs detected (queue length remains 2)\n"


@pytest.mark.parametrize(("others", "left"), [(0, "1 job"), (2, "3 jobs")])
def test_duplicates_are_removed(memory: MemoryBackend, run: Run, others: int, left: str) -> None:
    add_many(memory.store, 4)
    for number in range(others):
        add(memory.store, payload=f"[[{number}],{{}}]")
    assert run("queue_deduplicate", "default") == (
        f"Deduplication reduced the queue from {4 + others} jobs to {left}\n"
    )
    assert QueueInfo("default").size == 1 + others


def test_what_runs_is_no_duplicate(memory: MemoryBackend, run: Run) -> None:
    worker = register(memory.store)
    add_many(memory.store, 2)
    claim_one(memory.store, worker)
    assert run("queue_deduplicate", "default") == "No duplicate jobs detected (queue length remains 1)\n"


@pytest.mark.parametrize("command", ["queue_clear", "queue_deduplicate"])
def test_long_work_shows_how_far_it_has_come(
    memory: MemoryBackend, run: Run, terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    add_many(memory.store, 3)
    run(command, "default", *(["--yes"] if command == "queue_clear" else []), err=terminal)
    assert {"queue_clear": "Clearing default", "queue_deduplicate": "Removing duplicate jobs"}[command] in (
        terminal.getvalue()
    )
