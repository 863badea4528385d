"""``ServiceThread``: a thread for a service that an app has added."""

from __future__ import annotations

import threading

from dlq.errors import StoreError
from dlq.runtime.lasting import LastingThread
from dlq.runtime.outage import Outage
from dlq.services import Service

__all__ = ["ServiceThread"]

LONGEST_PAUSE = 1.0
"""Seconds between two tries while a store does not answer, at most."""


class ServiceThread:
    """Lets a service take its steps, through outages and defects, until it is told to stop."""

    def __init__(self, service: Service) -> None:
        """Nothing is called before ``start``."""
        self._service = service
        self._stopping = threading.Event()
        self._thread = LastingThread(f"dlq-{service.name}", self._serve, self._stopping)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Let the step that is under way be the last."""
        self._stopping.set()

    def join(self, longest: float) -> bool:
        """Wait for so many seconds until it has ended; returns whether it has."""
        self._thread.join(longest)
        return not self._thread.is_alive

    def _serve(self) -> None:
        outage = Outage(f"The service {self._service.name}", longest=LONGEST_PAUSE)
        try:
            while not self._stopping.is_set():
                try:
                    pause = self._service.step()
                    outage.over()
                except StoreError as error:
                    pause = outage.failed(error)
                self._stopping.wait(pause)
        finally:
            self._service.close()
