"""Fixtures for tests of the runtime: a store that fails on request, a clock that stands still, and claims."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import wraps
from typing import Any

import pytest

from dlq import MemoryBackend, StoreRefused, StoreUnavailable
from dlq.ids import new_job_id
from dlq.job import Claim, Exchanged, Outcome
from dlq.store import MemoryStore, Store
from dlq.testing.contract.builders import NOON, register
from dlq.workers import WorkerRef

PATIENCE = 10.0
"""Seconds until a test gives up on a thread that should have ended."""


class FaultyStore(MemoryStore):
    """A store in memory that remembers what it was asked, and fails where a test says so."""

    def __init__(self, alias: str = "default") -> None:
        super().__init__(alias)
        self.calls: list[str] = []
        self.is_away = False
        self.refuses: Callable[[Outcome], bool] = lambda outcome: False
        self.meanwhile: dict[str, Callable[[], object]] = {}
        """What happens once, after a verb took effect and before its caller knows."""
        self._faults: dict[str, tuple[str, Exception]] = {}

    def fail(self, verb: str, error: Exception | None = None) -> None:
        """The next call of the verb does nothing, and raises."""
        self._faults[verb] = ("before", error or StoreUnavailable("the store is away"))

    def lose_reply(self, verb: str) -> None:
        """The next call of the verb takes effect, and raises all the same."""
        self._faults[verb] = ("after", StoreUnavailable("the answer was lost"))

    def asked(self) -> list[str]:
        """The verbs called since this was asked last."""
        calls, self.calls = self.calls, []
        return calls

    def exchange(
        self,
        worker: WorkerRef,
        outcomes: Sequence[Outcome],
        queues: Sequence[str],
        limit: int,
        *,
        now: datetime | None = None,
    ) -> Exchanged:
        if any(map(self.refuses, outcomes)):
            raise StoreRefused("this text cannot be stored")
        return super().exchange(worker, outcomes, queues, limit, now=now)


def _door(inner: Callable[..., Any]) -> Callable[..., Any]:
    verb = inner.__name__

    @wraps(inner)
    def call(self: FaultyStore, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(verb)
        if self.is_away:
            raise StoreUnavailable("the store is away")
        moment, error = self._faults.pop(verb, ("never", None))
        if moment == "before":
            raise error
        reply = inner(self, *args, **kwargs)
        self.meanwhile.pop(verb, lambda: None)()
        if moment == "after":
            raise error
        return reply

    return call


for _verb in Store.__abstractmethods__:
    setattr(FaultyStore, _verb, _door(getattr(FaultyStore, _verb)))


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore()


@pytest.fixture
def faulty(memory: MemoryBackend, store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    """The default backend, in every thread, on ``store``."""
    monkeypatch.setitem(type(memory).make_store.__globals__["_memory_stores"], "default", store)
    return memory


class Clock:
    """The monotonic clock, which moves when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every module of the runtime."""
    stopped = Clock()
    for module in ("child", "execution", "executor", "interrupts", "maintenance", "page", "rescue", "runner"):
        monkeypatch.setattr(f"dlq.runtime.{module}.time", stopped)
    for module in ("connections", "notes", "notify", "seat", "worker", "workload"):
        monkeypatch.setattr(f"dlq.runtime.{module}.time", stopped)
    return stopped


@pytest.fixture
def plain_claim() -> Callable[..., Claim]:
    """Makes claims that differ from a plain one in the fields given."""

    def make(**fields: Any) -> Claim:
        plain = {
            "id": new_job_id(),
            "token": 1,
            "task": "shop.tasks.send",
            "queue": "default",
            "payload": "[[],{}]",
            "priority": 0,
            "run_after": None,
            "enqueued_at": NOON,
            "claimed_at": NOON,
            "worker": "worker-1",
            "attempts": 0,
            "interruptions": 0,
            "max_attempts": 1,
            "max_interruptions": 2,
        }
        return Claim(**(plain | fields))

    return make


@pytest.fixture
def claim_of(memory: MemoryBackend) -> Callable[..., Claim]:
    """Enqueues a call of a task in memory, and claims it."""
    worker = register(memory.store)

    def make(task: Any, *args: Any, **kwargs: Any) -> Claim:
        task.enqueue(*args, **kwargs)
        (claim,) = memory.store.exchange(worker, [], [task.queue_name], 1).claims
        return claim

    return make


@pytest.fixture
def in_thread() -> Iterator[Callable[..., threading.Thread]]:
    """Calls functions in threads of their own, which must have returned when the test ends."""
    threads: list[threading.Thread] = []
    errors: list[BaseException] = []

    def start(function: Callable[..., object], *args: Any) -> threading.Thread:
        def run() -> None:
            try:
                function(*args)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        threads.append(thread)
        thread.start()
        return thread

    yield start
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads), "a thread did not end"
    if errors:
        raise errors[0]
