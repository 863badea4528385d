"""A job's log as text: each line with its end, so that to append is to concatenate."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dlq.job import LOG_LINES

__all__ = ["appended", "lines_of", "text_of"]

_ESCAPED = re.compile(r"\\(.)")


def text_of(lines: Iterable[str]) -> str:
    """What is stored for these lines; one that has an end of line within stays one line."""
    return "".join(line.replace("\\", "\\\\").replace("\n", "\\n") + "\n" for line in lines)


def lines_of(text: str) -> tuple[str, ...]:
    """The lines that were stored as this text."""
    return tuple(_ESCAPED.sub(_unescaped, line) for line in text.split("\n")[:-1])


def appended(text: str, more: str) -> str:
    """The newest of the lines of both. PostgreSQL does the same in annotate.sql."""
    return "\n".join((text + more).split("\n")[-LOG_LINES - 1 :])


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]
