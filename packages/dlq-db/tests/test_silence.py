"""What Django logs of the connections of a runner, with DEBUG on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.db import connections
from pytest_django import Settings

from dlq.testing.contract.builders import add, claim, register
from dlq_db.store import DatabaseStore

DATABASES = ["default", "postgres"]
LOGGER = "django.db.backends"

type Make = Callable[..., DatabaseStore]


@pytest.fixture(params=DATABASES)
def make(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Make]:
    """Makes a store whose connection is dedicated, under DEBUG."""
    settings.DEBUG = True
    made: list[DatabaseStore] = []

    def store(**options: bool) -> DatabaseStore:
        made.append(DatabaseStore("default", request.param, **options))
        made[-1].dedicate()
        return made[-1]

    yield store
    made[-1].close()
    connections[request.param].queries_log.clear()


def poll(store: DatabaseStore) -> None:
    worker = register(store)
    add(store)
    store.waiting()
    store.look("runner-1", 10)
    store.beat("runner-1")
    assert claim(store, worker, 1)


@pytest.mark.django_db(transaction=True, databases=DATABASES)
class TestADedicatedConnection:
    def test_logs_nothing_and_keeps_nothing(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("DEBUG", LOGGER):
            store = make()
            poll(store)
        assert not store.connection.queries_log
        assert not caplog.records

    def test_logs_where_that_is_wanted_past_django_s_cursor_too(
        self, make: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("DEBUG", LOGGER):
            store = make(silence_polling=False)
            poll(store)
        logged = [entry["sql"] for entry in store.connection.queries_log]
        for table in ("dlq_runner", "dlq_live", "dlq_pause"):
            assert any(table in sql for sql in logged)
        assert len(caplog.records) == len(logged)

    def test_leaves_the_site_s_own_as_it_is(self, make: Make) -> None:
        store = make()
        store.close()
        with store.connection.cursor() as cursor:
            cursor.execute("SELECT 42")
        assert [entry["sql"] for entry in store.connection.queries_log][-1:] == ["SELECT 42"]
