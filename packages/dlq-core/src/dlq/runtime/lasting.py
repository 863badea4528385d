"""``LastingThread``: a thread whose work begins anew when a defect has ended it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dlq.hooks import report_error
from dlq.logs import get_logger
from dlq.runtime.seat import HEALTHY_AFTER, LONGEST_PAUSE

__all__ = ["LastingThread"]

logger = get_logger("dlq.runner")


class LastingThread:
    """Does its work until that returns. A daemon: a job that never ends must not keep the process from ending."""

    def __init__(
        self,
        name: str,
        work: Callable[[], object],
        ending: threading.Event,
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        """Work that raised is begun anew, after a pause, until ``ending`` is set. ``ended`` is called last."""
        self._work = work
        self._ending = ending
        self._tell_end = ended
        self._has_ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin the work."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the work goes on, or will: not any more once ``ended`` is called."""
        return not self._has_ended

    def join(self, longest: float) -> None:
        """Wait for the end of the work, for so many seconds."""
        self._thread.join(max(0.0, longest))

    def _run(self) -> None:
        deaths = 0
        try:
            while True:
                began = time.monotonic()
                if self._does_end():
                    return
                deaths = 1 if time.monotonic() - began > HEALTHY_AFTER else deaths + 1
                if self._ending.wait(_pause_after(deaths)):
                    return
        finally:
            self._has_ended = True
            self._tell_end()

    def _does_end(self) -> bool:
        try:
            self._work()
        except BaseException as error:
            # Also SystemExit, which would end the thread without a word.
            logger.exception("The thread %s failed through a defect.", self._thread.name)
            report_error(error, f"the thread {self._thread.name}")
            return False
        return True


def _pause_after(deaths: int) -> float:
    """Seconds until the next try, as for the children of a runner."""
    return 0.0 if deaths <= 1 else min(LONGEST_PAUSE, 0.1 * 2 ** min(deaths, 16))
