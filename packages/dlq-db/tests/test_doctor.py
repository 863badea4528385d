"""What ``queue_doctor`` sees: each trouble is made on a real database, and what is said to help does help."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder
from pytest_django import DjangoDbBlocker, Settings

from databases import known
from dlq.conf import WorkerPool
from dlq.selectors import Selector
from dlq_db.doctor import examine
from dlq_db.doctor.findings import Finding, Severity, duration, size
from dlq_db.doctor.postgresql import autovacuum, bloat, budget, clock, holders, invalid
from dlq_db.doctor.postgresql.reading import read
from dlq_db.doctor.sqlite import file

DATABASES = ["default", "postgres"]
ON_POSTGRESQL = pytest.mark.parametrize("connection", ["postgres"], indirect=True)

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)


@pytest.fixture(params=DATABASES)
def connection(request: pytest.FixtureRequest) -> BaseDatabaseWrapper:
    return connections[request.param]


def execute(connection: BaseDatabaseWrapper, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def wrong(connection: BaseDatabaseWrapper) -> list[Finding]:
    """What is found but for notes, and for what another session of this test run may do to a SQLite file's mode."""
    return [
        finding
        for finding in examine(connection)
        if finding.severity is not Severity.NOTE and finding.subject not in ("journal", "transactions")
    ]


def cured(connection: BaseDatabaseWrapper, subject: str, seen: str) -> bool:
    """Whether this one thing is found, and gone after its remedy."""
    [finding] = wrong(connection)
    assert (finding.subject, finding.severity) == (subject, Severity.ERROR)
    assert seen in finding.seen
    assert finding.remedy is not None
    execute(connection, finding.remedy)
    return wrong(connection) == []


def test_a_sound_database_has_nothing_wrong(connection: BaseDatabaseWrapper) -> None:
    assert wrong(connection) == []


class TestIndexes:
    def test_a_missing_one_comes_with_the_statement_that_makes_it(
        self, connection: BaseDatabaseWrapper
    ) -> None:
        execute(connection, "DROP INDEX dlq_live_due")
        assert cured(connection, "indexes", "missing: dlq_live_due on dlq_live")

    @ON_POSTGRESQL
    def test_a_missing_constraint_does_too(self, connection: BaseDatabaseWrapper) -> None:
        execute(connection, "ALTER TABLE dlq_pause DROP CONSTRAINT dlq_pause_queue")
        assert cured(connection, "indexes", "missing: dlq_pause_queue on dlq_pause")

    def test_so_does_that_of_a_foreign_key(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            made = connection.introspection.get_constraints(cursor, "dlq_attempt")
        [name] = [name for name, each in made.items() if each["columns"] == ["job_id"] and each["index"]]
        execute(connection, f'DROP INDEX "{name}"')
        assert cured(connection, "indexes", "missing: the index of dlq_attempt.job_id")

    @ON_POSTGRESQL
    def test_one_that_is_half_made_is_made_again(self, connection: BaseDatabaseWrapper) -> None:
        execute(
            connection,
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'dlq_job_finished'::regclass",
        )
        assert cured(connection, "indexes", "dlq_job_finished is invalid")


class TestMigrations:
    def test_that_are_not_applied_are_named(self, connection: BaseDatabaseWrapper) -> None:
        recorder = MigrationRecorder(connection)
        names = sorted(name for app, name in recorder.applied_migrations() if app == "dlq_db")
        recorder.record_unapplied("dlq_db", names[-1])
        try:
            [finding] = [each for each in wrong(connection) if each.subject == "migrations"]
        finally:
            recorder.record_applied("dlq_db", names[-1])
        assert names[-1] in finding.seen
        assert finding.remedy == f"manage.py migrate dlq_db --database {connection.alias}"

    def test_that_made_no_tables_are_found_out(self, connection: BaseDatabaseWrapper) -> None:
        execute(connection, "ALTER TABLE dlq_note RENAME TO elsewhere")
        try:
            findings = wrong(connection)
        finally:
            execute(connection, "ALTER TABLE elsewhere RENAME TO dlq_note")
        assert "tables are missing: dlq_note" in findings[0].seen


@ON_POSTGRESQL
class TestAutovacuum:
    def test_that_is_off_for_a_table_is_switched_on(self, connection: BaseDatabaseWrapper) -> None:
        execute(connection, "ALTER TABLE dlq_live SET (autovacuum_enabled = off)")
        assert cured(connection, "autovacuum", "switched off for dlq_live")

    def test_that_is_off_on_the_server_does_harm(self, connection: BaseDatabaseWrapper) -> None:
        [finding] = autovacuum.judge_server({"autovacuum": "off", "track_counts": "on"})
        assert finding.remedy == "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf()"

    def test_that_is_long_overdue_is_said_with_its_numbers(self, connection: BaseDatabaseWrapper) -> None:
        rows = read(connection, autovacuum.TABLES, ["dlq_live"])
        assert list(autovacuum.judge_tables(rows)) == []
        rows[0] |= {"dead": 1_000_000, "live": 10, "vacuumed_ago": 7200}
        [finding] = autovacuum.judge_tables(rows)
        assert "1,000,000 dead rows beside 10 live ones, last vacuumed 2 h ago" in finding.seen


@ON_POSTGRESQL
class TestTransactions:
    @pytest.fixture
    def other(self, connection: BaseDatabaseWrapper) -> Iterator[psycopg.Connection[Any]]:
        connection.ensure_connection()
        info = connection.connection.info
        with psycopg.connect(
            host=info.host, port=info.port, user=info.user, dbname=info.dbname, application_name="report"
        ) as other:
            yield other

    def test_that_are_open_for_long_are_named_and_can_be_ended(
        self, connection: BaseDatabaseWrapper, other: psycopg.Connection[Any]
    ) -> None:
        other.execute("SELECT txid_current()")
        findings = list(holders.judge_transactions(read(connection, holders.TRANSACTIONS), long=0))
        [finding] = [each for each in findings if each.figures["pid"] == other.info.backend_pid]
        assert f"pid {other.info.backend_pid} (report, idle in transaction)" in finding.seen
        assert finding.remedy is not None
        execute(connection, finding.remedy)
        with pytest.raises(psycopg.OperationalError):
            other.execute("SELECT 1")

    def test_do_no_harm_as_long_as_they_are_short(
        self, connection: BaseDatabaseWrapper, other: psycopg.Connection[Any]
    ) -> None:
        other.execute("SELECT txid_current()")
        assert list(holders.check(connection)) == []

    @pytest.mark.parametrize(("open_for", "severity"), [(400, Severity.WARNING), (3600, Severity.ERROR)])
    def test_grow_worse(self, connection: BaseDatabaseWrapper, open_for: float, severity: Severity) -> None:
        row = {"pid": 7, "application": "", "state": "active", "open_for": open_for}
        row |= {"query_ago": None, "xids": 1_234_567}
        [finding] = holders.judge_transactions([row])
        assert finding.severity is severity
        assert "pid 7 (no application_name, active)" in finding.seen
        assert "1,234,567 have begun since" in finding.seen

    def test_may_be_prepared_and_forgotten(self, connection: BaseDatabaseWrapper) -> None:
        [finding] = holders.judge_prepared([{"gid": "'it''s'", "owner": "site", "open_for": 86_400 * 3}])
        assert finding.seen == "the prepared transaction 'it''s' of site is open for 3 d"
        assert finding.remedy == "ROLLBACK PREPARED 'it''s'"

    def test_are_held_by_slots_that_nobody_uses(self, connection: BaseDatabaseWrapper) -> None:
        rows = [{"name": f"'{name}'", "active": name == "used", "xids": 10} for name in ("used", "left")]
        [finding] = holders.judge_slots(rows)
        assert "SELECT pg_drop_replication_slot('left')" in str(finding.remedy)


@ON_POSTGRESQL
class TestBloat:
    def test_is_seen_in_tables_and_indexes(self, connection: BaseDatabaseWrapper) -> None:
        rows = {row["name"]: row for row in read(connection, bloat.RELATIONS, ["dlq_live"], ["dlq_live"])}
        assert rows["dlq_live"]["fillfactor"] < 100
        for row in rows.values():
            row |= {"bytes": 2**30, "rows": 1000.0, "width": 100}
        found = {finding.seen.split()[0]: finding for finding in bloat.judge(rows.values())}
        assert found.keys() == rows.keys()
        assert found["dlq_live_ready"].remedy == "REINDEX INDEX CONCURRENTLY dlq_live_ready"
        assert "has 1.0 GiB for 1,000 rows" in found["dlq_live"].seen

    def test_is_not_what_is_full_small_or_unknown(self, connection: BaseDatabaseWrapper) -> None:
        plain = {"name": "t", "is_index": False, "width": 100, "fillfactor": 50.0}
        rows = [{"bytes": 2**30, "rows": 4e6}, {"bytes": 2**20, "rows": 0}, {"bytes": 2**30, "rows": -1}]
        assert list(bloat.judge(plain | row for row in rows)) == []


@ON_POSTGRESQL
class TestTheClock:
    def test_is_this_machine_s_where_the_server_runs_here(self, connection: BaseDatabaseWrapper) -> None:
        assert list(clock.check(connection)) == []

    def test_is_compared_no_more_exactly_than_it_was_asked(self, connection: BaseDatabaseWrapper) -> None:
        assert list(clock.judge(100.0, 100.0, 110.0)) == []
        [finding] = clock.judge(100.0, 109.9, 110.1)
        assert "10.0 s ahead of the server" in finding.seen
        [finding] = clock.judge(100.0, 89.9, 90.1)
        assert "10.0 s behind the server" in finding.seen


@ON_POSTGRESQL
class TestConnections:
    def test_are_noted(self, connection: BaseDatabaseWrapper) -> None:
        [finding] = budget.check(connection)
        assert finding.severity is Severity.NOTE
        assert finding.figures["used"] >= 1

    def test_are_counted_for_each_process_and_thread(self, connection: BaseDatabaseWrapper) -> None:
        pools = [WorkerPool(selector=Selector(queue), **entry) for queue, entry in self.POOLS.items()]
        assert budget.needed(pools, 1) == 2 + 2 * 2 + 1 * 9 + 1 * 2

    POOLS: dict[str, dict[str, Any]] = {
        "mail": {"processes": 2},
        "images": {"threads": 8},
        "hooks": {"concurrency": 200},
    }

    def test_that_are_too_few_are_said_before_they_are_missing(self, connection: BaseDatabaseWrapper) -> None:
        row = {"most": 97, "used": 90, "ours": 10}
        [tight] = budget.judge(row, need=20, machines=1)
        [short] = budget.judge(row, need=20, machines=5)
        assert (tight.severity, short.severity) == (Severity.WARNING, Severity.ERROR)
        assert "max_connections = 150" in str(tight.remedy)
        assert (
            "5 machine(s) can come to need 100, 20 each; others hold 80 now, and there are 97" in short.seen
        )


class TestASQLiteFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "site.sqlite3"

    @pytest.fixture
    def connection(self, path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[BaseDatabaseWrapper]:
        with django_db_blocker.unblock(), known(f"sqlite:///{path}") as alias:
            yield connections[alias]

    def test_is_better_off_with_write_ahead_logging(self, connection: BaseDatabaseWrapper) -> None:
        [finding] = file.check_journal(connection)
        assert finding.seen.startswith("journal_mode is delete")
        execute(connection, str(finding.remedy))
        assert list(file.check_journal(connection)) == []

    def test_is_found_to_be_damaged(self, connection: BaseDatabaseWrapper, path: Path) -> None:
        execute(connection, "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        execute(connection, "INSERT INTO t VALUES (1, 'x')")
        assert list(file.check_integrity(connection)) == []
        connection.close()
        with path.open("r+b") as raw:
            raw.seek(4096 + 8)
            raw.write(b"\xff\xff")
        [finding] = file.check_integrity(connection)
        # How many problems it makes of that is up to the version of SQLite.
        assert finding.severity is Severity.ERROR
        assert int(str(finding.figures["problems"])) >= 1

    def test_tells_its_size(self, connection: BaseDatabaseWrapper) -> None:
        execute(connection, "CREATE TABLE t (a)")
        [finding] = file.check_space(connection)
        assert finding.seen == "the file has 8 KiB, 0 bytes of them free"
        [finding] = file.judge_space(2**30, 2**30 - 2**20)
        assert str(finding.remedy).startswith("VACUUM")


class TestTheCommand:
    """``queue_doctor``."""

    @pytest.fixture(autouse=True)
    def backend(self, settings: Settings) -> None:
        backend = "dlq_db.backends.DatabaseBackend"
        settings.TASKS = {"default": {"BACKEND": backend, "OPTIONS": {"database_alias": "postgres"}}}

    def test_prints_each_finding_with_its_remedy_and_fails(self) -> None:
        connection = connections["postgres"]
        execute(connection, "ALTER TABLE dlq_live SET (autovacuum_enabled = off)")
        out = io.StringIO()
        try:
            with pytest.raises(SystemExit) as ended:
                call_command("queue_doctor", stdout=out)
        finally:
            execute(connection, "ALTER TABLE dlq_live RESET (autovacuum_enabled)")
        assert ended.value.code == 1
        assert "postgres (postgresql)\n" in out.getvalue()
        assert "  error    autovacuum: autovacuum is switched off for dlq_live\n" in out.getvalue()
        assert "           -> ALTER TABLE dlq_live RESET (autovacuum_enabled)\n" in out.getvalue()

    def test_has_the_same_for_programs(self) -> None:
        out = io.StringIO()
        call_command("queue_doctor", "--json", "--backend", "default", stdout=out)
        [finding] = json.loads(out.getvalue())["postgres"]
        assert (finding["subject"], finding["severity"]) == ("connections", "note")

    def test_says_that_a_server_does_not_answer(
        self, tmp_path: Path, settings: Settings, django_db_blocker: DjangoDbBlocker
    ) -> None:
        out = io.StringIO()
        with django_db_blocker.unblock(), known(f"sqlite:///{tmp_path}/no/file") as alias:
            settings.TASKS["default"]["OPTIONS"] = {"database_alias": alias}
            with pytest.raises(SystemExit):
                call_command("queue_doctor", stdout=out)
        assert "error    server: does not answer: unable to open database file" in out.getvalue()


def test_numbers_are_for_people() -> None:
    assert [size(number) for number in (10, 10 * 2**10, 10 * 2**20, 10 * 2**40)] == [
        "10 bytes",
        "10 KiB",
        "10 MiB",
        "10240.0 GiB",
    ]
    assert [duration(number) for number in (5, 150, 7_300, 86_400 * 9)] == ["5 s", "2 min", "2 h", "9 d"]


def test_a_check_that_is_refused_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invalid, "INVALID", "SELECT name FROM nowhere WHERE %s::text[] IS NULL")
    [finding] = wrong(connections["postgres"])
    assert 'could not be examined: relation "nowhere" does not exist' in finding.seen
