"""Schedulers that are killed at any moment, until one finds nothing left to fire: ``python -m project.firing SEED``.

Prints how many were killed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading

import django
from django.db import connections

SCHEDULERS = 3
PAUSE = 0.1
"""Seconds between two kills, at most: time for a few steps."""
KILLS = 60
"""Then those that live are left alone."""


def main(seed: str) -> None:
    django.setup()
    from dlq_cron import scheduler  # Here, so that those who are forked need not load it.

    scheduler.BATCH = 1
    dice, killed = random.Random(seed), 0
    living = [start() for _ in range(SCHEDULERS)]
    while killed < KILLS:
        threading.Event().wait(dice.random() * PAUSE)
        struck = living.pop(dice.randrange(len(living)))
        os.kill(struck, signal.SIGKILL)
        _, status = os.waitpid(struck, 0)
        if os.WIFEXITED(status):
            break  # It had found nothing left before it was struck.
        killed += 1
        living.append(start())
    for pid in living:
        os.waitpid(pid, 0)
    print(killed)


def start() -> int:
    """A process that fires one schedule after the other."""
    if pid := os.fork():
        return pid
    try:
        fire_all()
    finally:
        os._exit(0)


def fire_all() -> None:
    from dlq_cron.scheduler import POLL, Scheduler

    connections.close_all()
    one = Scheduler("default")
    while one.step() < POLL:  # It rests for so long when nothing is due, now or later.
        pass


if __name__ == "__main__":
    main(sys.argv[1])
