from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from pytest_django import Settings

from dlq import MemoryBackend, State
from dlq.job import Claim, Outcome
from dlq.runtime.messages import decode, encode
from dlq.runtime.page import Page
from dlq.runtime.service import SILENCE, Service
from dlq.selectors import Selector
from dlq.services import Service as AddedService
from dlq.store import MemoryInspector, MemoryStore
from dlq.testing.contract.builders import add, claim, record, register, runner_info, state_of
from dlq.workers import Order

Threads = Callable[..., threading.Thread]

LATE = 30.0
"""Seconds that no test waits."""


class Parent:
    """The parent's side of a service that runs in threads of the test."""

    def __init__(self, start: Threads, *aliases: str, alive: bool = True, **options: Any) -> None:
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(LATE)
        self.theirs = theirs
        self.page = Page()
        if alive:
            self.page.touch()
        self.service = Service(runner_info(), aliases or ("default",), theirs, self.page, **options)
        self.thread = start(self.service.run)
        self._lines = self.channel.makefile("rb")

    def tell(self, **message: Any) -> None:
        self.channel.sendall(encode(message))

    def tell_of_death(self, worker: str, *started: Claim, alias: str = "default", **known: Any) -> None:
        plain = {"reason": "exited with signal 9 (SIGKILL)", "overdue": None, "deliberate": False}
        held = [(str(claim.id), claim.token) for claim in started]
        self.tell(**{"id": worker, "alias": alias, "started": held, "ended": [], **plain, **known})

    def hear(self, what: str = "buried") -> dict[str, Any]:
        """The next message of this kind."""
        while what not in (message := decode(self._lines.readline())):
            pass
        return message

    def hang_up(self) -> None:
        self._lines.close()
        self.channel.close()

    def close(self) -> None:
        if self.channel.fileno() >= 0:
            self.channel.shutdown(socket.SHUT_RDWR)
            self.hang_up()
        self.thread.join(LATE)
        self.theirs.close()

    @property
    def has_ended(self) -> bool:
        self.thread.join(LATE)
        return not self.thread.is_alive()


@pytest.fixture
def parent(faulty: MemoryBackend, store: Any, in_thread: Threads) -> Iterator[Callable[..., Parent]]:
    store.register_runner(runner_info())
    parents: list[Parent] = []

    def make(*aliases: str, **options: Any) -> Parent:
        parents.append(Parent(in_thread, *aliases, **options))
        return parents[-1]

    yield make
    for one in parents:
        one.close()


def runners(store: MemoryStore) -> list[str]:
    return [runner.id for runner in MemoryInspector(store).runners()]


# --- Messages ---


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"stop": True},
        {"buried": "host-1-a2f4/17"},
        {"id": "ü\n\x00", "started": [["a", 2**62]], "overdue": None, "deliberate": False},
    ],
)
def test_a_message_arrives_as_it_was_sent(message: dict[str, Any]) -> None:
    line = encode(message)
    assert decode(line) == message
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")


def test_an_id_travels_as_text() -> None:
    id = UUID(int=7)
    assert decode(encode({"overdue": id})) == {"overdue": str(id)}


# --- Dead workers ---


def test_what_a_dead_worker_ran_is_taken_back_and_the_parent_told(parent: Any, store: Any) -> None:
    running, waiting = add(store), add(store)
    held = claim(store, register(store))
    started = parent()
    started.tell_of_death("worker-1", held[0])
    assert started.hear() == {"buried": "worker-1"}
    assert [record(store, id).interruptions for id in (running, waiting)] == [1, 0]
    assert [state_of(store, id) for id in (running, waiting)] == [State.READY, State.READY]


def test_an_overdue_job_is_known_as_such(parent: Any, store: Any) -> None:
    id = add(store)
    held = claim(store, register(store))
    started = parent()
    started.tell_of_death("worker-1", *held, overdue=str(id))
    started.hear()
    (attempt,) = record(store, id).history
    assert attempt.failure.exception == "dlq.errors.TaskTimeout"


def test_a_deliberate_end_is_known_as_such(parent: Any, store: Any) -> None:
    id = add(store)
    held = claim(store, register(store))
    started = parent()
    started.tell_of_death("worker-1", *held, deliberate=True)
    started.hear()
    assert (state_of(store, id), record(store, id).interruptions) == (State.READY, 0)


def test_the_same_death_may_be_told_twice(parent: Any, store: Any) -> None:
    id = add(store)
    held = claim(store, register(store))
    started = parent()
    for _ in range(2):
        started.tell_of_death("worker-1", *held)
        assert started.hear() == {"buried": "worker-1"}
    assert record(store, id).interruptions == 1


def test_the_parent_is_told_only_once_the_store_has_done_it(parent: Any, store: Any) -> None:
    add(store)
    held = claim(store, register(store))
    for verb in ("reconcile", "held"):
        store.fail(verb)
    started = parent()
    started.tell_of_death("worker-1", *held)
    started.tell_of_death("worker-2")
    assert [started.hear()["buried"], started.hear()["buried"]] == ["worker-2", "worker-1"]


def test_several_backends_are_kept_beside_each_other(
    parent: Any, store: Any, settings: Settings, in_thread: Threads
) -> None:
    settings.TASKS = {alias: {"BACKEND": "dlq.MemoryBackend"} for alias in ("default", "other")}
    other = MemoryBackend("other", {}).make_store()
    id = add(other)
    held = claim(other, register(other))
    started = parent("default", "other")
    started.tell_of_death("worker-1", *held, alias="other")
    assert started.hear() == {"buried": "worker-1"}
    assert record(other, id).interruptions == 1
    started.tell(stop=True)
    assert started.has_ended
    assert (runners(store), runners(other)) == ([], [])


# --- What the parent is told ---


def test_the_parent_is_told_what_its_workers_want_to_know(parent: Any, store: Any) -> None:
    running = add(store, queue="slow")
    (held,) = claim(store, register(store, "runner-1/1"), queues=["slow"])
    add(store, queue="mail")
    store.pause("night")
    store.cancel([running], "not needed")
    store.instruct("runner-1/1", Order.QUIET)
    assert parent().hear("alias") == {
        "alias": "default",
        "ready": ["mail"],
        "paused": ["night"],
        "instructions": [["runner-1/1", "quiet", 1]],
        "cancellations": [["runner-1/1", str(running), held.token, "not needed"]],
    }


def test_when_there_is_nothing_to_do_the_parent_is_left_alone(parent: Any, store: Any) -> None:
    looks = threading.Semaphore(0)

    def look() -> None:
        looks.release()
        store.meanwhile["look"] = look

    look()
    started = parent()
    assert all(looks.acquire(timeout=LATE) for _ in range(2))
    started.tell_of_death("worker-9")
    assert decode(started._lines.readline()) == {"buried": "worker-9"}


RARELY = {"poll_interval": 3600, "heartbeat_interval": 3600, "alive_threshold": 3 * 3600}


@pytest.mark.parametrize("failures", [0, 1])
def test_the_parent_hears_at_once_of_new_jobs_whatever_became_of_the_store(
    parent: Any, store: Any, settings: Settings, failures: int
) -> None:
    settings.TASKS = {"default": {"BACKEND": "dlq.MemoryBackend", "OPTIONS": RARELY}}
    listens = threading.Event()
    if failures:
        store.fail("listen")
    store.meanwhile["listen"] = listens.set
    started = parent(hearing=["default"])
    assert listens.wait(LATE)
    add(store, queue="mail")
    assert started.hear("said") == {"alias": "default", "said": ["mail"]}


def test_a_store_that_cannot_be_listened_to_is_not_asked_again(parent: Any, store: Any) -> None:
    store.listen = lambda timeout: store.calls.append("listen")
    started = parent(hearing=["default"])
    started.tell_of_death("worker-9")
    started.hear()
    started.tell(stop=True)
    assert started.has_ended
    assert store.calls.count("listen") == 1


def test_who_listens_for_ever_keeps_no_service_from_ending(parent: Any, store: Any) -> None:
    listens, over = threading.Event(), threading.Event()

    def hang(timeout: float) -> None:
        listens.set()
        over.wait(LATE)

    store.listen = hang
    started = parent(hearing=["default"])
    assert listens.wait(LATE)
    started.tell(stop=True)
    assert started.has_ended
    assert not over.is_set()
    over.set()


def test_in_a_burst_the_parent_is_told_when_no_job_is_left(parent: Any, store: Any) -> None:
    add(store, queue="mail")
    (held,) = claim(store, worker := register(store, "runner-1/1"), queues=["mail"])
    started = parent(burst={"default": [Selector("mail")]})
    started.tell_of_death("worker-9")
    assert decode(started._lines.readline()) == {"buried": "worker-9"}
    store.exchange(worker, [Outcome.succeeded(held, "null", 0.0)], [], 0)
    assert started.hear("drained") == {"drained": "default"}


# --- The end ---


def test_told_to_stop_the_service_says_goodbye_to_the_store(parent: Any, store: Any) -> None:
    started = parent()
    started.tell(stop=True)
    assert started.has_ended
    assert runners(store) == []


def test_the_service_stops_at_once_however_rarely_it_has_something_to_do(
    parent: Any, store: Any, settings: Settings
) -> None:
    hour = {"poll_interval": 3600, "heartbeat_interval": 3600, "alive_threshold": 3 * 3600}
    settings.TASKS = {"default": {"BACKEND": "dlq.MemoryBackend", "OPTIONS": hour}}
    done = threading.Event()
    store.meanwhile["parked"] = done.set
    started = parent()
    assert done.wait(LATE)
    started.tell(stop=True)
    assert started.has_ended


def test_those_told_before_the_stop_are_buried_first(parent: Any, store: Any) -> None:
    ids = [add(store) for _ in range(3)]
    deaths = []
    for number in range(3):
        worker = register(store, f"worker-{number}")
        (held,) = claim(store, worker, 1)
        deaths.append((worker.id, held))
    started = parent()
    for worker_id, held in deaths:
        started.tell_of_death(worker_id, held, deliberate=True)
    started.tell(stop=True)
    assert started.has_ended
    assert [started.hear()["buried"] for _ in deaths] == [id for id, _ in deaths]
    assert {(state_of(store, id), record(store, id).interruptions) for id in ids} == {(State.READY, 0)}
    assert runners(store) == []


def test_a_parent_that_is_gone_leaves_its_runner_to_its_workers(parent: Any, store: Any) -> None:
    """They may still be at work, and settle what they run: only a runner that stops leaves by itself."""
    started = parent()
    started.hang_up()
    assert started.has_ended
    assert runners(store) == ["runner-1"]


def test_a_parent_that_is_gone_before_it_hears_is_no_error(parent: Any, store: Any) -> None:
    id = add(store)
    held = claim(store, register(store))
    started = parent()
    started.tell_of_death("worker-1", *held)
    select.select([started.channel], [], [], LATE)
    started.hang_up()
    assert started.has_ended
    assert record(store, id).interruptions == 1


def test_a_parent_that_is_gone_before_it_can_be_told_is_no_error(parent: Any, store: Any) -> None:
    add(store)
    held = claim(store, register(store))
    started = parent()
    store.meanwhile["unregister_worker"] = started.hang_up
    started.tell_of_death("worker-1", *held)
    assert started.has_ended


# --- Beats ---


def test_the_service_beats_for_a_parent_that_lives(parent: Any, store: Any) -> None:
    beaten = threading.Event()
    store.meanwhile["beat"] = beaten.set
    started = parent()
    assert beaten.wait(LATE)
    started.hang_up()
    assert started.has_ended
    assert MemoryInspector(store).runners()[0].beat >= 2


def test_the_service_does_not_beat_for_a_parent_that_hangs(parent: Any, store: Any) -> None:
    looked = threading.Event()
    store.meanwhile["orphans"] = looked.set
    started = parent(alive=False)
    assert started.page.silence() > SILENCE
    assert looked.wait(LATE)
    started.hang_up()
    assert started.has_ended
    assert MemoryInspector(store).runners()[0].beat == 1


def test_a_defect_in_the_upkeep_ends_the_service_so_that_it_is_replaced(
    faulty: MemoryBackend, store: Any, in_thread: Threads
) -> None:
    ours, theirs = socket.socketpair()
    store.register_runner(runner_info())
    store.fail("orphans", ZeroDivisionError("a defect"))

    def run() -> None:
        with pytest.raises(ZeroDivisionError, match="a defect"):
            Service(runner_info(), ["default"], theirs, Page()).run()

    thread = in_thread(run)
    thread.join(LATE)
    assert not thread.is_alive()
    assert runners(store) == ["runner-1"]
    ours.close()
    theirs.close()


class Added(AddedService):
    name = "added"

    def __init__(self) -> None:
        self.stepped, self.closed = threading.Event(), threading.Event()

    def step(self) -> float:
        self.stepped.set()
        return 0.0

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("end", ["stop", "the parent is gone"])
def test_services_of_apps_step_until_the_end(parent: Callable[..., Parent], end: str) -> None:
    added = Added()
    process = parent(added=[added])
    assert added.stepped.wait(LATE)
    if end == "stop":
        process.tell(stop=True)
    else:
        process.hang_up()
    assert process.has_ended
    assert added.closed.is_set()
