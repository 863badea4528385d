"""Jobs in whatever databases the backends in ``TASKS`` name: tables are made there alone, and read from there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections, transaction
from django.tasks import TaskResultStatus
from pytest_django import DjangoDbBlocker, Settings

from databases import Databases, known
from dlq.testing import run_jobs
from dlq_db.models import Job
from project import tasks

type Make = Callable[[], str]

OURS = "dlq_db.backends.DatabaseBackend"
IMMEDIATE = "django.tasks.backends.immediate.ImmediateBackend"
TABLES = {
    "dlq_job",
    "dlq_live",
    "dlq_attempt",
    "dlq_note",
    "dlq_pause",
    "dlq_runner",
    "dlq_worker",
    "dlq_schedule",
    "dlq_fire",
}


@pytest.fixture
def make(
    vendor: str, databases: dict[str, Databases], tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> Iterator[Make]:
    """Makes empty databases; the value is the alias of each."""
    with django_db_blocker.unblock(), contextlib.ExitStack() as stack:

        def database() -> str:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            return stack.enter_context(
                known(stack.enter_context(databases[vendor].new(folder, migrated=False)))
            )

        yield database


@pytest.fixture(autouse=True)
def router(settings: Settings) -> None:
    settings.DATABASE_ROUTERS = ["dlq_db.routers.QueueRouter"]


def backends(**named: str) -> Mapping[str, Any]:
    """``TASKS`` with a backend of ours for each database; the site's own is left out unless it is given."""
    return {
        alias: {"BACKEND": OURS, "OPTIONS": {"database_alias": database}} for alias, database in named.items()
    }


def migrate(*aliases: str) -> None:
    for alias in aliases:
        call_command("migrate", database=alias, verbosity=0, run_syncdb=True)


def tables(alias: str) -> set[str]:
    """Those of dlq-db there; dlq-redis has one of its own."""
    names = connections[alias].introspection.table_names()
    return {name for name in names if name.startswith("dlq_") and not name.startswith("dlq_redis_")}


def is_complete(alias: str) -> bool:
    """Whether all tables are there, and a job goes all the way."""
    return tables(alias) >= TABLES


def works(backend: str) -> bool:
    result = tasks.add.using(backend=backend).enqueue(2, 3)
    run_jobs(backend)
    result.refresh()
    return result.status is TaskResultStatus.SUCCESSFUL and result.return_value == 5


def messages() -> list[str | None]:
    return [message.id for message in run_checks() if (message.id or "").startswith("dlq.")]


def test_with_one_database_there_is_nothing_to_say_about_routers(make: Make, settings: Settings) -> None:
    only = make()
    settings.DATABASE_ROUTERS = []
    settings.TASKS = backends(default=only)
    migrate(only)
    assert is_complete(only)
    assert works("default")


def test_a_dedicated_database_has_the_tables_and_the_site_s_own_has_not(
    make: Make, settings: Settings
) -> None:
    site, queue = make(), make()
    settings.TASKS = backends(default=queue)
    migrate(site, queue)
    assert not tables(site)
    assert is_complete(queue)
    assert works("default")
    assert Job.objects.get().task == tasks.add.path
    assert messages() == []


def test_two_backends_have_two_databases_whatever_they_are_called(make: Make, settings: Settings) -> None:
    site, here, there = make(), make(), make()
    settings.TASKS = backends(mail=here, reports=there)
    migrate(site, here, there)
    assert not tables(site)
    assert is_complete(here)
    assert is_complete(there)
    assert works("mail")
    assert works("reports")
    assert works("reports")
    assert [Job.objects.using(alias).count() for alias in (here, there)] == [1, 2]
    assert Job.objects.count() == 1  # Of the first backend; the others are asked for with using().
    job = Job.objects.using(there).first()
    assert job is not None
    assert list(job.history.all()) == []  # Rows that belong to a row are where it is.
    assert job.history.all().db == there


def test_two_backends_in_one_database_share_its_tables(make: Make, settings: Settings) -> None:
    shared = make()
    settings.TASKS = backends(default=shared, other=shared)
    migrate(shared)
    assert works("default")
    assert works("other")
    assert set(Job.objects.values_list("backend", flat=True)) == {"default", "other"}


def test_without_a_backend_of_ours_nothing_is_made_and_nothing_is_wrong(
    make: Make, settings: Settings
) -> None:
    site = make()
    settings.TASKS = {"default": {"BACKEND": IMMEDIATE}}
    migrate(site)
    assert not tables(site)
    assert messages() == []
    assert tasks.add.enqueue(2, 3).return_value == 5


def test_a_database_that_comes_to_hold_jobs_gets_its_tables_by_the_next_migrate(
    make: Make, settings: Settings
) -> None:
    site = make()
    settings.TASKS = {"default": {"BACKEND": IMMEDIATE}}
    migrate(site)
    settings.TASKS = backends(jobs=site)
    migrate(site)
    assert is_complete(site)
    assert works("jobs")


def test_migrations_can_be_taken_back_and_made_again(make: Make, settings: Settings) -> None:
    site, queue = make(), make()
    settings.TASKS = backends(default=queue)
    for alias in (site, queue):
        migrate(alias)
        call_command("migrate", "dlq_db", "zero", database=alias, verbosity=0)
        assert not tables(alias)
        migrate(alias)
    assert works("default")


class TestChecks:
    """What is said before anybody misses a table."""

    @pytest.fixture
    def vendor(self) -> str:
        return "sqlite"

    def test_say_that_no_migration_makes_the_tables(self, make: Make, settings: Settings) -> None:
        settings.DATABASE_ROUTERS = ["test_several_databases.NoMigrations"]
        settings.TASKS = backends(default=make())
        assert "dlq.E101" in messages()

    def test_say_that_a_router_is_needed(self, make: Make, settings: Settings) -> None:
        settings.DATABASE_ROUTERS = []
        settings.TASKS = backends(default=make())
        assert messages() == ["dlq.W101"]

    def test_leave_wrong_options_to_the_check_of_the_backend(self, settings: Settings) -> None:
        settings.TASKS = backends(default="nowhere")
        assert messages() == ["dlq.E002"]


class NoMigrations:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return False


class TestATransactionOnAnotherDatabase:
    """The job is sent when the caller's transaction commits, and not at all when it does not."""

    @pytest.fixture
    def queue(self, make: Make, settings: Settings) -> str:
        queue = make()
        settings.TASKS = backends(default=queue)
        migrate(queue)
        return queue

    def test_commits_first(self, make: Make, queue: str) -> None:
        with transaction.atomic(using=make()):
            result = tasks.add.enqueue(2, 3)
            assert not Job.objects.exists()
        assert Job.objects.get().pk == UUID(result.id)

    def test_takes_the_job_with_it_when_it_is_rolled_back(self, make: Make, queue: str) -> None:
        site = make()
        with transaction.atomic(using=site):
            tasks.add.enqueue(2, 3)
            transaction.set_rollback(True, using=site)
        assert not Job.objects.exists()

    def test_is_not_waited_for_where_the_backend_says_so(
        self, make: Make, queue: str, settings: Settings
    ) -> None:
        options = {"database_alias": queue, "enqueue_on_commit": False}
        settings.TASKS = {"default": {"BACKEND": OURS, "OPTIONS": options}}
        with transaction.atomic(using=make()):
            tasks.add.enqueue(2, 3)
            assert Job.objects.exists()
