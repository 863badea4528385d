"""One process of a runner as a source of figures: set up before any fork, and told by hooks what it has become."""

from __future__ import annotations

import os
import time

from dlq.hooks import Process, register_hook
from dlq.signals import store_called
from dlq_metrics.channel import Channel
from dlq_metrics.events import Events
from dlq_metrics.figures import Figures

__all__ = ["Collecting", "collecting"]

EVERY = 1.0
"""Seconds between two reports of a worker."""


class Collecting:
    """What this process counts, and the way to the service."""

    def __init__(self) -> None:
        """Nothing is counted before a runner starts."""
        self.figures = Figures()
        self.channel: Channel | None = None
        self._events = Events(self.figures)
        self._sends = False
        self._sent_at = 0.0

    def register(self) -> None:
        """Follow the life of every runner that starts here."""
        register_hook("runner.start", self._start)
        register_hook("worker.start", self._begin_to_send)
        register_hook("worker.exit", self._send)
        register_hook("runner.exit", self._end)
        os.register_at_fork(after_in_child=self._forget)

    def _start(self, process: Process) -> None:
        if self.channel is None:
            self.channel = Channel()
            store_called.connect(self._called, weak=False, dispatch_uid="dlq_metrics")

    def _end(self, process: Process) -> None:
        if self.channel is not None:
            store_called.disconnect(dispatch_uid="dlq_metrics")
            self.channel.close()
            self.channel = None

    def _begin_to_send(self, process: Process) -> None:
        self._sends = True

    def _forget(self) -> None:
        """A fork counts what it sees itself. Its parent's locks may be held by threads that it does not have."""
        self.figures = Figures()
        self._events = Events(self.figures)
        self._sends = False

    def _called(self, sender: object, **call: object) -> None:
        self._events(**call)  # type: ignore[arg-type]
        if self._sends and time.monotonic() - self._sent_at >= EVERY:
            self._send()

    def _send(self, process: Process | None = None) -> None:
        if self.channel is not None:
            self._sent_at = time.monotonic()
            self.figures.merge(self.channel.send(self.figures.take()))


collecting = Collecting()
"""Of this process."""
