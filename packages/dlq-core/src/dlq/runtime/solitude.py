"""A suspect of a lost runner runs alone in its runner.

When a runner is lost with all its workers, any of the jobs that ran there may have been the cause. Each of them is
therefore run once more without another job beside it, in any worker of the runner: if that runner is lost too, it is
known of whom. The workers and their parent speak through the pages that they share. A worker that holds such a job
*asks*; the parent *holds* the others, waits until each has said that it is *quiet*, and *grants* what was asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlq.runtime.page import Gate, Page

__all__ = ["PATIENCE", "Solitude"]

PATIENCE = 30.0
"""Seconds for which a worker may hold up the others until they are quiet; then it asks again later."""


class Solitude:
    """The parent's side: sees to it that at most one worker is alone, and that it is."""

    def __init__(self, patience: float = PATIENCE) -> None:
        """Nobody asks."""
        self._patience = patience
        self._chosen: Page | None = None
        self._until = 0.0

    def for_newcomers(self) -> Gate:
        """The gate of a worker that starts now."""
        return Gate.OPEN if self._chosen is None else Gate.HELD

    def turn(self, pages: Sequence[Page], now: float) -> None:
        """Look at the pages of the workers that live, at a monotonic time in seconds, and set their gates."""
        if self._chosen is None or self._chosen not in pages or not self._chosen.asks:
            self._chosen = next((page for page in pages if page.asks), None)
            self._until = now + self._patience
        others = [page for page in pages if page is not self._chosen]
        if self._chosen is None:
            self._set(others, Gate.OPEN)
        elif self._chosen.gate is Gate.REFUSED or self._is_in_vain(self._chosen, now):
            self._set([self._chosen], Gate.REFUSED)
            self._set(others, Gate.OPEN)
        else:
            self._set(others, Gate.HELD)
            if all(page.is_quiet for page in others):
                self._set([self._chosen], Gate.GRANTED)

    def _is_in_vain(self, page: Page, now: float) -> bool:
        """Whether the others have not become quiet in time: a job of an hour must not hold them up for one."""
        return page.gate is not Gate.GRANTED and now >= self._until

    def _set(self, pages: Sequence[Page], gate: Gate) -> None:
        for page in pages:
            if page.gate is not gate:
                # What it has said of an earlier time counts no more.
                page.is_quiet = False
                page.gate = gate
