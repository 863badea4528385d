"""The contract of stores, on every database."""

from __future__ import annotations

from typing import ClassVar

import pytest

from dlq.store import Store
from dlq.testing.contract import MakeStore, StoreContract
from dlq_db.inspector import DatabaseInspector
from dlq_db.store import DatabaseStore


class DatabaseContract(StoreContract):
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
class TestSQLite(DatabaseContract):
    database = "default"


@pytest.mark.django_db(transaction=True, databases=["postgres"])
class TestPostgreSQL(DatabaseContract):
    database = "postgres"
