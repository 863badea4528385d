"""Databases that restart, fill up, refuse and conflict: callers are told which, and runners go on by themselves."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from django.db import connections, transaction
from pytest_django import DjangoDbBlocker

from databases import known
from dlq import EnqueueError
from dlq.errors import StoreError, StoreUnavailable
from dlq.states import State
from dlq.testing.contract.builders import new_job
from dlq_db.dialects.postgresql import listening, patience
from dlq_db.store import DatabaseStore
from own_postgresql import OwnPostgreSQL
from processes import until
from project import tasks
from proxy import Proxy
from sites import Site

JOBS = 200


@pytest.fixture(scope="module")
def server(django_db_blocker: DjangoDbBlocker) -> Iterator[OwnPostgreSQL]:
    with django_db_blocker.unblock(), OwnPostgreSQL.made() as server:
        yield server


@pytest.fixture
def own(server: OwnPostgreSQL, tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Site]:
    """A site on a server that nobody else uses. Its tables are empty."""
    with django_db_blocker.unblock():
        with Site.at(server.url, tmp_path) as site:
            yield site
        tables = server.ask("SELECT relname FROM pg_stat_user_tables WHERE relname LIKE 'dlq\\_%'")
        server.ask(f"TRUNCATE {', '.join(name for (name,) in tables)}")


def under_load(site: Site) -> list[UUID]:
    """Jobs of which some have run."""
    ids = site.enqueue_each(tasks.nap, [(f"job-{n}", 0.01) for n in range(JOBS)])
    until(lambda: len(site.traces("ran")) > JOBS // 10, 20, lambda: "nothing runs")
    return ids


def nothing_is_lost(site: Site, ids: list[UUID]) -> None:
    """Each has succeeded, and was counted once. One whose outcome the crash has swallowed runs again."""
    records = site.all_settled(ids, within=60)
    assert Counter(record.state for record in records) == {State.SUCCEEDED: len(ids)}
    assert {record.attempts for record in records} == {1}
    assert {trace.label for trace in site.traces("ran")} == {f"job-{n}" for n in range(JOBS)}


# --- It goes away ---


def test_a_server_that_crashes_under_load_loses_nothing_and_work_goes_on_when_it_is_back(
    own: Site, server: OwnPostgreSQL
) -> None:
    runners = [own.start({"*": 2}) for _ in range(2)]
    ids = under_load(own)
    server.stop()
    for runner in runners:
        runner.logged("Trying again until it is back.")
    time.sleep(3.0)  # Longer than the threshold after which a runner that does not beat counts as lost.
    before = len(own.traces("ran"))
    server.start()
    connections[own.alias].close()
    back = time.monotonic()
    until(lambda: len(own.traces("ran")) > before + 4, 20, lambda: "nothing runs", runners[0])
    print(f"Work went on {time.monotonic() - back:.2f} s after the server was back.")
    nothing_is_lost(own, ids)
    assert all("lost" not in runner.log for runner in runners)


def test_sessions_that_are_ended_one_by_one_cost_time_and_nothing_else(
    own: Site, server: OwnPostgreSQL
) -> None:
    runner = own.start({"*": 2})
    ids = under_load(own)
    sessions = server.ask("SELECT pid FROM pg_stat_activity WHERE application_name = 'dlq'")
    assert len(sessions) == 4  # Two workers, the upkeep, and who listens.
    for (pid,) in sessions:
        server.ask("SELECT pg_terminate_backend(%s)", pid)
        time.sleep(0.05)
    nothing_is_lost(own, ids)
    own.has_workers(runner, 2)
    assert own.settled(own.enqueue(tasks.mark, "after")).state is State.SUCCEEDED


def test_who_listens_to_a_silent_network_notices_and_hears_again(
    own: Site, server: OwnPostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.5)
    monkeypatch.setattr(listening, "CHECK_EVERY", 0.0)
    parts = server.ask("SELECT inet_server_port()")[0]
    with Proxy("127.0.0.1", parts[0]) as proxy, known(proxy.url(server.url)) as alias:
        ear = DatabaseStore(database=alias)
        ear.dedicate()
        ear.listen(0.0)
        proxy.stall = True
        own.enqueue(tasks.noop.using(queue="missed"))
        with pytest.raises(StoreUnavailable, match=r"no answer within 0\.5 s"):
            ear.listen(30.0)
        proxy.stall = False
        assert ear.listen(0.0) == {"missed"}
        ear.close()


# --- It refuses ---


def refused(site: Site, *, limit: str = "", **kwargs: object) -> str:
    """What a caller is told who cannot enqueue; whatever was meant to be stored is not."""
    before = site.counts()

    def try_to_enqueue() -> None:
        with site.transaction():
            if limit:
                with connections[site.alias].cursor() as cursor:
                    cursor.execute(f"SET LOCAL {limit} = 100")
            site.enqueue(tasks.noop, **kwargs)

    with pytest.raises(EnqueueError) as raised:
        try_to_enqueue()
    assert site.counts() == before
    return str(raised.value)


def test_a_lock_that_is_not_given_is_told_and_nothing_is_stored(own: Site, server: OwnPostgreSQL) -> None:
    with psycopg.connect(server.url) as other:
        other.execute("LOCK TABLE dlq_live IN SHARE MODE")
        assert "kept a lock from us for longer than lock_timeout" in refused(own, limit="lock_timeout")
    own.enqueue(tasks.noop)


def test_a_statement_that_takes_too_long_is_told_and_nothing_is_stored(
    own: Site, server: OwnPostgreSQL
) -> None:
    with psycopg.connect(server.url) as other:
        other.execute("LOCK TABLE dlq_live IN SHARE MODE")
        assert "took longer than statement_timeout" in refused(own, limit="statement_timeout")
    own.enqueue(tasks.noop)


@pytest.mark.parametrize("level", ["REPEATABLE_READ", "SERIALIZABLE"])
def test_a_site_with_a_strict_isolation_level_is_told_of_conflicts_and_its_runners_have_none(
    own: Site, server: OwnPostgreSQL, level: str
) -> None:
    strict = {"isolation_level": psycopg.IsolationLevel[level]}
    connections[own.alias].settings_dict["OPTIONS"] = strict
    connections[own.alias].close()
    store, job = DatabaseStore(database=own.alias), new_job()
    with known(server.url) as other, transaction.atomic(using=own.alias):
        store.ping()  # From here on it sees nothing new.
        DatabaseStore(database=other).enqueue([job])
        with pytest.raises(StoreError, match="Repeat the whole transaction"):
            store.enqueue([job])
        transaction.set_rollback(True, using=own.alias)
    store.cancel([job.id], "nobody knows its task")
    default = level.lower().replace("_", " ")
    server.ask(f"ALTER DATABASE site SET default_transaction_isolation = '{default}'")
    try:
        own.start({"*": 3})
        records = own.all_settled(own.enqueue_each(tasks.noop, [()] * 100))
        assert {record.state for record in records} == {State.SUCCEEDED}
    finally:
        server.ask("ALTER DATABASE site RESET default_transaction_isolation")


def test_a_database_that_may_only_be_read_is_told_and_when_it_is_writable_work_goes_on(
    own: Site, server: OwnPostgreSQL
) -> None:
    runner = own.start({"*": 1})
    server.ask("ALTER DATABASE site SET default_transaction_read_only = on")
    try:
        server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dlq'")
        runner.logged("cannot be written to")
        connections[own.alias].close()
        assert 'Have DATABASES["site-' in refused(own)
    finally:
        server.ask("ALTER DATABASE site RESET default_transaction_read_only")
    connections[own.alias].close()
    assert own.settled(own.enqueue(tasks.mark, "again"), within=30).state is State.SUCCEEDED


# --- It is full ---


@pytest.fixture
def small_disk(server: OwnPostgreSQL) -> Iterator[Path]:
    """A file system of a few megabytes that holds the tables of the jobs."""
    folder = Path(server.ask("SHOW data_directory")[0][0]).parent / "small"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0777", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if not mounted or mounted.returncode:
        pytest.skip("A file system of limited size can only be mounted by root.")
    try:
        space = folder / "space"
        space.mkdir(mode=0o777)
        server.ask(f"CREATE TABLESPACE small LOCATION '{space}'")
        server.ask("ALTER TABLE dlq_job SET TABLESPACE small")
        yield folder
    finally:
        server.ask("ALTER TABLE dlq_job SET TABLESPACE pg_default")
        server.ask("DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write until the file system is full."""
    with file.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(65_536))


def test_a_full_disk_is_told_and_when_there_is_room_again_work_goes_on(own: Site, small_disk: Path) -> None:
    filler = small_disk / "filler"
    fill(filler)
    own.start({"*": 1})
    assert "has no space left" in refused(own, padding=os.urandom(300_000).hex())
    filler.unlink()
    assert own.settled(own.enqueue(tasks.mark, "again"), within=30).state is State.SUCCEEDED


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_full_sqlite_file_is_told_and_nothing_is_stored(site: Site) -> None:
    site.enqueue(tasks.noop)
    with connections[site.alias].cursor() as cursor:
        cursor.execute("PRAGMA page_count")
        (pages,) = cursor.fetchone()
        cursor.execute(f"PRAGMA max_page_count = {pages}")
    assert "has no space left (database or disk is full)" in refused(site, padding="x" * 100_000)
    site.enqueue(tasks.noop)
    assert site.counts() == {State.READY: 2}


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_sqlite_file_that_may_only_be_read_is_told(site: Site) -> None:
    connections[site.alias].settings_dict["NAME"] = (
        f"file:{connections[site.alias].settings_dict['NAME']}?mode=ro"
    )
    connections[site.alias].settings_dict["OPTIONS"] = {"uri": True}
    connections[site.alias].close()
    assert "cannot be written to" in refused(site)
