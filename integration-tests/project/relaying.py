"""Those who commit and those who relay, killed at any moment, beside the children of a runner:
``python -m project.relaying SEED KILLS RUNNER``, the last being the process id of the runner.

Each commit has a job, and a row that says so; a third is rolled back. Prints how many of each kind were killed.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import django
from django.db import DatabaseError, connections, transaction

PAUSE = 0.1
"""Seconds between two kills, at most."""
CREWS = {"producer": 3, "relay": 2}
STRIKES = ("producer",) * 4 + ("relay",) * 4 + ("runner's child",)


def main(seed: str, kills: str, runner: str) -> None:
    django.setup()
    importlib.import_module("dlq_redis.relaying")  # Here, so that those who are forked need not load it.
    importlib.import_module("project.tasks")
    dice, killed = random.Random(int(seed)), Counter[str]()
    living = {name: [start(name, dice.random()) for _ in range(count)] for name, count in CREWS.items()}
    while killed.total() < int(kills):
        threading.Event().wait(dice.random() * PAUSE)
        kind = dice.choice(STRIKES)
        if kind in living:
            kill(living[kind].pop(dice.randrange(len(living[kind]))))
            living[kind].append(start(kind, dice.random()))
        elif children := Path(f"/proc/{runner}/task/{runner}/children").read_text().split():
            os.kill(int(dice.choice(children)), signal.SIGKILL)
        else:
            continue
        killed[kind] += 1
    for pid in (pid for crew in living.values() for pid in crew):
        kill(pid)
    print(json.dumps(killed))


def start(kind: str, seed: float) -> int:
    if pid := os.fork():
        return pid
    try:
        connections.close_all()
        WORK[kind](random.Random(seed))
    finally:
        os._exit(1)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        raise SystemExit(f"{pid} ended by itself, with {status}.")


def produce(dice: random.Random) -> None:
    from dlq.errors import EnqueueError
    from project.shop.models import Customer
    from project.tasks import noop

    rows = Customer._default_manager
    while True:
        try:
            with transaction.atomic():
                rows.create(name=noop.enqueue().id)
                transaction.set_rollback(dice.random() < 1 / 3)
        except (DatabaseError, EnqueueError):  # SQLite has one writer at a time.
            threading.Event().wait(0.01)
        threading.Event().wait(dice.random() * 0.01)


def relay(dice: random.Random) -> None:
    from dlq import queue_backend
    from dlq.errors import StoreError
    from dlq_redis.backends import ReliableRedisBackend
    from dlq_redis.outbox import OutboxStore
    from dlq_redis.relaying import Relay

    backend = queue_backend()
    assert isinstance(backend, ReliableRedisBackend)
    store = backend.make_store()
    assert isinstance(store, OutboxStore)
    one = Relay(store, every=0.0)
    while True:
        try:
            one.step()
        except StoreError:
            threading.Event().wait(0.01)
        threading.Event().wait(dice.random() * 0.01)


WORK: dict[str, Callable[[random.Random], None]] = {"producer": produce, "relay": relay}

if __name__ == "__main__":
    main(*sys.argv[1:])
