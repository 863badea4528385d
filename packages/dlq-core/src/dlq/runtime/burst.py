"""``is_drained``: whether a runner that runs until no job is left may end."""

from __future__ import annotations

from collections.abc import Sequence

from dlq.selectors import Selector
from dlq.states import State
from dlq.store.inspector import Inspector

__all__ = ["is_drained"]


def is_drained(inspector: Inspector, selectors: Sequence[Selector]) -> bool:
    """Whether no job of these queues is ready, in a queue that is not paused, or runs.

    Jobs that are scheduled for later are not waited for. Both states are read at once: a job that runs may
    enqueue others until it ends.
    """
    return not any(
        counts.states.get(State.RUNNING) or (counts.states.get(State.READY) and not counts.paused)
        for counts in inspector.counts()
        if any(selector.matches(counts.queue) for selector in selectors)
    )
