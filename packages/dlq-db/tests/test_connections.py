"""Whose connection a store works on, and for how long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections

from dlq_db.store import DatabaseStore


@pytest.fixture(params=["default", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[DatabaseStore]:
    store = DatabaseStore("default", database=request.param)
    yield store
    store.close()


@pytest.mark.django_db(transaction=True, databases=["default", "postgres"])
class TestADedicatedConnection:
    def test_is_given_up_by_close_so_that_what_comes_next_is_as_before(self, store: DatabaseStore) -> None:
        before = dict(connections[store.database].settings_dict["OPTIONS"])
        store.dedicate()
        assert connections[store.database].settings_dict["OPTIONS"] != before
        store.ping()
        store.close()
        assert connections[store.database].settings_dict["OPTIONS"] == before

    def test_stays_what_it_is_when_it_is_asked_for_again(self, store: DatabaseStore) -> None:
        store.dedicate()
        dedicated = store.connection
        store.dedicate()
        assert store.connection is dedicated

    def test_of_a_client_is_django_s_own_and_stays_when_it_is_closed(self, store: DatabaseStore) -> None:
        own = store.connection
        store.ping()
        store.close()
        assert store.connection is own


@pytest.mark.django_db(transaction=True, databases=["postgres"])
def test_every_call_of_a_runner_has_an_end_on_the_server_too() -> None:
    store = DatabaseStore("default", database="postgres")
    store.dedicate()
    with store.connection.cursor() as cursor:
        for limit in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SHOW {limit}")
            assert cursor.fetchone() != ("0",)
    store.close()
