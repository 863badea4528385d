"""A log as text."""

from __future__ import annotations

import pytest

from dlq.job import LOG_LINES
from dlq_db.logs import appended, lines_of, text_of


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ["", ""],
        ["one", "two"],
        ["two\nin one", "a\\nb", "\\", "\\\n"],
        ["other\rends\u2028of\x0bline"],
    ],
)
def test_lines_are_read_as_they_were_written(lines: list[str]) -> None:
    assert list(lines_of(text_of(lines))) == lines


def test_the_oldest_lines_go_first() -> None:
    text = appended(text_of(["old"] * LOG_LINES), text_of(["new", ""]))
    assert lines_of(text) == ("old",) * (LOG_LINES - 2) + ("new", "")


def test_a_log_that_is_not_full_keeps_all_lines() -> None:
    assert lines_of(appended(text_of(["one"]), text_of(["two"]))) == ("one", "two")
