from __future__ import annotations

import io

import pytest

from dlq.management.progress import progress
from dlq.management.terminal import printable


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_comes_when_a_second_is_over_and_not_before() -> None:
    clock, stream = Clock(), io.StringIO()
    with progress("Clearing email", 2000, stream, clock) as advance:
        advance(500)
        assert stream.getvalue() == ""
        clock.now = 1.0
        advance(500)
        advance(500)
        assert stream.getvalue() == "Clearing email: 1,000 of 2,000\n"
        clock.now = 2.0
        advance(500)
    assert stream.getvalue().splitlines() == [
        "Clearing email: 1,000 of 2,000",
        "Clearing email: 2,000 of 2,000",
    ]


@pytest.mark.usefixtures("without_rich")
def test_lines_come_in_a_terminal_where_rich_is_not_installed(terminal: io.StringIO) -> None:
    clock = Clock()
    with progress("Clearing email", 10, terminal, clock) as advance:
        clock.now = 1.0
        advance(5)
    assert terminal.getvalue() == "Clearing email: 5 of 10\n"


def test_a_bar_is_drawn_in_a_terminal_where_rich_is_installed(
    terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with progress("Clearing [red]email", 10, terminal) as advance:
        advance(10)
    assert "Clearing [red]email" in terminal.getvalue()
    assert "10/10" in terminal.getvalue()


def test_a_bar_is_not_drawn_where_nobody_looks() -> None:
    stream = io.StringIO()
    with progress("Clearing email", 10, stream, Clock()) as advance:
        advance(10)
    assert stream.getvalue() == ""


PRINTED = {
    "plain": ("naïve – 東京\n\tindented", "naïve – 東京\n\tindented"),
    "escape sequence": ("\x1b[31mred", "\\x1b[31mred"),
    "carriage return": ("good\rbad", "good\\rbad"),
    "bell and null": ("\a\0", "\\x07\\x00"),
    "half a character": ("\ud800", "\\ud800"),
    "right to left": ("\u202e", "\\u202e"),
}


@pytest.mark.parametrize(("text", "printed"), PRINTED.values(), ids=PRINTED)
def test_text_of_jobs_cannot_steer_the_terminal(text: str, printed: str) -> None:
    assert printable(text) == printed
