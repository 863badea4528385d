"""What is printed for people: counts in words, and text from jobs that cannot do harm."""

from __future__ import annotations

__all__ = ["jobs", "printable"]


def printable(text: str) -> str:
    """The text with all that could steer a terminal, or that it cannot show, written as an escape."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def jobs(count: int) -> str:
    """So many jobs, in words."""
    return f"{count:,} job{'' if count == 1 else 's'}"
