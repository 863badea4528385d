"""Tasks that tell what a job finds in its process, for tests to compare."""

from __future__ import annotations

import locale
import os
import signal
import sys
import threading
from functools import cache
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import translation

from dlq import task

MARKER = "DLQ_PROJECT_MARKER"
STRAY = "stray"
OTHER_THREADS = (STRAY, "ThreadPoolExecutor-", "asyncio_")
"""Names of threads that come and go: those that a task here has left, and those of pools that libraries keep."""


def world() -> dict[str, Any]:
    """What tasks might have changed, as JSON can hold it."""
    return {
        "working directory": os.getcwd(),  # noqa: PTH109
        "umask": _umask(),
        "locale": locale.setlocale(locale.LC_ALL),
        "language": translation.get_language(),
        "recursion limit": sys.getrecursionlimit(),
        "handlers": {number.name: _name(signal.getsignal(number)) for number in signal.Signals},
        "blocked signals": sorted(int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "timers": [signal.getitimer(kind)[0] > 0 for kind in range(3)],
        "descriptors": [[os.fstat(number).st_dev, os.fstat(number).st_ino] for number in range(3)],
        "streams": [[stream.fileno(), stream.closed] for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "threads": sorted(t.name for t in threading.enumerate() if not t.name.startswith(OTHER_THREADS)),
    }


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def _name(handler: Any) -> str:
    return getattr(handler, "__qualname__", None) or str(handler)


@cache
def _meeting(size: int) -> threading.Barrier:
    return threading.Barrier(size, timeout=10)


@task
def probe(together: int) -> dict[str, Any]:
    """So many probes run at a time, so that each thread is looked at."""
    found = _findings(look_at_database())
    _meeting(together).wait()
    return found


@task
async def probe_on_loop() -> dict[str, Any]:
    return _findings(await sync_to_async(look_at_database)())


def _findings(database: list[Any]) -> dict[str, Any]:
    marker = os.environ.get(MARKER)
    return {"process": os.getpid(), "database": database, "environment": marker, "world": world()}


def look_at_database() -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 42")
        return [cursor.fetchone()[0], connection.in_atomic_block, connection.get_autocommit()]
