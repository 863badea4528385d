"""What can happen: each fault strikes, lasts for a time that its dice decide, and is over when the function returns."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Callable, Iterator
from typing import Protocol

from chaos.field import THRESHOLD, Field
from chaos.grounds import RedisGround, SQLiteGround
from proxy import Proxy

__all__ = ["EVERYWHERE", "FAULTS", "OUTAGES", "WORDS"]

EVERYWHERE = frozenset(
    {"kill_child", "kill_parent", "kill_runner", "stall_child", "stall_parent", "stall_runner", "stop_runner"}
)
"""The faults of processes, which every store has to bear."""
STEP = 600
"""Seconds that a clock is suddenly off."""


class Fault(Protocol):
    """One kind of fault."""

    def __call__(self, field: Field, dice: random.Random) -> None:
        """Do it, and have it end."""


FAULTS: dict[str, Fault] = {}
OUTAGES: set[str] = set()
"""Those that are the store's alone: no runner may be declared lost for them."""
WORDS: dict[str, str] = {}
"""What each is, for people."""


def fault(words: str, *, outage: bool = False) -> Callable[[Fault], Fault]:
    def add(function: Fault) -> Fault:
        name: str = function.__name__  # type: ignore[attr-defined]
        FAULTS[name] = function
        WORDS[name] = words
        if outage:
            OUTAGES.add(name)
        return function

    return add


def beyond(dice: random.Random) -> float:
    """Seconds after which whoever does not beat is lost."""
    return THRESHOLD * dice.uniform(1.3, 1.7)


def a_while(dice: random.Random) -> float:
    """Seconds that may be longer than the threshold, and seldom are."""
    return dice.choice([0.3, 0.6, 1.0, 1.3 * THRESHOLD])


# --- Processes


def signal_to(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


@contextlib.contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        signal_to(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            signal_to(pid, signal.SIGCONT)


@fault("SIGKILL of a worker or of the service process")
def kill_child(field: Field, dice: random.Random) -> None:
    if children := sorted(dice.choice(field.runners).children()):
        signal_to(dice.choice(children), signal.SIGKILL)


@fault("SIGKILL of a parent; its children are orphans")
def kill_parent(field: Field, dice: random.Random) -> None:
    seat = dice.randrange(len(field.runners))
    field.runners[seat].send(signal.SIGKILL)
    field.replace(seat)


@fault("SIGKILL of a runner with all its processes")
def kill_runner(field: Field, dice: random.Random) -> None:
    seat = dice.randrange(len(field.runners))
    field.runners[seat].end()
    field.replace(seat)


@fault("SIGTERM of a runner: a deploy")
def stop_runner(field: Field, dice: random.Random) -> None:
    seat = dice.randrange(len(field.runners))
    field.runners[seat].send(signal.SIGTERM)
    field.replace(seat)


@fault("SIGSTOP of a worker or of the service process, past the threshold, then SIGCONT")
def stall_child(field: Field, dice: random.Random) -> None:
    if children := sorted(dice.choice(field.runners).children()):
        with stopped([dice.choice(children)]):
            field.rest(beyond(dice))


@fault("SIGSTOP of a parent, past the threshold, then SIGCONT")
def stall_parent(field: Field, dice: random.Random) -> None:
    with stopped([dice.choice(field.runners).pid]):
        field.rest(beyond(dice))


@fault("SIGSTOP of a runner with all its processes, past the threshold, then SIGCONT")
def stall_runner(field: Field, dice: random.Random) -> None:
    runner = dice.choice(field.runners)
    with stopped([runner.pid, *runner.children()]):
        field.rest(beyond(dice))


# --- The server


@fault("kill -9 of the server, then a new start", outage=True)
def crash(field: Field, dice: random.Random) -> None:
    field.ground.crash()
    field.rest(a_while(dice))
    field.ground.start()


@fault("stop of the server, then a new start", outage=True)
def restart(field: Field, dice: random.Random) -> None:
    field.ground.stop()
    field.rest(a_while(dice))
    field.ground.start()


@fault("every connection ended by the server", outage=True)
def sessions(field: Field, dice: random.Random) -> None:
    for _ in range(dice.randrange(1, 4)):
        field.ground.end_sessions()
        field.rest(0.1)


@fault("a lock on the whole file", outage=True)
def lock(field: Field, dice: random.Random) -> None:
    assert isinstance(field.ground, SQLiteGround)
    with field.ground.locked():
        field.rest(a_while(dice))


@fault("no room on the disk", outage=True)
def full_disk(field: Field, dice: random.Random) -> None:
    with field.ground.full():
        field.rest(a_while(dice))


@fault("no memory for more data", outage=True)
def full_memory(field: Field, dice: random.Random) -> None:
    assert isinstance(field.ground, RedisGround)
    with field.ground.out_of_memory():
        field.rest(a_while(dice))


# --- Clocks


@fault("the server's clock ten minutes off", outage=True)
def server_clock(field: Field, dice: random.Random) -> None:
    assert field.ground.clock is not None
    field.ground.clock.set(dice.choice([-STEP, STEP]))
    field.rest(1.5)
    field.ground.clock.set(0)


@fault("the clocks of the runners ten minutes off", outage=True)
def runner_clock(field: Field, dice: random.Random) -> None:
    assert field.clock is not None
    field.clock.set(dice.choice([-STEP, STEP]))
    field.rest(1.5)
    field.clock.set(0)


# --- The network


def proxy_of(field: Field) -> Proxy:
    assert field.proxy is not None
    return field.proxy


@fault("a network that is slow", outage=True)
def delay(field: Field, dice: random.Random) -> None:
    proxy = proxy_of(field)
    proxy.delay = dice.uniform(0.01, 0.1)
    field.rest(1.0)
    proxy.delay = 0.0


@fault("a network that swallows everything", outage=True)
def stall(field: Field, dice: random.Random) -> None:
    proxy = proxy_of(field)
    proxy.stall = True
    field.rest(a_while(dice))
    proxy.stall = False


@fault("every connection reset", outage=True)
def cut(field: Field, dice: random.Random) -> None:
    for _ in range(dice.randrange(1, 4)):
        proxy_of(field).cut()
        field.rest(0.1)


@fault("every connection reset in the middle of a reply", outage=True)
def cut_in_reply(field: Field, dice: random.Random) -> None:
    proxy = proxy_of(field)
    proxy.cut_in_reply = True
    field.rest(dice.uniform(0.1, 0.3))
    proxy.cut_in_reply = False


@fault("connections reset and new ones refused", outage=True)
def refuse(field: Field, dice: random.Random) -> None:
    proxy = proxy_of(field)
    proxy.refuse = True
    proxy.cut()
    field.rest(a_while(dice))
    proxy.refuse = False


@fault("requests carried out whose replies are lost", outage=True)
def lost_reply(field: Field, dice: random.Random) -> None:
    proxy = proxy_of(field)
    proxy.withhold_replies = True
    field.rest(dice.uniform(0.1, 0.5))
    proxy.cut()
    proxy.withhold_replies = False
