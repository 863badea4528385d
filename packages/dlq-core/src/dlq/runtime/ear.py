"""``Ear``: listens to the store of one backend, so that nobody waits for the next look at it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from dlq.backend import QueueBackend, queue_backend
from dlq.errors import StoreError
from dlq.runtime.lasting import LastingThread
from dlq.runtime.outage import Outage

__all__ = ["Ear"]

AT_A_TIME = 1.0
"""Seconds that one call listens, after which the ear looks whether it is still wanted."""


class Ear:
    """A thread that listens, and passes on at once what it hears, whatever becomes of the store."""

    def __init__(self, alias: str, heard: Callable[[list[str]], object]) -> None:
        """``heard`` is called in that thread, with queues that are said to have ready jobs."""
        self._alias = alias
        self._tell = heard
        self._closing = threading.Event()
        self._thread = LastingThread(f"dlq-ear-{alias}", self._listen, self._closing)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Listen no more; the thread ends soon."""
        self._closing.set()

    def join(self) -> None:
        """Wait for the end of the thread, unless the store does not answer: then it is left behind."""
        self._thread.join(2 * AT_A_TIME)

    def _listen(self) -> None:
        backend = queue_backend(self._alias)
        outage = Outage(f"Wake-ups of {self._alias!r}", longest=min(1.0, backend.config.heartbeat_interval))
        may_hear = True
        while may_hear and not self._closing.is_set():
            try:
                may_hear = self._listen_once(backend)
                outage.over()
            except StoreError as error:
                self._closing.wait(outage.failed(error))
        with contextlib.suppress(StoreError):  # Whether it says goodbye makes no difference to the store.
            backend.store.close()

    def _listen_once(self, backend: QueueBackend) -> bool:
        """Whether there is anything to be heard from this store, now or later."""
        backend.store.dedicate()
        heard = backend.store.listen(AT_A_TIME)
        if heard:
            self._tell(sorted(heard))
        return heard is not None
