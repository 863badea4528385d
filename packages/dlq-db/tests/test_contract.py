"""The contract of stores, on every database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from itertools import count
from typing import ClassVar

import pytest

from dlq.job import NewJob
from dlq.store import Store
from dlq.testing.contract import MakeStore, StoreContract
from dlq.testing.contract.claiming import Claiming
from dlq.testing.contract.concurrency import Concurrency
from dlq.testing.contract.expiring import Expiring
from dlq.testing.contract.looking import Looking
from dlq.testing.contract.model import Modelled
from dlq.testing.contract.parking import Parking
from dlq.testing.contract.pausing import Pausing
from dlq_db.dialects.postgresql import PostgreSQL, Searches
from dlq_db.inspector import DatabaseInspector
from dlq_db.store import DatabaseStore


class OnDatabase:
    """The fixtures of the contract."""

    database: ClassVar[str]

    @pytest.fixture
    def make_store(self) -> MakeStore:
        return lambda alias="default": DatabaseStore(alias, database=self.database)

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        return make_store()

    @pytest.fixture
    def inspector(self, store: DatabaseStore) -> DatabaseInspector:
        return DatabaseInspector(store)


@pytest.mark.django_db(transaction=True, databases=["default"])
class TestSQLite(OnDatabase, StoreContract):
    database = "default"


@pytest.mark.django_db(transaction=True, databases=["postgres"])
class TestPostgreSQL(OnDatabase, StoreContract):
    database = "postgres"


class MarkedStore(DatabaseStore):
    """All searches count as slow, so that most begin at marks; these stay at the head, for its clock hardly moves."""

    @cached_property
    def _dialect(self) -> PostgreSQL:
        ticks: Callable[[], float] = count(step=1e-9).__next__
        return PostgreSQL(Searches(clock=ticks, many=-1))

    def enqueue(self, jobs: Sequence[NewJob], *, now: datetime | None = None) -> datetime:
        """Elsewhere a queue that is new to a process is found when that looks from the head again."""
        self._dialect._waiting.know(job.queue for job in jobs)
        self._dialect._looking.know(job.queue for job in jobs)
        return super().enqueue(jobs, now=now)


@pytest.mark.django_db(transaction=True, databases=["postgres"])
class TestPostgreSQLWithMarks(
    OnDatabase, Claiming, Pausing, Parking, Expiring, Looking, Concurrency, Modelled
):
    """The areas in which something is searched."""

    database = "postgres"
    worker, other_worker = StoreContract.worker, StoreContract.other_worker

    @pytest.fixture
    def make_store(self) -> MakeStore:
        return lambda alias="default": MarkedStore(alias, database=self.database)
