"""What ``queue_doctor`` sees on MySQL and MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.doctor import examine
from dlq_db.doctor.findings import Finding, Severity
from dlq_db.doctor.mysql import budget, clock, holders, server
from dlq_db.doctor.mysql.reading import read

pytestmark = pytest.mark.django_db(transaction=True, databases=["mariadb"])


@pytest.fixture
def connection() -> BaseDatabaseWrapper:
    return connections["mariadb"]


def wrong(connection: BaseDatabaseWrapper) -> list[Finding]:
    return [finding for finding in examine(connection) if finding.severity is not Severity.NOTE]


def execute(connection: BaseDatabaseWrapper, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_a_sound_database_has_nothing_wrong(connection: BaseDatabaseWrapper) -> None:
    assert wrong(connection) == []


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("dlq_live", "dlq_live_ready"),
        ("dlq_job", "dlq_job_finished"),
        ("dlq_schedule", "dlq_schedule_due"),
        ("dlq_fire", "dlq_fire_at"),
    ],
)
def test_a_missing_index_comes_with_the_statement_that_makes_it(
    connection: BaseDatabaseWrapper, table: str, name: str
) -> None:
    execute(connection, f"DROP INDEX {name} ON {table}")
    [finding] = wrong(connection)
    assert (finding.subject, finding.severity) == ("indexes", Severity.ERROR)
    assert f"missing: {name} on {table}" in finding.seen
    assert finding.remedy is not None
    execute(connection, finding.remedy)
    assert wrong(connection) == []


def test_an_open_transaction_is_named_and_can_be_ended(connection: BaseDatabaseWrapper) -> None:
    with (
        closing(connection.get_new_connection(connection.get_connection_params())) as other,
        other.cursor() as cursor,
    ):
        # One that has written nothing and locked nothing is none to the server.
        cursor.execute("START TRANSACTION")
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('none', 'none', NOW(6))")
        # The server reads its list anew once in a tenth of a second.
        cursor.execute("SELECT CONNECTION_ID(), SLEEP(0.2)")
        id = cursor.fetchall()[0][0]
        rows = read(connection, holders.TRANSACTIONS)
        [finding] = [found for found in holders.judge_transactions(rows, long=0) if found.figures["id"] == id]
        assert list(holders.judge_transactions(rows)) == []
    assert (finding.severity, finding.remedy) == (Severity.WARNING, f"KILL {id}")


@pytest.mark.parametrize(
    ("findings", "severity", "words"),
    [
        (
            holders.judge_transactions([{"id": 7, "open_for": 1900, "changed": 3}]),
            Severity.ERROR,
            "open for 32 min",
        ),
        (holders.judge_history(2_000_000), Severity.WARNING, "2,000,000 changes wait"),
        (server.judge_mode("ANSI_QUOTES"), Severity.ERROR, "every enqueue is refused"),
        (server.judge_log("STATEMENT"), Severity.ERROR, "refuses all writes at READ COMMITTED"),
        (server.judge_packets(1_048_576, 1_048_576), Severity.WARNING, "max_allowed_packet is 1"),
        (budget.judge(most=10, need=6, machines=2), Severity.ERROR, "can come to need 12, 6 each"),
        (budget.judge(most=151, need=6, machines=2), Severity.NOTE, "there are 151"),
    ],
    ids=["long", "history", "mode", "log", "packet", "crowded", "room"],
)
def test_trouble_is_said_with_its_numbers(
    findings: Iterator[Finding], severity: Severity, words: str
) -> None:
    [finding] = findings
    assert finding.severity is severity
    assert words in finding.seen
    assert bool(finding.remedy) is (severity is not Severity.NOTE)


def test_what_is_well_is_not_mentioned() -> None:
    assert list(holders.judge_history(1000)) == []
    assert list(server.judge_mode("ANSI_QUOTES,STRICT_TRANS_TABLES")) == []
    assert [*server.judge_log("ROW"), *server.judge_log(None)] == []
    assert list(server.judge_packets(16 * 1_048_576, 1_048_576)) == []


def test_the_clock_is_this_machine_s_where_the_server_runs_here(connection: BaseDatabaseWrapper) -> None:
    assert list(clock.check(connection)) == []
