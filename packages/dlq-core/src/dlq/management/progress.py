"""How far long work has come: a bar where rich is installed and a person looks, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from dlq.control import Advance

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["EVERY", "progress"]

EVERY = 1.0
"""Seconds between two lines. Work that takes less says nothing."""


@contextmanager
def progress(
    label: str, total: int | None, stream: TextIO, clock: Callable[[], float] = time.monotonic
) -> Iterator[Advance]:
    """Show on ``stream``, while the block runs, how much of ``total`` it has told the yielded function of.

    None is for a total that is not known.
    """
    bar = _bar(stream) if stream.isatty() else None
    if bar is None:
        yield _Lines(label, total, stream, clock)
        return
    with bar:
        shown = bar.add_task(label, total=total)
        yield lambda count: bar.advance(shown, count)


def _bar(stream: TextIO) -> Progress | None:
    """A bar of rich; None where that is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(file=stream),
        transient=True,
    )


class _Lines:
    def __init__(self, label: str, total: int | None, stream: TextIO, clock: Callable[[], float]) -> None:
        self._label, self._total, self._stream, self._clock = label, total, stream, clock
        self._done = 0
        self._due = clock() + EVERY

    def __call__(self, count: int) -> None:
        self._done += count
        if self._clock() >= self._due:
            self._due = self._clock() + EVERY
            of_all = "" if self._total is None else f" of {self._total:,}"
            self._stream.write(f"{self._label}: {self._done:,}{of_all}\n")
            self._stream.flush()
