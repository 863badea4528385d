"""What can be wrong with a schedule.

DlqError
├── SpecError              text that says when, but cannot be read or never comes true (also ValueError)
├── ScheduleError          a schedule that cannot work, or is not there (also ValueError)
└── ScheduleConflict       its key belongs to another (also ValueError)
"""

from __future__ import annotations

from dlq.errors import DlqError

__all__ = ["ScheduleConflict", "ScheduleError", "SpecError"]


class SpecError(DlqError, ValueError):
    """Text that is to say when something is due cannot be read, or never comes true."""

    def __init__(self, text: str, problem: str, position: int | None = None) -> None:
        """``position`` is where the problem begins in the text, counted from 1."""
        where = "" if position is None else f", at position {position}"
        super().__init__(f"{text!r}{where}: {problem}")
        self.text = text
        self.problem = problem
        self.position = position


class ScheduleError(DlqError, ValueError):
    """A schedule cannot work as it was given, or there is none of this key."""


class ScheduleConflict(DlqError, ValueError):
    """The key belongs to another schedule, which this one may not change."""
