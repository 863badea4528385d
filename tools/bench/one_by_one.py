"""Enqueue jobs for an idle runner, one when the one before has begun, and print how long each has waited.

``python -m bench.one_by_one JOBS``
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from pathlib import Path

import django

PAUSE = 0.2
"""Seconds until the next job, on average: so long that workers idle, and no word is held back."""


def main(jobs: int) -> None:
    """Print a line for each job: the seconds from the return of ``enqueue`` to the start of the task."""
    django.setup()
    from bench.tasks import tell_start

    with tempfile.TemporaryDirectory() as folder:
        pipe = Path(folder, "pipe")
        os.mkfifo(pipe)
        # Open in both directions, so that neither side waits for the other.
        starts = os.open(pipe, os.O_RDWR)
        for _ in range(jobs):
            time.sleep(PAUSE * random.uniform(0.5, 1.5))
            tell_start.enqueue(str(pipe))
            returned = time.monotonic()
            print(float(os.read(starts, 64)) - returned, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
