"""How much a verb asks of its database."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from uuid import UUID

import psycopg
import pymysql
import pytest
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import Note, Outcome
from dlq.states import State
from dlq.store import Store
from dlq.testing.contract.builders import NOON, add, add_many, after, claim, claim_ids, new_job, register
from dlq.testing.contract.deduplicating import unique_job
from dlq.testing.contract.limiting import slot
from dlq.testing.contract.schedule_builders import advance, fire, put, schedule
from dlq.workers import WorkerRef
from dlq_db.dialects import statement
from dlq_db.dialects.postgresql.arguments import outcome_columns
from dlq_db.inspector import DatabaseInspector
from dlq_db.schedules import DatabaseSchedules
from dlq_db.store import DatabaseStore

IN_ONE_STATEMENT: dict[str, Callable[[Store, WorkerRef], object]] = {
    "enqueue": lambda store, worker: add_many(store, 10),
    "exchange": lambda store, worker: claim(store, worker, 10),
    "waiting": lambda store, worker: store.waiting(),
    "annotate": lambda store, worker: store.annotate(
        [
            Note(id=held.id, token=held.token, progress=0.5, metadata="{}")
            for held in store.held("worker-1", 10)
        ]
    ),
    "look": lambda store, worker: store.look("runner-1", 10, now=after(100)),
    "beat": lambda store, worker: store.beat("runner-1"),
    "retire": lambda store, worker: store.retire("runner-1"),
    "pause": lambda store, worker: store.pause("default", after(60)),
    "resume": lambda store, worker: store.resume("default"),
    "prune": lambda store, worker: store.prune(State.SUCCEEDED, 60.0, 10),
    "advance": lambda store, worker: fire_all(DatabaseSchedules(cast("DatabaseStore", store))),
    "heed": lambda store, worker: store.heed("worker-1", 1),
}


def fire_all(schedules: DatabaseSchedules) -> None:
    done = schedules.advance([advance(found, fire(10), fire(11)) for found in schedules.listed(10)])
    assert len(done.jobs) == 4


def _claimed_elsewhere(worker: WorkerRef) -> list[UUID]:
    """What another process is given, beside whatever transaction is open here."""
    store = DatabaseStore("default", database="postgres", listen_notify=False)
    try:
        return claim_ids(store, worker)
    finally:
        store.close()


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is sent to PostgreSQL, through Django's cursors and past them."""
    sent: list[object] = []
    execute = psycopg.Cursor.execute

    def recorded(self: Any, query: object, *args: Any, **kwargs: Any) -> Any:
        sent.append(query)
        return execute(self, query, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(psycopg.Cursor, "execute", recorded)
    return sent


@pytest.mark.django_db(transaction=True, databases=["postgres"])
class TestPostgreSQL:
    @pytest.fixture
    def pooling(self) -> str | None:
        return None

    @pytest.fixture
    def store(self, pooling: str | None) -> Iterator[DatabaseStore]:
        """One that tells nobody of its jobs."""
        store = DatabaseStore("default", database="postgres", listen_notify=False, pooling=pooling)
        store.dedicate()
        yield store
        store.close()

    @pytest.mark.parametrize("pooling", [None, "transaction"])
    @pytest.mark.parametrize("verb", IN_ONE_STATEMENT)
    def test_the_verb_is_one_statement(
        self, store: DatabaseStore, statements: list[object], verb: str
    ) -> None:
        worker = register(store)
        add(store, run_after=after(10))
        add(store, expires_after=10)
        claim(store, worker, 1)
        put(DatabaseSchedules(store), schedule("a"), schedule("b"))
        store.look("runner-1", 10, now=after(60))  # Folds what was counted, as one look a minute does.
        asked = {"annotate": 2, "advance": 2}  # With the question what is held, or which schedules there are.
        statements.clear()
        IN_ONE_STATEMENT[verb](store, worker)
        assert len(statements) == asked.get(verb, 1)

    def test_a_job_without_limits_pays_nothing_for_those_that_have_some(
        self, store: DatabaseStore, statements: list[object]
    ) -> None:
        worker = register(store)
        plain = add(store)
        add_many(store, 3, limits=slot())
        outcomes = [Outcome.succeeded(held, "null", 1.0) for held in claim(store, worker, 1)]
        assert outcomes[0].id == plain
        statements.clear()
        store.exchange(worker, outcomes, ["default"], 5)
        assert len(statements) == 1

    def test_unique_jobs_take_one_statement_unless_some_are_duplicates(
        self, store: DatabaseStore, statements: list[object]
    ) -> None:
        worker = register(store)
        statements.clear()
        store.enqueue([unique_job(f"account:{number}") for number in range(10)], now=NOON)
        assert len(statements) == 1
        outcomes = [Outcome.succeeded(held, "null", 1.0) for held in claim(store, worker, 10)]
        statements.clear()
        store.exchange(worker, outcomes, ["default"], 5)
        assert len(statements) == 1
        # What was settled has given its keys back.
        assert store.enqueue([unique_job(f"account:{number}") for number in range(10)]).duplicates == {}

    def test_enqueuing_a_duplicate_locks_nothing_of_the_first_job(self, store: DatabaseStore) -> None:
        worker = register(store)
        first = unique_job()
        store.enqueue([first], now=NOON)
        with transaction.atomic(using="postgres"):
            store.enqueue([unique_job()], now=NOON)
            with ThreadPoolExecutor(1) as other:
                assert other.submit(_claimed_elsewhere, worker).result(30) == [first.id]

    @pytest.mark.parametrize("jobs", [1, 100, 3000])
    def test_an_exchange_looks_jobs_up_by_key_however_many_there_are(
        self, store: DatabaseStore, jobs: int
    ) -> None:
        worker = register(store)
        add_many(store, jobs)
        connection = connections["postgres"]
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE dlq_job, dlq_live")
        outcomes = [Outcome.succeeded(held, "null", 1.0) for held in claim(store, worker, 100)]
        arguments = {"backend": "default", "worker": worker.id, "incarnation": worker.incarnation}
        arguments |= {"queues": ["default"], "marks": [None], "most": 100, "now": NOON}
        arguments |= outcome_columns(outcomes)
        plan = _plan(connection, "exchange", arguments)
        # From the head, and from the mark of each priority.
        assert len(re.findall("Index Scan using dlq_live_ready", plan)) == 2
        assert re.search(r"Index Cond: .*priority = .* AND \(seq > m.seq\)", plan)
        assert not re.search("Seq Scan|Bitmap|Hash Join|Merge Join", plan)
        assert "dlq_live_running" not in plan

    def test_a_look_folds_once_a_minute_in_one_statement_more(
        self, store: DatabaseStore, statements: list[object]
    ) -> None:
        add(store)
        sent = []
        for seconds in (60, 61, 119, 120, 121):
            statements.clear()
            store.look("runner-1", 10, now=after(seconds))
            sent.append(len(statements))
        assert sent == [2, 1, 1, 2, 1]

    def test_folding_looks_totals_up_by_key_however_many_there_are(self, store: DatabaseStore) -> None:
        store.enqueue([new_job(queue=f"queue-{number}") for number in range(500)], now=NOON)
        store.look("runner-1", 10, now=after(60))
        connection = connections["postgres"]
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE dlq_tally, dlq_count")
        arguments = {"backend": "default", "now": after(120), "most": 100, "kept": 86_400.0}
        plan = _plan(connection, "fold", arguments)
        assert re.search(r"Index Cond: .*minute IS NULL.* AND .*queue.* = ANY", plan)
        assert not re.search("Seq Scan|Bitmap|Join|Nested Loop", plan)


def _plan(connection: BaseDatabaseWrapper, verb: str, arguments: dict[str, object]) -> str:
    with psycopg.Cursor(connection.connection) as cursor:
        explain = "EXPLAIN " + statement(f"postgresql/{verb}.sql")
        return "\n".join(line for (line,) in cursor.execute(explain, arguments, prepare=True))


@pytest.mark.django_db(transaction=True, databases=["default"])
class TestSQLite:
    def test_a_look_with_nothing_to_do_waits_for_no_writer(self) -> None:
        store = DatabaseStore("default", database="default")
        register(store)
        add(store, run_after=after(10), expires_after=20)
        writer = connections["default"].copy()
        try:
            with writer.cursor() as cursor:
                cursor.execute("BEGIN IMMEDIATE")
                assert store.look("runner-1", 10, now=NOON).promoted == 0
        finally:
            writer.close()


TO_AND_FRO: dict[str, tuple[int, Callable[[Store, WorkerRef], object]]] = {
    # With BEGIN and COMMIT where it writes several times.
    "enqueue": (6, lambda store, worker: add_many(store, 10)),
    "exchange that claims": (5, lambda store, worker: claim(store, worker, 10)),
    "exchange that settles and claims": (9, lambda store, worker: _exchange(store, worker)),
    "look with nothing to do": (1, lambda store, worker: store.look("runner-1", 10, now=NOON)),
    "beat": (2, lambda store, worker: store.beat("runner-1")),
    "pause": (1, lambda store, worker: store.pause("default", after(60))),
    "resume": (1, lambda store, worker: store.resume("default")),
    "heed": (1, lambda store, worker: store.heed("worker-1", 1)),
}


def _exchange(store: Store, worker: WorkerRef) -> None:
    outcomes = [Outcome.succeeded(held, "null", 1.0) for held in store.held(worker.id, 10)]
    store.exchange(worker, outcomes, ["default"], 10)


@pytest.mark.django_db(transaction=True, databases=["mariadb"])
class TestMariaDB:
    @pytest.fixture
    def store(self) -> Iterator[DatabaseStore]:
        store = DatabaseStore("default", database="mariadb")
        store.dedicate()
        store.ping()
        yield store
        store.close()

    @pytest.mark.parametrize("verb", TO_AND_FRO)
    def test_the_server_is_asked_no_more_often(
        self, store: DatabaseStore, verb: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker = register(store)
        add_many(store, 50)
        claim(store, worker, 10)
        store.look("runner-1", 10, now=NOON)  # The first one of a minute asks what is to be folded.
        sent: list[object] = []
        ask = pymysql.connections.Connection._execute_command

        def recorded(self: Any, command: int, text: object) -> None:
            sent.append(text)
            ask(self, command, text)

        monkeypatch.setattr(pymysql.connections.Connection, "_execute_command", recorded)
        most, run = TO_AND_FRO[verb]
        run(store, worker)
        to_ask_what_is_held = verb == "exchange that settles and claims"
        assert len(sent) - to_ask_what_is_held <= most

    def test_no_search_reads_more_rows_the_longer_the_queues_are(self, store: DatabaseStore) -> None:
        worker = register(store)
        for _ in range(10):
            add_many(store, 1000)
        self._renew_figures(store)
        inspector = DatabaseInspector(store)
        searches: list[Callable[[], object]] = [
            lambda: store.exchange(worker, [], ["default"], 10),
            lambda: store.look("runner-1", 10, now=NOON),
            store.waiting,
            lambda: inspector._latencies(NOON),
            lambda: store.held("worker-1", 10),
            lambda: store.reconcile(worker, []),
        ]
        read = []
        for search in searches:
            before = self._rows_read(store)
            search()
            read.append(self._rows_read(store) - before)
        assert max(read) < 300, read

    def _renew_figures(self, store: DatabaseStore) -> None:
        """Those that the planner goes by, which the server renews by itself, but some seconds later."""
        with store.connection.cursor() as cursor:
            for table in ("dlq_live", "dlq_job"):
                cursor.execute(f"ANALYZE TABLE {table}")
                cursor.fetchall()

    def _rows_read(self, store: DatabaseStore) -> int:
        with store.connection.cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
            return sum(int(value) for _, value in cursor.fetchall())
