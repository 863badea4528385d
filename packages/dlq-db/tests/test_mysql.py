"""What MySQL and MariaDB do otherwise than others, and what must not come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.errors import ConfigError, StoreError, StoreNotReady, StoreRefused
from dlq.job import Cancelled, Note, Outcome
from dlq.states import State
from dlq.store import Store
from dlq.testing.contract.builders import (
    FAILURE,
    NOON,
    add,
    add_many,
    after,
    claim,
    claim_one,
    new_job,
    register,
    settle_one,
    state_of,
)
from dlq.testing.contract.schedule_builders import put, schedule
from dlq.workers import WorkerRef
from dlq_db import contention
from dlq_db.inspector import DatabaseInspector
from dlq_db.models import Job, Live
from dlq_db.options import DatabaseOptions
from dlq_db.schedules import DatabaseSchedules
from dlq_db.store import DatabaseStore
from meetings import second

pytestmark = pytest.mark.django_db(transaction=True, databases=["mariadb"])


@pytest.fixture
def store() -> DatabaseStore:
    return DatabaseStore("default", database="mariadb")


@pytest.fixture
def worker(store: DatabaseStore) -> WorkerRef:
    return register(store)


@pytest.fixture
def dedicated(store: DatabaseStore) -> Iterator[DatabaseStore]:
    """On a connection as runners have it."""
    store.dedicate()
    store.ping()
    yield store
    store.close()


def asked(store: DatabaseStore, sql: str) -> Any:
    with store.connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


NAMES = ["Mail", "mail", "máil", "mail ", "mail  "]


class TestNames:
    """That differ by a byte are different names: the usual collations see no difference."""

    def test_of_queues(self, store: DatabaseStore, worker: WorkerRef) -> None:
        ids = {name: add(store, queue=name) for name in NAMES}
        assert store.waiting() == sorted(NAMES)
        store.pause("mail ")
        assert store.waiting() == sorted({*NAMES} - {"mail "})
        for name in NAMES:
            claimed = claim(store, worker, queues=[name])
            assert [held.id for held in claimed] == ([ids[name]] if name != "mail " else [])

    def test_of_tasks(self, store: DatabaseStore, worker: WorkerRef) -> None:
        for name in NAMES:
            add(store, task=name)
            settle_one(store, worker, Outcome.parked(claim_one(store, worker)))
        assert store.parked() == sorted((name, 1) for name in NAMES)
        assert store.unpark([("mail", 1)]) == 1

    def test_of_backends(self, store: DatabaseStore, worker: WorkerRef) -> None:
        for name in NAMES:
            other = DatabaseStore(name, database="mariadb")
            add(other)
            assert other.waiting() == ["default"]
            assert len(claim(other, register(other))) == 1

    def test_of_workers_and_runners(self, store: DatabaseStore) -> None:
        for name in NAMES:
            register(store, f"{name}-worker", f"{name}-runner")
        assert store.beat("mail-runner") == {f"{name}-runner": 1 + (name == "mail") for name in NAMES}

    def test_of_schedules(self, store: DatabaseStore) -> None:
        schedules = DatabaseSchedules(store)
        for name in NAMES:
            put(schedules, schedule(name))
        assert {found.schedule.key for found in schedules.listed(10)} == set(NAMES)
        assert [found.schedule.key for found in schedules.get(["mail "])] == ["mail "]


class TestData:
    """Is stored whole, or refused."""

    TOO_LARGE = "x" * 17_000_000

    def test_a_job_that_is_larger_than_a_packet_is_refused_with_both_sizes(
        self, store: DatabaseStore
    ) -> None:
        largest = asked(store, "SELECT @@max_allowed_packet")
        job = new_job(payload="x" * largest)
        with pytest.raises(StoreRefused, match=rf"max_allowed_packet is {largest:,}"):
            store.enqueue([job, new_job()])
        assert not Job.objects.using("mariadb").exists()
        store.enqueue([new_job(payload="x" * (largest // 2))])

    def test_an_outcome_that_is_larger_than_a_packet_is_refused_and_its_job_keeps_running(
        self, store: DatabaseStore, worker: WorkerRef
    ) -> None:
        id = add(store)
        held = claim_one(store, worker)
        result = "x" * asked(store, "SELECT @@max_allowed_packet")
        with pytest.raises(StoreRefused, match="max_allowed_packet"):
            settle_one(store, worker, Outcome.succeeded(held, result, 1.0))
        assert state_of(store, id) == State.RUNNING

    def test_a_batch_that_is_larger_than_a_packet_is_stored(self, store: DatabaseStore) -> None:
        largest = asked(store, "SELECT @@max_allowed_packet")
        store.enqueue([new_job(payload="x" * (largest // 4)) for _ in range(5)])
        assert Live.objects.using("mariadb").count() == 5

    def test_an_enqueue_on_a_connection_that_would_cut_it_off_is_refused(self, store: DatabaseStore) -> None:
        with store.connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_mode = ''")
        with pytest.raises(StoreNotReady, match="STRICT_TRANS_TABLES"):
            add(store)
        store.connection.close()
        add(store)  # On another connection, with the server's mode.

    def test_runners_are_strict_whatever_the_server_is(
        self, store: DatabaseStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(
            connections["mariadb"].settings_dict["OPTIONS"], "init_command", "SET sql_mode = 'ANSI_QUOTES'"
        )
        store.dedicate()
        modes = asked(store, "SELECT @@SESSION.sql_mode").split(",")
        assert sorted(modes) == ["ANSI_QUOTES", "STRICT_TRANS_TABLES"]
        store.close()

    @pytest.mark.parametrize("long", [{"queue": "q" * 256}, {"task": "t" * 256}])
    def test_a_name_that_is_too_long_is_refused(self, store: DatabaseStore, long: dict[str, str]) -> None:
        with pytest.raises(StoreRefused):
            store.enqueue([new_job(**long)])
        assert not Job.objects.using("mariadb").exists()

    def test_a_key_that_is_too_long_is_refused(self, store: DatabaseStore) -> None:
        schedules = DatabaseSchedules(store)
        with pytest.raises(StoreRefused):
            put(schedules, schedule("k" * 256))
        assert schedules.listed(10) == []

    def test_a_database_that_keeps_its_times_elsewhere_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(connections["mariadb"].settings_dict, "TIME_ZONE", "Europe/Berlin")
        with pytest.raises(ConfigError, match="Give DLQ an entry of DATABASES without TIME_ZONE"):
            DatabaseOptions.parse({"database_alias": "mariadb"})

    def test_times_are_those_of_utc_to_the_microsecond(self, store: DatabaseStore) -> None:
        with store.connection.cursor() as cursor:
            cursor.execute("SET SESSION time_zone = '+05:30'")
        run_after = after(0.123456)
        id = add(store, run_after=run_after)
        (job,) = store.get([id])
        assert (job.run_after, job.enqueued_at) == (run_after, NOON)
        assert abs((DatabaseSchedules(store).clock() - store.enqueue([new_job()]).at).total_seconds()) < 60
        assert store.look("nobody", 10).promoted == 1


class TestASiteThatReadsRepeatably:
    @pytest.fixture(autouse=True)
    def repeatable(self, store: DatabaseStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setitem(
            connections["mariadb"].settings_dict["OPTIONS"], "isolation_level", "repeatable read"
        )
        store.connection.close()
        yield
        store.connection.close()

    def test_has_its_own_level_and_we_have_ours(self, store: DatabaseStore) -> None:
        assert not sees_what_is_committed_meanwhile(transaction.atomic("mariadb"))
        assert sees_what_is_committed_meanwhile(store.transaction())
        assert not sees_what_is_committed_meanwhile(transaction.atomic("mariadb"))

    def test_runners_have_ours_without_saying_so_each_time(self, store: DatabaseStore) -> None:
        store.dedicate()
        assert asked(store, "SELECT @@SESSION.tx_isolation") == "READ-COMMITTED"
        store.close()

    def test_stores_a_job_once_that_another_has_stored_behind_its_back(self, store: DatabaseStore) -> None:
        job = new_job()
        with transaction.atomic("mariadb"):
            assert store.get([job.id]) == []  # What it sees from now on is what there is now.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(elsewhere, lambda other: other.enqueue([job])).result()
            store.enqueue([job, new_job()])
        assert Job.objects.using("mariadb").count() == 2


def sees_what_is_committed_meanwhile(began: AbstractContextManager[None]) -> bool:
    with began:
        before = Job.objects.using("mariadb").count()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(elsewhere, add).result()
        return Job.objects.using("mariadb").count() > before


def elsewhere[R](verb: Callable[[DatabaseStore], R]) -> R:
    store = DatabaseStore("default", database="mariadb")
    try:
        return verb(store)
    finally:
        store.close()


class TestDeadlocks:
    @pytest.fixture
    def pauses(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Those that were made before something was repeated."""
        made: list[float] = []
        monkeypatch.setattr(contention.time, "sleep", made.append)
        return made

    def test_are_repeated(self, store: DatabaseStore, pauses: list[float]) -> None:
        ids = sorted(add_many(store, 20))
        # The server ends the one that has written less.
        with second(
            store, lambda other: other.cancel(ids[:2], "not wanted"), lambda: touch(ids[:1])
        ) as reply:
            touch(ids[1:])
        assert reply.result() == Cancelled(done=ids[:2])
        assert len(pauses) >= 1

    def test_in_a_transaction_of_the_callers_are_the_callers(
        self, store: DatabaseStore, pauses: list[float]
    ) -> None:
        ids = sorted(add_many(store, 20))

        def cancel_in_a_transaction(other: DatabaseStore) -> None:
            with transaction.atomic("mariadb"):
                with pytest.raises(StoreError, match="Repeat the whole transaction"):
                    other.cancel(ids[:2], "not wanted")
                with pytest.raises(StoreError, match="until the end of the 'atomic' block"):
                    add(other)

        with second(store, cancel_in_a_transaction, lambda: touch(ids[:1])) as reply:
            touch(ids[1:])
        assert reply.result() is None
        assert pauses == []
        assert {job.state for job in store.get(ids)} == {State.READY}

    def test_are_given_up_when_there_is_no_end_of_them(
        self, store: DatabaseStore, pauses: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(contention, "TRIES", 3)

        class Unlucky:
            connection = store.connection

            @contention.repeated
            def verb(self) -> None:
                raise contention.Contended("the database gave way")

        with pytest.raises(contention.Contended):
            Unlucky().verb()
        assert len(pauses) == 2


def touch(ids: Sequence[Any]) -> None:
    for id in ids:
        Live.objects.using("mariadb").filter(pk=id).update(attempts=1)


def test_every_call_of_a_runner_ends(dedicated: DatabaseStore) -> None:
    limits = ("innodb_lock_wait_timeout", "max_statement_time", "idle_transaction_timeout")
    assert [asked(dedicated, f"SELECT @@SESSION.{name}") for name in limits] == [10, 20.0, 10]
    options = dedicated.connection.settings_dict["OPTIONS"]
    assert [options[f"{name}_timeout"] for name in ("connect", "read", "write")] == [10, 25, 25]


def test_django_does_not_warn_of_indexes_that_are_others_here() -> None:
    assert [message for message in run_checks(databases=["mariadb"]) if message.id == "models.W037"] == []


VERBS: dict[str, Callable[[DatabaseStore, Held], object]] = {
    "enqueue": lambda store, held: add(store),
    "exchange": lambda store, held: store.exchange(held.worker, held.outcomes, ["default"], 10),
    "annotate": lambda store, held: store.annotate(held.notes),
    "reconcile": lambda store, held: store.reconcile(held.worker, []),
    "cancel": lambda store, held: store.cancel([held.waiting, held.running, held.ended], "not wanted"),
    "retry": lambda store, held: store.retry([held.ended]),
    "unpark": lambda store, held: store.unpark([("shop.tasks.new", 1)]),
    "look": lambda store, held: store.look("runner-1", 10, now=after(1e9)),
    "prune": lambda store, held: store.prune(State.FAILED, 1.0, 10, now=after(1e9)),
    "register": lambda store, held: register(store),
    "retire": lambda store, held: store.retire("runner-1"),
    "pause": lambda store, held: store.pause("default"),
}


class Held:
    """A few jobs in different states."""

    def __init__(self, store: DatabaseStore) -> None:
        self.worker = register(store)
        add_many(store, 2)
        add(store, run_after=after(60), expires_after=90.0)
        for outcome_of in (Outcome.parked, lambda claim: Outcome.failed(claim, FAILURE)):
            self.ended = add(store, task="shop.tasks.new", priority=10)
            settle_one(store, self.worker, outcome_of(claim_one(store, self.worker)))
        self.waiting, running = add(store), claim_one(store, self.worker)
        self.running = running.id
        self.outcomes = [Outcome.succeeded(running, "null", 1.0)]
        self.notes = [Note(id=running.id, token=running.token, progress=0.5, metadata="{}", lines=["half"])]


@pytest.mark.parametrize("verb", VERBS)
def test_nobody_waits_for_a_client_who_takes_long_to_commit(store: DatabaseStore, verb: str) -> None:
    held = Held(store)

    def at_once(other: DatabaseStore) -> None:
        with other.connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
        VERBS[verb](other, held)

    with transaction.atomic("mariadb"):
        store.enqueue([new_job(), new_job(run_after=after(60), expires_after=90.0)], now=NOON)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(elsewhere, at_once).result()


class Planned:
    """The statements of a block, and how the server goes about each."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self.statements: dict[str, Any] = {}

    def record(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip().startswith(("SELECT", "UPDATE", "DELETE")):
            self.statements.setdefault(sql, params)
        return execute(sql, params, many, context)

    def steps(self) -> Iterator[tuple[str, str | None, str, str]]:
        """For each statement and table of DLQ: the way in, the index, and what else is done."""
        with self._connection.cursor() as cursor:
            for sql, params in self.statements.items():
                cursor.execute(f"EXPLAIN {sql}", params)
                for _, _, table, way, _, index, _, _, _, extra, *_ in cursor.fetchall():
                    if table in TABLES:
                        yield sql, index, way, extra or ""


TABLES = {
    "l",
    "j",
    "old",
    "w",
    "r",
    "p",
    "dlq_live",
    "dlq_job",
    "dlq_worker",
    "dlq_pause",
    "dlq_attempt",
    "dlq_note",
}
BY_GROUP = "Using index for group-by"
"""Steps from group to group; what is sorted are the names that it has found."""


@pytest.mark.parametrize("jobs", [30, 2000])
def test_every_search_of_the_hot_path_goes_by_an_index_and_sorts_no_queue(
    dedicated: DatabaseStore, jobs: int
) -> None:
    worker = register(dedicated)
    add_many(dedicated, jobs)
    with dedicated.connection.cursor() as cursor:
        cursor.execute("ANALYZE TABLE dlq_live, dlq_job, dlq_worker, dlq_runner, dlq_pause")
    planned = Planned(dedicated.connection)
    with dedicated.connection.execute_wrapper(planned.record):
        work(dedicated, worker)
        DatabaseInspector(dedicated)._latencies(NOON)
    assert len(planned.statements) >= 12
    for sql, index, way, extra in planned.steps():
        assert index is not None, sql
        assert way not in ("ALL", "index"), sql
        assert "filesort" not in extra or BY_GROUP in extra, sql


def work(store: Store, worker: WorkerRef) -> None:
    """Every verb of the hot path, with every kind of outcome."""
    held = claim(store, worker, 6)
    store.annotate([Note(id=held[0].id, token=held[0].token, progress=0.5, metadata="{}", lines=["half"])])
    outcomes = [
        Outcome.succeeded(held[0], "null", 1.0),
        Outcome.failed(held[1], FAILURE),
        Outcome.retry(held[2], FAILURE, 0.0),
        Outcome.retry(held[3], FAILURE, 60.0),
        Outcome.handed_back(held[4]),
    ]
    store.exchange(worker, outcomes, ["default"], 2)
    store.exchange(worker, outcomes[:1], ["default"], 0)
    store.look("runner-1", 10)
    store.look("runner-1", 10, now=after(1e9))
    store.waiting()
