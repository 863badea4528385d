"""Where the jobs of a test may be, each at a URL: files of SQLite, PostgreSQL, MariaDB, Redis."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pymysql
from django.core.management import call_command
from django.db import connections

from project.settings import database

__all__ = ["Databases", "MariaDBServer", "PostgreSQLServer", "RedisServer", "SQLiteFiles", "known", "migrate"]

_numbers = itertools.count(1)


@contextlib.contextmanager
def known(url: str) -> Iterator[str]:
    """Make a database known to this process; the value is its alias."""
    alias = f"site-{next(_numbers)}"
    connections.settings[alias] = connections.settings["default"] | database(url)
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


def migrate(url: str) -> None:
    """Make the tables in a database."""
    with known(url) as alias:
        call_command("migrate", database=alias, verbosity=0, run_syncdb=True)


class Databases(ABC):
    """Makes databases of one kind."""

    @abstractmethod
    def new(self, folder: Path, *, migrated: bool = True) -> contextlib.AbstractContextManager[str]:
        """A database that lives as long as the context; the value is its URL."""

    @abstractmethod
    def close(self) -> None:
        """Leave nothing behind."""


class SQLiteFiles(Databases):
    """Files, each in a folder of its own, so that a test can take it away."""

    def __init__(self, folder: Path) -> None:
        """``folder`` keeps a migrated database, to be copied."""
        self._template = folder / "template.sqlite3"

    @contextlib.contextmanager
    def new(self, folder: Path, *, migrated: bool = True) -> Iterator[str]:
        file = folder / "database" / "site.sqlite3"
        file.parent.mkdir()
        if migrated:
            if not self._template.exists():
                migrate(f"sqlite:///{self._template}")
            shutil.copyfile(self._template, file)
        yield f"sqlite:///{file}"

    def close(self) -> None:
        self._template.unlink(missing_ok=True)


class PostgreSQLServer(Databases):
    """Databases on the running server that ``DLQ_TEST_POSTGRES_URL`` names."""

    def __init__(self) -> None:
        """The server is looked for when a database is wanted."""
        self._template: str | None = None

    @property
    def _url(self) -> str:
        return _server("DLQ_TEST_POSTGRES_URL")

    @contextlib.contextmanager
    def new(self, folder: Path, *, migrated: bool = True) -> Iterator[str]:
        name = self._create(self._migrated() if migrated else "template1")
        try:
            yield self._url_of(name)
        finally:
            self._drop(name)

    def close(self) -> None:
        if self._template is not None:
            self._drop(self._template)

    def _migrated(self) -> str:
        if self._template is None:
            self._template = self._create("template1")
            migrate(self._url_of(self._template))
        return self._template

    def _create(self, template: str) -> str:
        name = f"dlq_site_{secrets.token_hex(6)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _drop(self, name: str) -> None:
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, sql: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as server:
            server.execute(sql.encode())

    def _url_of(self, name: str) -> str:
        return urlsplit(self._url)._replace(path=f"/{name}").geturl()


class MariaDBServer(Databases):
    """Databases on the running server that ``DLQ_TEST_MARIADB_URL`` names."""

    def __init__(self) -> None:
        """The server is looked for when a database is wanted."""
        self._template: str | None = None

    @property
    def _url(self) -> str:
        return _server("DLQ_TEST_MARIADB_URL")

    @contextlib.contextmanager
    def new(self, folder: Path, *, migrated: bool = True) -> Iterator[str]:
        name = self._create()
        try:
            if migrated:
                self._copy_template(name)
            yield self._url_of(name)
        finally:
            self._drop(name)

    def close(self) -> None:
        if self._template is not None:
            self._drop(self._template)

    def _copy_template(self, name: str) -> None:
        """Make the same tables, which takes a tenth of the time that migrations take."""
        if self._template is None:
            self._template = self._create()
            migrate(self._url_of(self._template))
        with self._cursor(self._template) as template, self._cursor(name) as copy:
            template.execute("SHOW TABLES")
            copy.execute("SET foreign_key_checks = 0")
            for (table,) in template.fetchall():
                template.execute(f"SHOW CREATE TABLE {table}")
                copy.execute(template.fetchall()[0][1])
            copy.execute(f"INSERT INTO django_migrations SELECT * FROM {self._template}.django_migrations")
            copy.connection.commit()

    def _create(self) -> str:
        name = f"dlq_site_{secrets.token_hex(6)}"
        with self._cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        return name

    def _drop(self, name: str) -> None:
        with self._cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name}")

    @contextlib.contextmanager
    def _cursor(self, name: str | None = None) -> Iterator[pymysql.cursors.Cursor]:
        parts = urlsplit(self._url)
        with (
            contextlib.closing(
                pymysql.connect(
                    host=parts.hostname,
                    port=parts.port or 3306,
                    user=parts.username,
                    password=parts.password or "",
                    database=name,
                )
            ) as server,
            server.cursor() as cursor,
        ):
            yield cursor

    def _url_of(self, name: str) -> str:
        return urlsplit(self._url)._replace(path=f"/{name}").geturl()


class RedisServer(Databases):
    """The running server that ``DLQ_TEST_REDIS_URL`` names: each site has a prefix of its own there."""

    @contextlib.contextmanager
    def new(self, folder: Path, *, migrated: bool = True) -> Iterator[str]:
        yield _server("DLQ_TEST_REDIS_URL")

    def close(self) -> None:
        """Each site removes its own keys."""


def _server(variable: str) -> str:
    if url := os.environ.get(variable):
        return url
    raise LookupError(f"{variable} names no server. Run the tests with ./tools/test, which brings one.")
