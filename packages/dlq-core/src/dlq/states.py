"""The states of a job, and the one table of the transitions between them."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType

from django.tasks import TaskResultStatus

__all__ = ["FINISHED", "LIVE", "TRANSITIONS", "WAITING", "State", "Waits"]


class State(IntEnum):
    """Where a job is in its life. The numbers are stored: they never change their meaning."""

    SCHEDULED = 1
    """Waits for its time; a promotion makes it ready."""
    BLOCKED = 2
    """Waits for something other than time: a slot, a rate, other jobs, or a worker that knows its task."""
    READY = 3
    """May be claimed now."""
    RUNNING = 4
    """Held by a worker, with a token."""
    SUCCEEDED = 5
    """The task returned."""
    FAILED = 6
    """The task raised for the last time, or its worker was lost for the last time."""
    CANCELLED = 7
    """It will not run, because somebody or something decided so."""

    @property
    def label(self) -> str:
        """The state's name as people read it, in lower case."""
        return self.name.lower()

    @property
    def status(self) -> TaskResultStatus:
        """What ``django.tasks`` calls this state."""
        return _DJANGO_STATUS[self]

    def may_become(self, other: State) -> bool:
        """Whether the table allows the transition from this state to the other."""
        return other in TRANSITIONS[self]


class Waits(IntEnum):
    """What a blocked job waits for. The numbers are stored: they never change their meaning."""

    TASK = 1
    """A worker that knows its task."""
    LIMIT = 2
    """A slot of its key."""

    @property
    def label(self) -> str:
        """What it waits for, in words."""
        return _WAITS_FOR[self]


LIVE = frozenset({State.SCHEDULED, State.BLOCKED, State.READY, State.RUNNING})
WAITING = LIVE - {State.RUNNING}
FINISHED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

TRANSITIONS = MappingProxyType(
    {
        # Promotion, or a reason other than time to wait; expiry; a person's decision.
        State.SCHEDULED: frozenset({State.READY, State.BLOCKED, State.FAILED, State.CANCELLED}),
        State.BLOCKED: frozenset({State.READY, State.FAILED, State.CANCELLED}),
        State.READY: frozenset({State.RUNNING, State.BLOCKED, State.FAILED, State.CANCELLED}),
        # Settled for good; retried later; handed back or rescued; parked because its task is unknown.
        State.RUNNING: frozenset(
            {State.SUCCEEDED, State.FAILED, State.CANCELLED, State.SCHEDULED, State.READY, State.BLOCKED}
        ),
        State.SUCCEEDED: frozenset(),
        # A retry by hand; a person who has seen it and needs it no more.
        State.FAILED: frozenset({State.READY, State.SCHEDULED, State.BLOCKED, State.CANCELLED}),
        # A retry by hand.
        State.CANCELLED: frozenset({State.READY, State.SCHEDULED, State.BLOCKED}),
    }
)

_WAITS_FOR = {Waits.TASK: "a worker that knows its task", Waits.LIMIT: "a slot of its key"}

_DJANGO_STATUS = {
    State.SCHEDULED: TaskResultStatus.READY,
    State.BLOCKED: TaskResultStatus.READY,
    State.READY: TaskResultStatus.READY,
    State.RUNNING: TaskResultStatus.RUNNING,
    State.SUCCEEDED: TaskResultStatus.SUCCESSFUL,
    State.FAILED: TaskResultStatus.FAILED,
    State.CANCELLED: TaskResultStatus.FAILED,
}
