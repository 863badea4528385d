"""Fixtures of the tests with real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pytest_django import DjangoDbBlocker

from databases import Databases, MariaDBServer, PostgreSQLServer, RedisServer, SQLiteFiles
from proxy import Proxy
from sites import Site


@pytest.fixture(scope="session")
def databases(
    tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker
) -> Iterator[dict[str, Databases]]:
    made: dict[str, Databases] = {
        "sqlite": SQLiteFiles(tmp_path_factory.mktemp("sqlite")),
        "postgresql": PostgreSQLServer(),
        "redis": RedisServer(),
        "mariadb": MariaDBServer(),
    }
    yield made
    for each in made.values():
        each.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def vendor(request: pytest.FixtureRequest) -> str:
    """Where the jobs are. A test for others says ``parametrize("vendor", [...])``, one for all ``EVERYWHERE``."""
    return str(request.param)


@pytest.fixture
def migrated() -> bool:
    """Whether the database has its tables."""
    return True


@pytest.fixture
def site(
    vendor: str,
    migrated: bool,
    databases: dict[str, Databases],
    tmp_path: Path,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[Site]:
    """A site without any job or process yet."""
    with (
        django_db_blocker.unblock(),
        databases[vendor].new(tmp_path, migrated=migrated) as url,
        Site.at(url, tmp_path) as site,
    ):
        yield site


@pytest.fixture
def proxy(site: Site) -> Iterator[Proxy]:
    """A proxy in front of the site's server, for those processes that are to go through it."""
    parts = urlsplit(site.url)
    assert parts.hostname is not None
    assert parts.port is not None
    with Proxy(parts.hostname, parts.port) as proxy:
        yield proxy
