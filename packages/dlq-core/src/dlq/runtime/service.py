"""The service process of a runner: beats and upkeep, a thread for each backend, told by the parent who died."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from dlq.backend import queue_backend
from dlq.hooks import report_error
from dlq.logs import get_logger
from dlq.runtime.burst import is_drained
from dlq.runtime.ear import Ear
from dlq.runtime.maintenance import Maintenance
from dlq.runtime.messages import decode, encode
from dlq.runtime.page import Page
from dlq.runtime.rescue import DeadWorker
from dlq.runtime.service_thread import ServiceThread
from dlq.selectors import Selector
from dlq.services import Service as AddedService
from dlq.workers import RunnerInfo, Sight

__all__ = ["SILENCE", "Service"]

logger = get_logger("dlq.service")

SILENCE = 10.0
"""Seconds without a sign of life from the parent after which its runner is not beaten for any more."""

LAST_STEP = 2.0
"""Seconds that the last step of an added service is waited for when all else has ended."""


class Service:
    """Runs in the service process until the parent says stop, or is gone."""

    def __init__(
        self,
        runner: RunnerInfo,
        aliases: Sequence[str],
        channel: socket.socket,
        parent: Page,
        *,
        upkeep: bool = True,
        hearing: Collection[str] = (),
        burst: Mapping[str, Sequence[Selector]] | None = None,
        stopping: Callable[[], object] = lambda: None,
        added: Sequence[AddedService] = (),
    ) -> None:
        """``channel`` leads to the parent, and ``parent`` is where it shows that it lives.

        ``upkeep`` is that of ``Maintenance``. ``hearing`` are the aliases of which the parent wants to hear at once
        when jobs become ready: it has workers there. ``burst`` are the queues, by alias, of which the parent wants to
        know when no job is left in them. ``stopping`` is called when the parent says stop. ``added``
        are the services of apps.
        """
        self._runner = runner
        self._upkeep = upkeep
        self._burst = burst or {}
        self._tell_stopping = stopping
        self._writing = threading.Lock()
        self._channel = channel
        self._parent = parent
        self._stopping = threading.Event()
        self._orderly = False
        """Whether the parent said stop; else it is gone, and its workers may still be at work."""
        self._graves: dict[str, queue.SimpleQueue[DeadWorker | None]] = {
            alias: queue.SimpleQueue() for alias in aliases
        }
        self._defect: BaseException | None = None
        self._ears = [Ear(alias, partial(self._pass_on, alias)) for alias in hearing]
        self._added = [ServiceThread(service) for service in added]

    def run(self) -> None:
        """Serve until the end, then leave the stores in order.

        Raises whatever a defect of ours raised in the upkeep of a backend: the process must then be replaced.
        """
        threads = [
            threading.Thread(target=self._try_to_keep, args=(alias, graves), name=f"upkeep-{alias}")
            for alias, graves in self._graves.items()
        ]
        for thread in threads:
            thread.start()
        for ear in self._ears:
            ear.start()
        for service in self._added:
            service.start()
        for message in self._messages():
            if message.pop("stop", False):
                self._orderly = True
                self._tell_stopping()
                break
            self._heed(message)
        self._stopping.set()
        for ear in self._ears:
            ear.close()
        for service in self._added:
            service.stop()
        for graves in self._graves.values():
            graves.put(None)
        for thread in threads:
            thread.join()
        for service in self._added:
            service.join(LAST_STEP)
        if self._defect is not None:
            raise self._defect

    def _messages(self) -> Iterator[dict[str, Any]]:
        # A parent that dies before it has heard everything resets the connection: it is gone, as at its end.
        with self._channel.makefile("rb") as lines, contextlib.suppress(ConnectionError):
            for line in lines:
                yield decode(line)

    def _heed(self, message: dict[str, Any]) -> None:
        started, ended = (
            [(UUID(id), token) for id, token in message.pop(name)] for name in ("started", "ended")
        )
        overdue = message.pop("overdue")
        graves = self._graves[message.pop("alias")]
        graves.put(DeadWorker(started=started, ended=ended, overdue=overdue and UUID(overdue), **message))

    def _try_to_keep(self, alias: str, graves: queue.SimpleQueue[DeadWorker | None]) -> None:
        try:
            self._keep(alias, graves)
        except BaseException as error:
            # Without its upkeep this runner would count as lost: better to end, and be started again at once.
            self._defect = error
            report_error(error, f"upkeep of {alias!r}")
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_RD)

    def _keep(self, alias: str, graves: queue.SimpleQueue[DeadWorker | None]) -> None:
        backend = queue_backend(alias)
        backend.store.dedicate()
        burst = self._burst.get(alias, ())
        herald = _Herald(alias, self._say, burst)
        maintenance = Maintenance(
            self._runner,
            backend,
            may_beat=lambda: self._parent.silence() < SILENCE,
            saw=herald.saw,
            upkeep=self._upkeep,
        )
        unburied: list[DeadWorker] = []
        while True:
            wait = maintenance.step()
            if burst and herald.rests and is_drained(backend.inspector, burst):
                self._say({"drained": alias})
            unburied = [dead for dead in unburied if not self._bury(maintenance, dead)]
            dead = _next(graves, wait)
            if dead is not None and not self._bury(maintenance, dead):
                unburied.append(dead)
            if self._stopping.is_set() and graves.empty():
                break
        if self._orderly:
            maintenance.leave()

    def _bury(self, maintenance: Maintenance, dead: DeadWorker) -> bool:
        buried = maintenance.bury(dead)
        if buried:
            self._say({"buried": dead.id})
        return buried

    def _pass_on(self, alias: str, queues: list[str]) -> None:
        self._say({"alias": alias, "said": queues})

    def _say(self, message: dict[str, Any]) -> None:
        with self._writing, contextlib.suppress(OSError):  # The parent is gone: nobody waits for the word.
            self._channel.sendall(encode(message))


class _Herald:
    """Tells the parent what a look at a store shows, where somebody might do something about it."""

    def __init__(
        self, alias: str, say: Callable[[dict[str, Any]], None], selectors: Sequence[Selector]
    ) -> None:
        self._alias = alias
        self._say = say
        self._selectors = selectors
        self._paused: list[str] = []
        self.rests = False
        """Whether the last look has shown no ready job for these selectors."""

    def saw(self, sight: Sight) -> None:
        self.rests = not any(s.matches(queue) for s in self._selectors for queue in sight.ready)
        if not (sight.ready or sight.instructions or sight.cancellations) and sight.paused == self._paused:
            return
        self._paused = sight.paused
        self._say(
            {
                "alias": self._alias,
                "ready": sight.ready,
                "paused": sight.paused,
                "instructions": [(i.worker, i.order, i.number) for i in sight.instructions],
                "cancellations": [(c.worker, c.id, c.token, c.reason) for c in sight.cancellations],
            }
        )


def _next(graves: queue.SimpleQueue[DeadWorker | None], wait: float) -> DeadWorker | None:
    try:
        return graves.get(timeout=wait)
    except queue.Empty:
        return None
