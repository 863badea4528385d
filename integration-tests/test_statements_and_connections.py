"""What a site asks of PostgreSQL, counted in the server's own log and statistics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

from dlq.states import State
from own_postgresql import OwnPostgreSQL
from processes import until
from project import tasks
from sites import Site

APPLICATION = "a caller"


@pytest.fixture(scope="module")
def server(django_db_blocker: DjangoDbBlocker) -> Iterator[OwnPostgreSQL]:
    with django_db_blocker.unblock(), OwnPostgreSQL.made() as server:
        server.ask("ALTER DATABASE site SET log_statement = 'all'")
        yield server


@pytest.fixture
def own(server: OwnPostgreSQL, tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Site]:
    with django_db_blocker.unblock(), Site.at(server.url, tmp_path) as site:
        site.options |= {"poll_interval": 1.5, "heartbeat_interval": 5.0, "alive_threshold": 30.0}
        yield site


class Asked:
    """The statements of an application since this was made."""

    def __init__(self, server: OwnPostgreSQL, application: str) -> None:
        self._server, self._application = server, application
        self._before = len(server.logged_statements(application))

    def __call__(self) -> list[str]:
        return self._server.logged_statements(self._application)[self._before :]

    def without_words(self) -> list[str]:
        """All but those that tell of new jobs, of which there are at most twenty a second."""
        return [sql for sql in self() if "pg_notify" not in sql]


def test_an_enqueue_is_one_statement_in_a_transaction_and_outside(own: Site, server: OwnPostgreSQL) -> None:
    connections[own.alias].settings_dict["OPTIONS"] = {"application_name": APPLICATION}
    own.enqueue(tasks.noop)
    asked = Asked(server, APPLICATION)
    for _ in range(100):
        own.enqueue(tasks.noop)
    assert len(asked.without_words()) == 100
    assert len(asked()) < 200

    asked = Asked(server, APPLICATION)
    with own.transaction():
        own.enqueue(tasks.noop)
    assert len(asked.without_words()) == 3  # With BEGIN and COMMIT.

    asked = Asked(server, APPLICATION)
    with own.transaction():
        for _ in range(100):
            own.enqueue(tasks.noop)
        assert len(asked()) == 101  # And no word before the commit.
    assert len(asked.without_words()) == 102


def test_a_worker_under_load_asks_a_tenth_of_a_statement_for_each_job(
    own: Site, server: OwnPostgreSQL
) -> None:
    runner = own.start({"*": 1})
    own.all_settled(own.enqueue_each(tasks.noop, [()] * 200), within=30)  # Now it claims many at a time.
    asked = Asked(server, "dlq")
    own.all_settled(own.enqueue_each(tasks.noop, [()] * 3000), within=60)
    print(f"{len(asked())} statements for 3000 jobs")
    assert len(asked()) <= 300, runner.log


def test_of_an_idle_runner_only_the_upkeep_asks_something(own: Site, server: OwnPostgreSQL) -> None:
    own.options["heartbeat_interval"] = 0.25  # The clock of this test.
    own.start({"*": 3})
    asked = Asked(server, "dlq")
    until(lambda: _about(asked, BEAT) >= 20, 60, lambda: "the runner does not beat")
    looks, beats = _about(asked, LOOK), _about(asked, BEAT)
    others = len(asked()) - looks - beats
    print(f"beside {beats} beats, {looks} looks, and {others} other statements")
    assert looks <= beats / 2  # One in 1.5 s.
    assert others <= 10  # What is done when it starts, and then once a minute.


BEAT, LOOK = "SET beat =", "cancellation AS"


def _about(asked: Asked, words: str) -> int:
    return sum(words in sql for sql in asked())


@pytest.mark.parametrize("site_options", [{"CONN_MAX_AGE": 0}, {"OPTIONS": {"pool": True}}])
def test_workers_keep_their_connections_whatever_the_site_does_with_its_own(
    own: Site, server: OwnPostgreSQL, site_options: dict[str, Any]
) -> None:
    own.start({"*": 2}, DATABASES={"default": _database(server.url) | site_options})
    own.all_settled(own.enqueue_each(tasks.noop, [()] * 100), within=30)
    before = _sessions(server)
    records = own.all_settled(own.enqueue_each(tasks.noop, [()] * 300), within=30)
    assert {record.state for record in records} == {State.SUCCEEDED}
    after = _sessions(server)
    assert before == after
    assert len(after) == 4  # Two workers, the upkeep, and who listens.


def _sessions(server: OwnPostgreSQL) -> list[tuple[Any, ...]]:
    return server.ask(
        "SELECT pid, backend_start FROM pg_stat_activity WHERE application_name = 'dlq' ORDER BY 1"
    )


def _database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.removeprefix("/"),
        "USER": parts.username,
        "HOST": parts.hostname,
        "PORT": str(parts.port),
    }
