"""Two releases run side by side on the same data while a deploy goes on. See docs/design/0014-upgrades.md."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.db import migrations, models
from django.db.migrations.operations.base import Operation

import dlq_db.migrations
from dlq.states import State
from dlq_db.schema import TuneTables
from processes import Process, until
from project import tasks
from releases import PACKAGES, last_release, previous_code
from sites import Site

WORKERS = {"*": 1}
NOW = sorted(path.stem for path in Path(dlq_db.migrations.__path__[0]).glob("[0-9]*.py"))


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the release before this one is."""
    return previous_code(tmp_path_factory.mktemp("previous"))


def known_to(code: Path) -> list[str]:
    """The migrations of that release."""
    return sorted(path.stem for path in (code / "dlq_db" / "migrations").glob("[0-9]*.py"))


class Versions:
    """A site on which both releases run."""

    def __init__(self, site: Site, code: Path) -> None:
        self.site = site
        self._previous = {"PYTHONPATH": str(code)}

    def previous(self) -> Process:
        """A runner of the release before, with its worker."""
        runner = self.site.launch(environment=self._previous, DLQ_WORKERS=WORKERS)
        self.site.has_workers(runner, 1)
        return runner

    def current(self) -> Process:
        """A runner of this one."""
        return self.site.start(WORKERS)

    def previous_command(self, *arguments: str) -> str:
        """What a command of the release before prints."""
        command, *rest = arguments
        process = self.site.launch(*rest, command=command, environment=self._previous)
        assert process.wait(30) == 0, process.log
        return process.log


@pytest.fixture
def migrated() -> bool:
    return False


@pytest.fixture
def versions(site: Site, code: Path) -> Versions:
    return Versions(site, code)


def states(code: Path) -> Iterator[str]:
    """The states of the tables that the release before meets: from its own last migration to our last one."""
    yield from NOW[NOW.index(known_to(code)[-1]) :]


def migrate(site: Site, state: str) -> None:
    site.manage("migrate", "dlq_db", state).check_returncode()


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_the_release_before_is_what_runs(versions: Versions, code: Path) -> None:
    where = versions.previous_command(
        "shell", "-v0", "-c", "import dlq, dlq_db; print(dlq.__file__, dlq_db.__file__)"
    )
    assert where.split() == [str(code / module / "__init__.py") for module in PACKAGES.values()]


def test_its_runner_goes_on_while_the_tables_become_ours(versions: Versions, code: Path) -> None:
    site, (first, *others) = versions.site, states(code)
    migrate(site, first)
    versions.previous()
    for number, state in enumerate([first, *others]):
        migrate(site, state)
        ids = site.enqueue_each(tasks.mark, [(f"{number}-{job}",) for job in range(10)])
        versions.previous_command("queue_enqueue", tasks.mark.path, "--args", f'["{number}-its"]')
        site.traced("ran", f"{number}-its", within=20)
        assert {job.state for job in site.all_settled(ids, within=20)} == {State.SUCCEEDED}


def test_both_work_side_by_side_and_rescue_what_the_other_has_lost(versions: Versions) -> None:
    site = versions.site
    migrate(site, NOW[-1])
    runners = {"previous": versions.previous(), "current": versions.current()}
    ids = site.enqueue_each(tasks.mark, [(f"{job}",) for job in range(50)])
    versions.previous_command("queue_enqueue", tasks.mark.path, "--args", '["its"]')
    site.traced("ran", "its", within=20)
    site.all_settled(ids, within=20)
    ran = [trace.label for trace in site.traces("ran")]
    assert sorted(ran) == sorted([*map(str, range(50)), "its"])
    for killed in list(runners):
        held = site.enqueue_each(tasks.hold, [(f"{killed}-1",), (f"{killed}-2",)])
        until(lambda held=held: states_of(site, held) == {State.RUNNING}, 20, lambda: "not both are running")
        runners[killed].send_all(signal.SIGKILL)
        site.open(f"{killed}-1", f"{killed}-2")
        assert {job.state for job in site.all_settled(held, within=30)} == {State.SUCCEEDED}
        runners[killed] = getattr(versions, killed)()


def states_of(site: Site, ids: Sequence[Any]) -> set[State]:
    return {job.state for job in site.jobs(ids)}


# --- What a migration may do


def harm(operation: Operation) -> str | None:
    """Why the release before could not go on after this operation; None when it can."""
    match operation:
        case migrations.CreateModel() | migrations.AddIndex() | TuneTables():
            return None
        case migrations.AddField() if operation.field.null or operation.field.has_db_default():
            return None
        case migrations.AddField():
            return "its inserts do not name the column, which has neither NULL nor db_default"
        case migrations.RemoveIndex() | migrations.RemoveConstraint():
            return None
    return f"{operation.describe()}: what it names may be gone, or refuse what it writes"


@pytest.mark.parametrize("name", NOW)
def test_a_migration_leaves_the_release_before_alone(name: str, code: Path) -> None:
    if name in known_to(code):
        return  # It has run on these tables all the time.
    operations = import_module(f"dlq_db.migrations.{name}").Migration.operations
    assert [why for operation in operations if (why := harm(operation))] == []


@pytest.mark.parametrize(
    ("operation", "harmful"),
    [
        (migrations.AddField("job", "new", models.TextField(null=True)), False),
        (migrations.AddField("job", "new", models.TextField(db_default="")), False),
        (migrations.AddField("job", "new", models.TextField(default="")), True),
        (migrations.RemoveField("job", "old"), True),
        (migrations.RenameField("job", "old", "new"), True),
        (migrations.AlterField("job", "old", models.TextField()), True),
        (migrations.DeleteModel("job"), True),
        (migrations.AddConstraint("job", models.CheckConstraint(condition=models.Q(), name="new")), True),
        (migrations.RunSQL("SELECT 1"), True),
    ],
)
def test_harm_is_seen(operation: Operation, harmful: bool) -> None:
    assert bool(harm(operation)) is harmful


@pytest.mark.parametrize(
    ("changelog", "version"),
    [
        ("# Changelog\n\n## Unreleased\n", None),
        ("## Unreleased\n\n- x\n\n## 1.10.0 (2027-01-01)\n\n## 1.9.0\n", "1.10.0"),
        ("## [0.2.0] - 2027\n", "0.2.0"),
    ],
)
def test_the_release_before_is_the_newest_in_the_changelog(changelog: str, version: str | None) -> None:
    assert last_release(changelog) == version
