"""The contract of stores, on every database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from itertools import count
from typing import Any, ClassVar

import pytest
from django.db import connections

from dlq.job import NewJob
from dlq.store import Store
from dlq.testing.contract import MakeStore, ScheduleContract, StoreContract
from dlq.testing.contract.builders import register
from dlq.testing.contract.cancelling import Cancelling
from dlq.testing.contract.claiming import Claiming
from dlq.testing.contract.concurrency import Concurrency
from dlq.testing.contract.enqueueing import Enqueueing
from dlq.testing.contract.expiring import Expiring
from dlq.testing.contract.limiting import Limiting
from dlq.testing.contract.listening import Listening
from dlq.testing.contract.liveness import Liveness
from dlq.testing.contract.looking import Looking
from dlq.testing.contract.model import Modelled
from dlq.testing.contract.notes import Notes
from dlq.testing.contract.parking import Parking
from dlq.testing.contract.pausing import Pausing
from dlq.testing.contract.reconciling import Reconciling
from dlq.testing.contract.retrying import Retrying
from dlq.testing.contract.schedule_builders import MakeSchedules
from dlq.testing.contract.settling import Settling
from dlq.workers import WorkerRef
from dlq_db.dialects.postgresql import PostgreSQL, Searches
from dlq_db.inspector import DatabaseInspector
from dlq_db.schedules import DatabaseSchedules
from dlq_db.store import DatabaseStore


class OnADatabase:
    """The fixtures of the contract."""

    database: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def make_store(self) -> MakeStore:
        return lambda alias="default": DatabaseStore(alias, database=self.database, **self.options)

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        return make_store()

    @pytest.fixture
    def inspector(self, store: DatabaseStore) -> DatabaseInspector:
        return DatabaseInspector(store)


@pytest.mark.django_db(transaction=True, databases=["default"])
class TestSQLite(OnADatabase, StoreContract):
    database = "default"


@pytest.mark.django_db(transaction=True, databases=["postgres"])
class TestPostgreSQL(OnADatabase, StoreContract):
    database = "postgres"


class OnScheduleTables(OnADatabase, ScheduleContract):
    @pytest.fixture
    def make_schedules(self) -> MakeSchedules:
        return DatabaseSchedules  # type: ignore[return-value]


@pytest.mark.django_db(transaction=True, databases=["default"])
class TestSQLiteSchedules(OnScheduleTables):
    database = "default"


@pytest.mark.django_db(transaction=True, databases=["postgres"])
class TestPostgreSQLSchedules(OnScheduleTables):
    database = "postgres"


@pytest.mark.django_db(transaction=True, databases=["mariadb"])
class TestMariaDB(OnADatabase, StoreContract):
    database = "mariadb"
    can_listen = False


@pytest.mark.django_db(transaction=True, databases=["mariadb"])
class TestMariaDBSchedules(OnScheduleTables):
    database = "mariadb"


# No package brings MySQL to a machine that has MariaDB, so it is tested where there is a server.
ON_MYSQL = pytest.mark.skipif(
    "DLQ_TEST_MYSQL_URL" not in os.environ, reason="DLQ_TEST_MYSQL_URL names no server"
)


@ON_MYSQL
@pytest.mark.django_db(transaction=True, databases=["mysql"])
class TestMySQL(OnADatabase, StoreContract):
    database = "mysql"
    can_listen = False


@ON_MYSQL
@pytest.mark.django_db(transaction=True, databases=["mysql"])
class TestMySQLSchedules(OnScheduleTables):
    database = "mysql"


class EveryStatement(
    OnADatabase,
    Enqueueing,
    Claiming,
    Settling,
    Reconciling,
    Liveness,
    Cancelling,
    Retrying,
    Notes,
    Looking,
    Listening,
):
    """The areas in which each statement is sent, on connections as runners have them.

    Races, series of calls beside a model, and what holds for all kinds of outcomes and values, depend neither on the
    version nor on a pooler.
    """

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Iterator[Store]:
        store = make_store()
        store.dedicate()
        yield store
        store.close()

    @pytest.fixture
    def worker(self, store: Store) -> WorkerRef:
        return register(store, "worker-1", "runner-1")

    @pytest.fixture
    def other_worker(self, store: Store) -> WorkerRef:
        return register(store, "worker-2", "runner-2")


@pytest.mark.django_db(transaction=True, databases=["postgres18"])
class TestPostgreSQL18(EveryStatement):
    database = "postgres18"

    def test_it_is_that_version(self, store: DatabaseStore) -> None:
        assert store.connection.pg_version // 10_000 == 18


# The rows are removed through ``postgres``, which is the same database.
@pytest.mark.django_db(transaction=True, databases=["postgres", "pgbouncer"])
class TestPgBouncer(EveryStatement, Limiting):
    database = "pgbouncer"
    options: ClassVar[dict[str, Any]] = {"pooling": "transaction"}
    can_listen = False

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def no_connection_is_left_in_the_pool(cls, django_db_blocker: Any) -> Iterator[None]:
        """It would keep the database from being dropped."""
        yield
        with django_db_blocker.unblock(), connections["postgres"].cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connections["postgres"].close()


class MarkedStore(DatabaseStore):
    """All searches count as slow, so that most begin at marks; these stay at the head, for its clock hardly moves."""

    @cached_property
    def dialect(self) -> PostgreSQL:
        ticks: Callable[[], float] = count(step=1e-9).__next__
        return PostgreSQL(Searches(clock=ticks, many=-1))

    def enqueue(self, jobs: Sequence[NewJob], *, now: datetime | None = None) -> datetime:
        """Elsewhere a queue that is new to a process is found when that looks from the head again."""
        self.dialect._waiting.know(job.queue for job in jobs)
        self.dialect._looking.know(job.queue for job in jobs)
        return super().enqueue(jobs, now=now)


@pytest.mark.django_db(transaction=True, databases=["postgres"])
class TestPostgreSQLWithMarks(
    OnADatabase, Claiming, Pausing, Parking, Expiring, Looking, Concurrency, Modelled
):
    """The areas in which something is searched."""

    database = "postgres"
    worker, other_worker = StoreContract.worker, StoreContract.other_worker

    @pytest.fixture
    def make_store(self) -> MakeStore:
        return lambda alias="default": MarkedStore(alias, database=self.database)
