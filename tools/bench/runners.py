"""A real ``queue_runner`` on a database of its own, for one measurement."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["manage", "running"]


def environment_for(
    url: str, workers: Mapping[str, Any], options: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """What a process needs to be part of the measured site; ``options`` are those of the backend."""
    return os.environ | {
        "DLQ_BENCH_DATABASE_URL": url,
        "DLQ_BENCH_WORKERS": json.dumps(workers),
        "DLQ_BENCH_OPTIONS": json.dumps(options or {}),
        "DJANGO_SETTINGS_MODULE": "bench.settings",
    }


def manage(url: str, *command: str) -> None:
    """Run a module or a command of Django on the measured site."""
    subprocess.run([sys.executable, "-m", *command], env=environment_for(url, {"*": 1}), check=True)


@contextmanager
def running(
    url: str,
    workers: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
    **environment: str,
) -> Iterator[subprocess.Popen[bytes]]:
    """A runner with these workers and options, and these additions to its environment, until the block ends."""
    with tempfile.TemporaryFile() as log:
        runner = subprocess.Popen(
            [sys.executable, "-m", "django", "queue_runner"],
            env=environment_for(url, workers, options) | environment,
            stdout=log,
            stderr=log,
        )
        try:
            yield runner
        finally:
            runner.send_signal(signal.SIGTERM)
            runner.wait()
