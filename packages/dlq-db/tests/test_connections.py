"""Whose connection a store works on, and for how long."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from django.db import connections, transaction

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
class TestADedicatedConnectionToPostgreSQL:
    @pytest.fixture
    def dedicated(self) -> Iterator[DatabaseStore]:
        store = DatabaseStore("default", database="postgres")
        store.dedicate()
        store.ping()
        yield store
        store.close()

    def test_has_an_end_for_every_call_on_the_server_too(self, dedicated: DatabaseStore) -> None:
        limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        assert all(shown(dedicated, limit) != "0" for limit in limits)

    def test_may_be_idle_for_as_long_as_it_likes(self, dedicated: DatabaseStore) -> None:
        assert shown(dedicated, "idle_session_timeout") == "0"

    def test_notices_by_itself_when_the_server_has_vanished(self, dedicated: DatabaseStore) -> None:
        waits = dedicated.connection.connection.info.get_parameters()
        names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
        assert {name: waits[name] for name in (*names, "connect_timeout")} == {
            "keepalives_idle": "10",
            "keepalives_interval": "5",
            "keepalives_count": "3",
            "tcp_user_timeout": "20000",
            "connect_timeout": "10",
        }


@pytest.mark.django_db(transaction=True, databases=["postgres"])
@pytest.mark.parametrize("pooling", [None, "transaction"])
def test_the_runtime_has_its_own_isolation_level_whatever_the_site_has(
    monkeypatch: pytest.MonkeyPatch, pooling: str | None
) -> None:
    site = connections["postgres"].settings_dict["OPTIONS"]
    monkeypatch.setitem(site, "isolation_level", psycopg.IsolationLevel.SERIALIZABLE)
    monkeypatch.setitem(site, "options", r"-c default_transaction_isolation=serializable")
    store = DatabaseStore("default", database="postgres", pooling=pooling)
    store.dedicate()
    with transaction.atomic("postgres"):
        assert shown(store, "transaction_isolation") == "read committed"
    if pooling is None:
        assert shown(store, "transaction_isolation") == "read committed"
    store.close()


def shown(store: DatabaseStore, name: str) -> str:
    with store.connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        value: str = cursor.fetchone()[0]
        return value
