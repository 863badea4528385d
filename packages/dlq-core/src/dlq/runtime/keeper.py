"""``Keeper``: the upkeep of one backend, as a thread of a process that does everything."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence

from dlq.backend import QueueBackend, queue_backend
from dlq.errors import StoreError
from dlq.logs import get_logger
from dlq.runtime.burst import is_drained
from dlq.runtime.lasting import LastingThread
from dlq.runtime.maintenance import Maintenance
from dlq.runtime.outage import Outage
from dlq.runtime.rescue import DeadWorker
from dlq.selectors import Selector
from dlq.workers import RunnerInfo, Sight

__all__ = ["Keeper"]

logger = get_logger("dlq.service")

ASK_AGAIN = 0.5
"""Seconds until a store that did not take a dead worker's jobs back is asked again, at the latest."""


class Keeper:
    """Makes the runner known to a store, beats for it, and does its upkeep until it leaves."""

    def __init__(
        self,
        runner: RunnerInfo,
        alias: str,
        *,
        upkeep: bool,
        entered: Callable[[], object],
        saw: Callable[[Sight], object],
        burst: Sequence[Selector] = (),
        drained: Callable[[], object] = lambda: None,
    ) -> None:
        """All callables are called in the keeper's thread.

        ``entered``: the store knows the runner, so that its workers may register. ``saw``: a look at the store
        has shown something that workers want to know. ``drained``: no job is left in the queues of ``burst``;
        called again while that is so.
        """
        self.alias = alias
        self._runner = runner
        self._upkeep = upkeep
        self._entered = entered
        self._tell = saw
        self._burst = burst
        self._drained = drained
        self._has_entered = False
        self._paused: list[str] = []
        self._rests = False
        """Whether the last look has shown no ready job in the queues of the burst."""
        self._graves: queue.SimpleQueue[DeadWorker | None] = queue.SimpleQueue()
        self._unburied: list[DeadWorker] = []
        self._leaving = threading.Event()
        self._leave_by = float("inf")
        self._thread = LastingThread(f"dlq-upkeep-{alias}", self._keep, self._leaving)

    # --- Called from other threads ---

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def bury(self, dead: DeadWorker) -> None:
        """Take back what a worker held that has ended without settling it; soon, and until the store has done it."""
        self._graves.put(dead)

    def leave(self, by: float) -> None:
        """Take back what is open, say goodbye to the store and end, at this monotonic time at the latest."""
        self._leave_by = by
        self._leaving.set()
        self._graves.put(None)

    def has_left(self, by: float) -> bool:
        """Whether it has ended, waiting for it until this monotonic time."""
        self._thread.join(by - time.monotonic())
        return not self._thread.is_alive

    # --- The thread ---

    def _keep(self) -> None:
        backend = queue_backend(self.alias)
        if not self._enter(backend):
            return
        maintenance = Maintenance(self._runner, backend, saw=self._saw, upkeep=self._upkeep)
        while True:
            wait = maintenance.step()
            if self._rests and self._burst and is_drained(backend.inspector, self._burst):
                self._drained()
            self._unburied = [dead for dead in self._unburied if not maintenance.bury(dead)]
            if self._leaving.is_set() and (self._is_done() or time.monotonic() >= self._leave_by):
                break
            self._wait(min(wait, ASK_AGAIN) if self._unburied else wait)
        maintenance.leave()

    def _enter(self, backend: QueueBackend) -> bool:
        """Register the runner, waiting for the store; False when told to leave before that."""
        outage = Outage(f"Backend {self.alias!r}", longest=10.0)
        while True:
            try:
                backend.store.dedicate()
                backend.store.ping()
                if not self._has_entered:
                    backend.store.register_runner(self._runner)
                    self._has_entered = True
                break
            except StoreError as error:
                if self._leaving.wait(outage.failed(error)):
                    return False
        outage.over()
        self._entered()
        return True

    def _saw(self, sight: Sight) -> None:
        self._rests = not any(selector.matches(queue) for selector in self._burst for queue in sight.ready)
        if sight.ready or sight.instructions or sight.cancellations or sight.paused != self._paused:
            self._paused = sight.paused
            self._tell(sight)

    def _wait(self, seconds: float) -> None:
        with contextlib.suppress(queue.Empty):
            dead = self._graves.get(timeout=seconds)
            if dead is not None:
                self._unburied.append(dead)

    def _is_done(self) -> bool:
        return not self._unburied and self._graves.empty()
