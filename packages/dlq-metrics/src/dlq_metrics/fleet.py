"""``Fleet``: the last snapshot of each backend, read anew when it is old, and never waited for longer than a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dlq.backend import queue_backend
from dlq.conf import our_aliases
from dlq.errors import ConfigError, StoreError
from dlq.logs import get_logger
from dlq_metrics import gauges
from dlq_metrics.gauges import Snapshot

__all__ = ["Fleet", "Seen"]

logger = get_logger("dlq.metrics")

MAX_AGE = 5.0
"""Seconds for which a snapshot is told again, at least."""
REST = 20
"""How many times as long as it took to read a snapshot is told again: a large store is not read all the time."""
OVERDUE = 3.0
"""Seconds after which a store that has not answered counts as down."""
INTEREST = 120.0
"""Seconds for which snapshots are kept fresh after somebody has asked."""
PATIENCE = 0.8
"""Seconds that a scrape waits for stores, all together."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a backend."""

    alias: str
    snapshot: Snapshot | None
    """The last that was read, however old; None before the first."""
    up: bool
    """Whether the store has answered the last question, and in time."""


class _Watch:
    """One backend. It is read by one thread at a time, which ends when the store has answered or timed out."""

    def __init__(self, alias: str, read: Callable[[str], Snapshot]) -> None:
        self.alias = alias
        self._read = read
        self._snapshot: Snapshot | None = None
        self._asked_at = self._told_until = float("-inf")
        self._failed = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def refresh(self) -> threading.Thread | None:
        """Begin to read, if what is known is old; returns the thread that reads."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return self._thread
            now = time.monotonic()
            if now < self._told_until:
                return None
            self._asked_at = now
            self._thread = threading.Thread(target=self._run, name=f"dlq-metrics-{self.alias}", daemon=True)
            self._thread.start()
            return self._thread

    def seen(self) -> Seen:
        """What is known now."""
        with self._lock:
            reading = self._thread is not None and self._thread.is_alive()
            overdue = reading and time.monotonic() - self._asked_at > OVERDUE
            return Seen(
                self.alias, self._snapshot, up=bool(self._snapshot and not self._failed and not overdue)
            )

    def _run(self) -> None:
        try:
            snapshot = self._read(self.alias)
        except (StoreError, ConfigError) as error:
            logger.warning("The figures of backend %r cannot be read: %s", self.alias, error)
            self._note(None)
        except Exception:
            logger.exception("The figures of backend %r cannot be read because of a defect.", self.alias)
            self._note(None)
        else:
            self._note(snapshot)

    def _note(self, snapshot: Snapshot | None) -> None:
        with self._lock:
            self._failed = snapshot is None
            self._snapshot = snapshot or self._snapshot
            now = time.monotonic()
            self._told_until = now + max(MAX_AGE, REST * (now - self._asked_at))
            self._thread = None


def _read_alone(alias: str) -> Snapshot:
    """In a thread of its own, so with connections of its own, which have timeouts."""
    store = queue_backend(alias).store
    try:
        store.dedicate()
        return gauges.read(alias)
    finally:
        store.close()


class Fleet:
    """All backends of a process, for everybody who asks in it."""

    def __init__(
        self,
        aliases: Callable[[], Sequence[str]] = our_aliases,
        read: Callable[[str], Snapshot] = _read_alone,
    ) -> None:
        """``aliases`` says which backends there are, and ``read`` asks the store of one."""
        self._aliases = aliases
        self._read = read
        self._watches: dict[str, _Watch] = {}
        self._wanted_until = float("-inf")

    def stay_fresh(self) -> None:
        """Read anew what is old, if somebody has asked lately: he will then not wait the next time."""
        if time.monotonic() < self._wanted_until:
            for watch in list(self._watches.values()):
                watch.refresh()

    def seen(self, patience: float = PATIENCE) -> list[Seen]:
        """What is known of each backend after so many seconds at most."""
        self._wanted_until = time.monotonic() + INTEREST
        watches = [self._watches.setdefault(alias, _Watch(alias, self._read)) for alias in self._aliases()]
        threads = [watch.refresh() for watch in watches]
        deadline = time.monotonic() + patience
        for thread in threads:
            if thread is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return [watch.seen() for watch in watches]
