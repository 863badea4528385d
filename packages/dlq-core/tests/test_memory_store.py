from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from dlq.errors import RunnerUnknown, StoreUnavailable
from dlq.ids import new_job_id
from dlq.job import Note
from dlq.signals import store_called
from dlq.states import State
from dlq.store.base import Store
from dlq.store.instrumented import InstrumentedStore
from dlq.store.memory import MemoryInspector, MemoryStore
from dlq.testing.contract import MakeStore, StoreContract
from dlq.testing.contract.builders import NOON, new_job, runner_info, worker_info
from dlq.workers import Order, WorkerRef


class TestMemoryStore(StoreContract):
    rounds = 50
    model_examples = 60
    model_shrinks = True

    @pytest.fixture
    def make_store(self) -> MakeStore:
        stores: dict[str, MemoryStore] = {}
        return lambda alias="default": stores.setdefault(alias, MemoryStore(alias))

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        return make_store()

    @pytest.fixture
    def inspector(self, store: MemoryStore) -> MemoryInspector:
        return MemoryInspector(store)


class TestInstrumentedMemoryStore(StoreContract):
    """Behind its door a store is the same store, with somebody listening."""

    @pytest.fixture
    def make_store(self, calls: list[dict[str, Any]]) -> MakeStore:
        stores: dict[str, MemoryStore] = {}
        return lambda alias="default": InstrumentedStore(stores.setdefault(alias, MemoryStore(alias)))

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        return make_store()

    @pytest.fixture
    def inspector(self, store: InstrumentedStore) -> MemoryInspector:
        return MemoryInspector(store.wrapped)


# --- What the door reports ---

VERBS: dict[str, tuple[Any, ...]] = {
    "enqueue": ([new_job()],),
    "get": ([],),
    "exchange": (WorkerRef("worker-1"), [], ["default"], 1),
    "waiting": (),
    "listen": (5.0,),
    "reconcile": (WorkerRef("worker-1"), []),
    "annotate": ([Note(id=new_job_id(), token=1)],),
    "unpark": ([("shop.tasks.send", 1)],),
    "parked": (),
    "register_runner": (runner_info(),),
    "register_worker": (worker_info(),),
    "unregister_worker": ("worker-1",),
    "beat": ("runner-1",),
    "retire": ("runner-1", 7),
    "held": ("worker-1", 5),
    "orphans": (5,),
    "pause": ("default", NOON),
    "resume": ("default",),
    "cancel": ([new_job_id()], "Nobody needs it."),
    "retry": ([new_job_id()],),
    "instruct": ("worker-1", Order.PING),
    "heed": ("worker-1", 3),
    "look": ("runner-1", 5),
    "admit": (5,),
    "prune": (State.FAILED, 60.0, 5),
    "ping": (),
}
SILENT = ["dedicate", "close"]
"""These two ask the store nothing."""
TIMED = {
    *("enqueue", "exchange", "waiting", "reconcile", "annotate", "unpark"),
    *("register_runner", "register_worker", "beat"),
    *("pause", "cancel", "retry", "look", "admit", "prune"),
}
NAMED: dict[str, dict[str, Any]] = {
    "cancel": {"states": {State.FAILED}},
    "prune": {"task": "shop.tasks.send"},
    "retry": {"edits": {}},
}
each_verb = pytest.mark.parametrize("verb", VERBS)


class ScriptedStore(MemoryStore):
    """Gives every verb the same answer, or error, and keeps what it was given."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        super().__init__("scripted")
        self.given: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        for verb in VERBS:
            setattr(self, verb, self.scripted(verb, answer))

    def scripted(self, verb: str, answer: Callable[[], Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.given.append((verb, args, kwargs))
            return answer()

        call.__name__ = verb
        return call


@pytest.fixture
def calls() -> Iterator[list[dict[str, Any]]]:
    heard: list[dict[str, Any]] = []

    def hear(**call: Any) -> None:
        heard.append(call)

    store_called.connect(hear)
    yield heard
    store_called.disconnect(hear)


def options(verb: str) -> dict[str, Any]:
    """What this verb is given by name."""
    return NAMED.get(verb, {}) | ({"now": NOON} if verb in TIMED else {})


def called(door: InstrumentedStore, verb: str) -> Any:
    return getattr(door, verb)(*VERBS[verb], **options(verb))


def test_every_verb_of_the_store_is_known_here() -> None:
    assert {*VERBS, *SILENT} == Store.__abstractmethods__


@each_verb
def test_a_call_is_passed_on_and_reported_once(verb: str, calls: list[dict[str, Any]]) -> None:
    answer = object()
    store = ScriptedStore(lambda: answer)
    assert called(InstrumentedStore(store), verb) is answer
    assert store.given == [(verb, VERBS[verb], options(verb))]
    (call,) = calls
    assert (call["sender"], call["alias"], call["verb"]) == (ScriptedStore, "scripted", verb)
    assert (call["arguments"], call["reply"], call["error"]) == (VERBS[verb], answer, None)
    assert call["seconds"] >= 0


@each_verb
def test_an_error_is_passed_on_and_reported_once(verb: str, calls: list[dict[str, Any]]) -> None:
    error = StoreUnavailable("The cable is out.")

    def fail() -> None:
        raise error

    with pytest.raises(StoreUnavailable) as raised:
        called(InstrumentedStore(ScriptedStore(fail)), verb)
    assert raised.value is error
    (call,) = calls
    assert (call["verb"], call["reply"], call["error"]) == (verb, None, error)


@each_verb
def test_a_call_that_nobody_listens_to_is_passed_on_all_the_same(verb: str) -> None:
    store = ScriptedStore(partial(int, "42"))
    assert called(InstrumentedStore(store), verb) == 42
    assert len(store.given) == 1


@pytest.mark.parametrize("verb", SILENT)
def test_what_concerns_connections_is_passed_on_and_no_call_to_report(
    verb: str, calls: list[dict[str, Any]]
) -> None:
    store, given = MemoryStore(), []
    setattr(store, verb, lambda: given.append(verb))
    getattr(InstrumentedStore(store), verb)()
    assert (given, calls) == ([verb], [])


def test_waiting_for_a_word_is_no_call_and_takes_no_time(calls: list[dict[str, Any]]) -> None:
    door = InstrumentedStore(MemoryStore())
    assert door.listen(0.0) == frozenset()
    assert calls == []
    door.enqueue([new_job()])
    assert door.listen(5.0) == {"default"}
    assert [(call["verb"], call["seconds"]) for call in calls][1:] == [("listen", 0.0)]


def test_a_listener_that_raises_harms_no_call(calls: list[dict[str, Any]]) -> None:
    def broken(**call: Any) -> None:
        raise RuntimeError("The listener is broken.")

    store_called.connect(broken)
    try:
        InstrumentedStore(MemoryStore()).enqueue([new_job()])
    finally:
        store_called.disconnect(broken)
    assert [call["verb"] for call in calls] == ["enqueue"]


def test_the_door_shows_the_alias_and_the_database_of_its_store() -> None:
    store = MemoryStore("mail")
    store.database = "archive"
    door = InstrumentedStore(store)
    assert (door.alias, door.database) == ("mail", "archive")


# --- The guard of the contract ---


class Overriding(StoreContract):
    def test_a_stale_token_settles_nothing(self) -> None:
        pass


class Removing(StoreContract):
    test_an_empty_store_counts_nothing = None


class Excusing(StoreContract):
    @pytest.mark.xfail
    def test_an_empty_store_counts_nothing(self) -> None:
        pass


class Explaining(StoreContract):
    @pytest.mark.xfail(reason="This store has no queues yet.")
    def test_an_empty_store_counts_nothing(self) -> None:
        pass


class Extending(StoreContract):
    def test_something_of_its_own(self) -> None:
        pass


@pytest.mark.parametrize("weakened", [Overriding, Removing, Excusing])
def test_a_weakened_contract_is_noticed(weakened: type[StoreContract]) -> None:
    with pytest.raises(AssertionError, match="overrides or removes tests of the contract"):
        weakened().test_the_contract_is_whole()


@pytest.mark.parametrize("whole", [StoreContract, Explaining, Extending])
def test_a_contract_with_excuses_or_additions_is_whole(whole: type[StoreContract]) -> None:
    whole().test_the_contract_is_whole()


def test_an_unknown_runner_reaches_the_caller_through_the_door(calls: list[dict[str, Any]]) -> None:
    with pytest.raises(RunnerUnknown):
        InstrumentedStore(MemoryStore()).register_worker(worker_info())
    assert [type(call["error"]) for call in calls] == [RunnerUnknown]
