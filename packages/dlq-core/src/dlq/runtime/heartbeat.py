"""Who lives: judged by a number that grows, and the judge's own clock. Pure; the service calls it."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PeerWatch"]


class PeerWatch:
    """Watches the beats of the other runners of a store.

    A runner is lost when the same beat was read again and again for ``threshold`` seconds of this process's
    monotonic clock, by readings that also wrote this runner's own beat. Time in which the store could not
    be read or written counts for nobody: after a gap between readings, every observation starts anew. So
    neither an outage nor a step of any clock makes a living runner look dead.
    """

    def __init__(self, own: str, threshold: float) -> None:
        """``own`` is the id of the runner that watches; ``threshold`` is in seconds."""
        self._own = own
        self._threshold = threshold
        self._seen: dict[str, tuple[int, float]] = {}
        self._read_at: float | None = None

    def observe(self, beats: Mapping[str, int], now: float) -> list[tuple[str, int]]:
        """Take note of a reading at the monotonic time ``now``.

        Returns the runners that are lost, each with the beat that stood still.
        """
        if self._read_at is None or now - self._read_at > self._threshold / 2:
            self._seen = {}
        self._read_at = now
        self._seen = {
            runner: known
            if (known := self._seen.get(runner)) is not None and known[0] == beat
            else (beat, now)
            for runner, beat in beats.items()
            if runner != self._own
        }
        return [
            (runner, beat) for runner, (beat, since) in self._seen.items() if now - since >= self._threshold
        ]
