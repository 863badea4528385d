"""Who says what to whom, how often, and what becomes of a connection that listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.errors import StoreUnavailable
from dlq.testing.contract.builders import add, add_many, after
from dlq_db.dialects.postgresql import listening, telling
from dlq_db.dialects.postgresql.telling import ANY, WINDOW, channel, queues_of
from dlq_db.dialects.sqlite import watching
from dlq_db.store import DatabaseStore

LATE = 30.0
"""Seconds that no test waits."""


class Clock:
    """The monotonic clock, which moves when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Of those who say; nothing was said yet."""
    stopped = Clock()
    monkeypatch.setattr(telling, "time", stopped)
    monkeypatch.setattr(telling, "_said", {})
    return stopped


def ending(*stores: DatabaseStore) -> Iterator[DatabaseStore]:
    yield from stores
    for store in stores:
        store.close()


# --- The words ---


def test_a_channel_has_a_name_that_postgresql_keeps_whole() -> None:
    aliases = ["default", "x" * 63, "x" * 64, "ä" * 40, 'quoted"']
    assert len({channel(alias) for alias in aliases}) == len(aliases)
    assert all(len(channel(alias).encode()) <= 63 for alias in aliases)


@pytest.mark.parametrize("word", ["", "not json", "7", "{}", "[7]", '["mail", null]'])
def test_a_word_of_somebody_else_s_means_that_any_queue_may_have_jobs(word: str) -> None:
    assert queues_of(word) == [ANY]


@pytest.mark.django_db(transaction=True, databases=["postgres"])
class TestPostgreSQL:
    @pytest.fixture
    def store(self, clock: Clock) -> Iterator[DatabaseStore]:
        yield from ending(DatabaseStore("default", database="postgres"))

    @pytest.fixture
    def heard(self, store: DatabaseStore) -> Iterator[Callable[[], list[str]]]:
        """What was said until now, by a connection that sends and hears a last word of its own."""
        ear = psycopg.connect(**store.connection.get_connection_params(), autocommit=True)
        ear.execute('LISTEN "dlq:default"')

        def words() -> list[str]:
            ear.execute("""NOTIFY "dlq:default", 'the end'""")
            said: list[str] = []
            for word in ear.notifies(timeout=LATE):
                if word.payload == "the end":
                    return said
                said.append(word.payload)
            raise AssertionError("even the last word was not heard")

        yield words
        ear.close()

    def test_the_same_is_said_once_in_a_while_however_often_there_is_reason_to(
        self, store: DatabaseStore, heard: Callable[[], list[str]], clock: Clock
    ) -> None:
        for _ in range(100):
            add(store, queue="mail")
        assert heard() == ['["mail"]']
        clock.now += 2 * WINDOW
        add_many(store, 10, queue="mail")
        add(store, queue="video")
        assert heard() == ['["mail"]', '["video"]']

    def test_what_a_transaction_stores_is_said_after_its_commit(
        self, store: DatabaseStore, heard: Callable[[], list[str]]
    ) -> None:
        with transaction.atomic("postgres"):
            add(store, queue="mail")
            assert heard() == []
        assert heard() == ['["mail"]']

    def test_the_transaction_that_stores_jobs_holds_no_notify(
        self, store: DatabaseStore, heard: Callable[[], list[str]]
    ) -> None:
        with transaction.atomic("postgres"):
            add(store, queue="mail")
            with store.connection.cursor() as cursor:
                cursor.execute("COMMIT; BEGIN")  # Behind Django's back, which has not said anything yet.
            assert heard() == []

    def test_nothing_is_said_of_what_was_rolled_back(
        self, store: DatabaseStore, heard: Callable[[], list[str]]
    ) -> None:
        with transaction.atomic("postgres"):
            add(store, queue="mail")
            transaction.set_rollback(True, "postgres")
        assert heard() == []

    def test_nothing_is_said_of_jobs_that_wait_for_their_time(
        self, store: DatabaseStore, heard: Callable[[], list[str]]
    ) -> None:
        add(store, queue="later", run_after=after(1))
        assert heard() == []

    def test_more_names_than_a_word_can_hold_are_none(
        self, store: DatabaseStore, heard: Callable[[], list[str]]
    ) -> None:
        store.tell([f"queue-{n}-{'x' * 200}" for n in range(100)])
        assert heard() == [ANY]

    def test_what_nobody_wants_to_hear_is_not_said(
        self, store: DatabaseStore, heard: Callable[[], list[str]]
    ) -> None:
        silent = DatabaseStore("default", database="postgres", listen_notify=False)
        add(silent)
        assert heard() == []
        assert silent.listen(LATE) is None

    def test_a_job_is_stored_also_when_nobody_can_be_told(
        self, store: DatabaseStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(telling, "channel", lambda backend: "x" * 100)  # Too long for PostgreSQL.
        id = add(store)
        assert [record.id for record in store.get([id])] == [id]

    def test_a_connection_that_was_lost_is_opened_again_and_all_that_is_ready_is_named(
        self, store: DatabaseStore
    ) -> None:
        ear = DatabaseStore("default", database="postgres")
        assert ear.listen(0.0) == frozenset()
        add(DatabaseStore("default", database="postgres", listen_notify=False), queue="missed")
        terminate(store.connection)
        with pytest.raises(StoreUnavailable):
            ear.listen(LATE)
        assert ear.listen(0.0) == {"missed"}

    def test_a_server_that_says_nothing_is_asked_whether_it_is_there(
        self, store: DatabaseStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ear = DatabaseStore("default", database="postgres")
        ear.listen(0.0)
        asked: list[Any] = []
        execute = psycopg.ClientCursor.execute
        monkeypatch.setattr(
            psycopg.ClientCursor,
            "execute",
            lambda self, query, *args: asked.append(query) or execute(self, query, *args),
        )
        ear.listen(0.0)
        assert "SELECT 1" not in asked
        stopped = Clock()
        stopped.now = ear._ear._check_at  # type: ignore[union-attr]
        monkeypatch.setattr(listening, "time", stopped)
        ear.listen(0.0)
        ear.listen(0.0)
        assert asked.count("SELECT 1") == 1


def terminate(connection: BaseDatabaseWrapper) -> None:
    """End the connection's session on the server."""
    pid = connection.connection.info.backend_pid
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
        while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone():
            pass


@pytest.mark.django_db(transaction=True, databases=["default"])
class TestSQLite:
    @pytest.fixture
    def ear(self) -> Iterator[DatabaseStore]:
        yield from ending(DatabaseStore("default"))

    @pytest.fixture
    def elsewhere(self) -> Iterator[BaseDatabaseWrapper]:
        """Another process, as far as the file can tell."""
        other = connections["default"].copy()
        yield other
        other.close()

    @pytest.fixture
    def looks(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """A line for each look at the queues."""
        seen: list[str] = []
        waiting = DatabaseStore.waiting
        monkeypatch.setattr(DatabaseStore, "waiting", lambda self: seen.append("look") or waiting(self))
        return seen

    def test_what_others_write_is_no_news(
        self, ear: DatabaseStore, elsewhere: BaseDatabaseWrapper, looks: list[str]
    ) -> None:
        ear.listen(0.0)
        with elsewhere.cursor() as cursor:
            cursor.execute("CREATE TABLE of_the_site (id INTEGER)")
        assert ear.listen(3 * watching.RESTING) == frozenset()
        with elsewhere.cursor() as cursor:
            cursor.execute("DROP TABLE of_the_site")
        assert len(looks) == 2

    def test_as_long_as_nobody_writes_nobody_looks(self, ear: DatabaseStore, looks: list[str]) -> None:
        for _ in range(3):
            ear.listen(2 * watching.RESTING)
        assert len(looks) == 1

    def test_between_two_looks_there_is_a_pause_whatever_is_written(
        self, ear: DatabaseStore, elsewhere: BaseDatabaseWrapper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ear.listen(0.0)
        pauses: list[float] = []

        def write_instead(seconds: float) -> None:
            pauses.append(seconds)
            with elsewhere.cursor() as cursor:
                cursor.execute("UPDATE dlq_seq SET value = value + 1")

        monkeypatch.setattr(watching.time, "sleep", write_instead)
        add_many(DatabaseStore("default"), 2, queue="mail")
        for _ in range(5):
            assert ear.listen(LATE) == {"mail"}
        assert len(pauses) >= 5

    def test_what_nobody_wants_to_hear_is_not_looked_for(self) -> None:
        assert DatabaseStore("default", listen_notify=False).listen(LATE) is None
