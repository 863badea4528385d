"""The contract of stores, on every database."""

from __future__ import annotations

import os
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


@pytest.mark.django_db(transaction=True, databases=["mariadb"])
class TestMariaDB(DatabaseContract):
    database = "mariadb"


@pytest.mark.skipif("DLQ_TEST_MYSQL_URL" not in os.environ, reason="DLQ_TEST_MYSQL_URL names no server")
@pytest.mark.django_db(transaction=True, databases=["mysql"])
class TestMySQL(DatabaseContract):
    database = "mysql"
