"""What limits cost those who have none, and what they must never wait for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connections, transaction

from dlq.states import State, Waits
from dlq.testing.contract.builders import (
    NOON,
    OUTCOMES,
    add,
    add_many,
    after,
    claim_one,
    look,
    record,
    register,
)
from dlq.testing.contract.limiting import slot
from dlq_db.models import Semaphore
from dlq_db.store import DatabaseStore

DATABASES = ["default", "postgres"]


@pytest.fixture(params=DATABASES)
def store(request: pytest.FixtureRequest) -> Iterator[DatabaseStore]:
    store = DatabaseStore("default", database=request.param)
    yield store
    store.close()


def _in_another_thread(work: object) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), "it waits for somebody else's transaction"
    if errors:
        raise errors[0]


@pytest.mark.django_db(transaction=True, databases=DATABASES)
class TestLimits:
    def test_a_job_is_admitted_once_its_transaction_has_committed(self, store: DatabaseStore) -> None:
        with transaction.atomic(using=store.database):
            id = add(store, limits=slot())
            assert record(store, id).waits is Waits.LIMIT
            assert not Semaphore.objects.using(store.database).exists()
        assert record(store, id).state is State.READY

    def test_a_job_that_nobody_has_admitted_is_found_by_a_look(
        self, store: DatabaseStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(store, "admit_new", lambda jobs, now: None)
            add_many(store, 3, limits=slot("a", 2))
        sight = look(store)
        assert (sight.admitted, sight.ready) == (2, ["default"])
        assert Semaphore.objects.using(store.database).get().key == "a"

    def test_keys_that_nobody_uses_are_forgotten_when_others_come(self, store: DatabaseStore) -> None:
        worker = register(store)
        add(store, limits=slot("used"))
        store.exchange(worker, [OUTCOMES["succeeded"](claim_one(store, worker))], [], 0, now=NOON)
        add(store, limits=slot("held"))
        later = NOON + timedelta(hours=2)
        for at in range(30):
            add(store, limits=slot(f"new {at}"), now=later)
        keys = set(Semaphore.objects.using(store.database).values_list("key", flat=True))
        assert "used" not in keys
        assert keys >= {"held", "new 0", "new 29"}


@pytest.mark.django_db(transaction=True, databases=["postgres"])
class TestPostgreSQL:
    @pytest.fixture
    def store(self) -> Iterator[DatabaseStore]:
        store = DatabaseStore("default", database="postgres", listen_notify=False)
        yield store
        store.close()

    def test_an_open_transaction_holds_up_no_release(self, store: DatabaseStore) -> None:
        worker = register(store)
        first, second = add_many(store, 2, limits=slot())
        held = claim_one(store, worker)

        def give_back() -> None:
            other = DatabaseStore("default", database="postgres", listen_notify=False)
            reply = other.exchange(worker, [OUTCOMES["succeeded"](held)], ["default"], 5, now=NOON)
            assert [found.id for found in reply.claims] == [second]
            other.admit(5, now=after(1))
            add(other, limits=slot("b"))

        with transaction.atomic(using="postgres"):
            add_many(store, 3, limits=slot())
            add(store, limits=slot("b"))
            add(store, limits=slot("new"))
            _in_another_thread(give_back)
        assert first == held.id
