"""The service process of a runner: beats and upkeep, a thread for each backend, told by the parent who died."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from dlq.backend import queue_backend
from dlq.job import RunnerInfo
from dlq.runtime.maintenance import Maintenance
from dlq.runtime.page import Page
from dlq.runtime.rescue import DeadWorker

__all__ = ["SILENCE", "Service", "decode", "encode"]

logger = logging.getLogger("dlq.service")

SILENCE = 10.0
"""Seconds without a sign of life from the parent after which its runner is not beaten for any more."""


def encode(message: dict[str, Any]) -> bytes:
    """A message between parent and service, as a line."""
    return json.dumps(message, default=str).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Read what ``encode`` wrote."""
    message: dict[str, Any] = json.loads(line)
    return message


class Service:
    """Runs in the service process until the parent says stop, or is gone."""

    def __init__(
        self, runner: RunnerInfo, aliases: Sequence[str], channel: socket.socket, parent: Page
    ) -> None:
        """``channel`` leads to the parent, and ``parent`` is where it shows that it lives."""
        self._runner = runner
        self._channel = channel
        self._parent = parent
        self._stopping = threading.Event()
        self._orderly = False
        """Whether the parent said stop; else it is gone, and its workers may still be at work."""
        self._graves: dict[str, queue.SimpleQueue[DeadWorker | None]] = {
            alias: queue.SimpleQueue() for alias in aliases
        }
        self._defect: BaseException | None = None

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
        for message in self._messages():
            if message.pop("stop", False):
                self._orderly = True
                break
            self._heed(message)
        self._stopping.set()
        for graves in self._graves.values():
            graves.put(None)
        for thread in threads:
            thread.join()
        if self._defect is not None:
            raise self._defect

    def _messages(self) -> Iterator[dict[str, Any]]:
        # A parent that dies before it has heard everything resets the connection: it is gone, as at its end.
        with self._channel.makefile("rb") as lines, contextlib.suppress(ConnectionError):
            for line in lines:
                yield decode(line)

    def _heed(self, message: dict[str, Any]) -> None:
        started = [(UUID(id), token) for id, token in message.pop("started")]
        overdue = message.pop("overdue")
        graves = self._graves[message.pop("alias")]
        graves.put(DeadWorker(started=started, overdue=overdue and UUID(overdue), **message))

    def _try_to_keep(self, alias: str, graves: queue.SimpleQueue[DeadWorker | None]) -> None:
        try:
            self._keep(alias, graves)
        except BaseException as error:
            # Without its upkeep this runner would count as lost: better to end, and be started again at once.
            self._defect = error
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_RD)

    def _keep(self, alias: str, graves: queue.SimpleQueue[DeadWorker | None]) -> None:
        backend = queue_backend(alias)
        backend.store.dedicate()
        maintenance = Maintenance(self._runner, backend, may_beat=lambda: self._parent.silence() < SILENCE)
        unburied: list[DeadWorker] = []
        while True:
            wait = maintenance.step()
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
            with contextlib.suppress(OSError):  # The parent is gone: nobody waits for the word.
                self._channel.sendall(encode({"buried": dead.id}))
        return buried


def _next(graves: queue.SimpleQueue[DeadWorker | None], wait: float) -> DeadWorker | None:
    try:
        return graves.get(timeout=wait)
    except queue.Empty:
        return None
