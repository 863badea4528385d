"""The job that every system runs: it makes a mark, so that whoever watches sees when how many have run."""

import os

_marks: list[int] = []


def mark() -> None:
    """One byte more in the file that ``BENCH_MARKS`` names."""
    if not _marks:
        _marks.append(os.open(os.environ["BENCH_MARKS"], os.O_WRONLY | os.O_APPEND))
    os.write(_marks[0], b".")
