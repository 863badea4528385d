"""Jobs run inside of gunicorn's workers.

In ``gunicorn.conf.py``::

    from dlq.contrib.gunicorn import post_fork, worker_exit

Each worker process has a runner of its own, with ``preload_app`` and without, which heeds no signals. The
workers must be of the classes ``sync`` or ``gthread``.
"""

from __future__ import annotations

import threading
from typing import Any

from django.apps import apps

from dlq import conf
from dlq.logs import get_logger
from dlq.runtime.inprocess import InProcessRunner

__all__ = ["post_fork", "worker_exit"]

logger = get_logger("dlq.runner")

SHARE = 0.8
"""How much of the time that gunicorn gives a worker to end is for running jobs; the rest is to hand them back."""


class _Embedded:
    """The runner of this process, from the moment that the site is loaded."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._stopped = False
        self._runner: InProcessRunner | None = None

    def start(self) -> None:
        # Without preload_app gunicorn loads the site only after post_fork.
        threading.Thread(target=self._start, name="dlq-start", daemon=True).start()

    def _start(self) -> None:
        apps.ready_event.wait()
        with self._starting:
            if self._stopped:
                return
            try:
                runner = InProcessRunner.from_settings()
                runner.start()
            except Exception:
                logger.exception("The runner cannot start; this worker serves requests only.")
            else:
                self._runner = runner

    def stop(self, patience: float) -> None:
        with self._starting:
            self._stopped = True
            if self._runner is not None:
                self._runner.stop(min(patience, conf.load().shutdown_timeout))


_embedded: _Embedded | None = None


def post_fork(server: Any, worker: Any) -> None:
    """Start a runner in this worker, as soon as the site is loaded. Hook of gunicorn."""
    global _embedded
    _embedded = _Embedded()
    _embedded.start()


def worker_exit(server: Any, worker: Any) -> None:
    """Stop this worker's runner: before gunicorn loses its patience, whatever runs is handed back. Hook of gunicorn."""
    if _embedded is not None:
        _embedded.stop(_patience(worker.cfg))


def _patience(config: Any) -> float:
    """Seconds that jobs may still run: gunicorn kills a worker after the shorter of these, of which 0 is none."""
    limits = [config.graceful_timeout, config.timeout]
    return SHARE * min((seconds for seconds in limits if seconds), default=float("inf"))
