"""``Notes``: what jobs have said about themselves and the store has not taken yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from uuid import UUID

from dlq.context import Notebook, merge_notes
from dlq.job import Note

__all__ = ["EVERY", "Notes"]

EVERY = 0.5
"""Seconds for which what a running job says may wait for more, however much it talks."""


class Notes:
    """One entry for each job that has spoken. Its owner sees to it that one thread at a time uses it."""

    def __init__(self) -> None:
        self._written: dict[tuple[UUID, int], Notebook] = {}
        self._restored: dict[tuple[UUID, int], Note] = {}
        self._due_at = 0.0
        self._looked_at = float("-inf")

    def __contains__(self, key: tuple[UUID, int]) -> bool:
        return key in self._written or key in self._restored

    def add(self, notebook: Notebook) -> bool:
        """Something was written there; returns whether whoever sends notes is to be woken for it."""
        is_first = not self._written
        self._written[notebook.key] = notebook
        return is_first and time.monotonic() >= self._due_at

    def wait(self) -> float | None:
        """Seconds until whoever sends notes is to look for some; None when it will be woken."""
        now = time.monotonic()
        if now < self._due_at:
            return self._due_at - now
        if not self._written and not self._restored:
            return None
        # Who looked just now and did not collect has no store at the moment: this must not become a storm.
        wait = max(0.0, self._looked_at + EVERY - now)
        if not wait:
            self._looked_at = now
        return wait

    def collect(self, is_running: Callable[[tuple[UUID, int]], bool]) -> list[Note]:
        """What is worth sending now: all of it when it is time, else that of jobs that have ended."""
        now = time.monotonic()
        is_due = now >= self._due_at
        if is_due and self._written:
            self._due_at = now + EVERY
        keys = [key for key in self._restored | self._written if is_due or not is_running(key)]
        notes = [self._take(key) for key in keys]
        return [note for note in notes if note is not None]

    def restore(self, notes: Iterable[Note]) -> None:
        """These could not be sent: they come first when something is collected again."""
        for note in notes:
            self._restored[note.id, note.token] = note

    def _take(self, key: tuple[UUID, int]) -> Note | None:
        older, notebook = self._restored.pop(key, None), self._written.pop(key, None)
        newer = notebook.take() if notebook is not None else None
        return older if newer is None else merge_notes(older, newer)
