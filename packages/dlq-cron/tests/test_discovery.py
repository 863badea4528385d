"""Static schedules: decorators, settings, and the ``cron.py`` of apps."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.management.base import BaseCommand
from pytest_django import Settings

from dlq import MemoryBackend, task
from dlq.testing import run_jobs
from dlq_cron import cron, daily, every, preview
from dlq_cron.apps import DlqCronConfig
from dlq_cron.checks import check_schedules
from dlq_cron.classic import definition_of_row
from dlq_cron.discovery import Found, discover, queues_of_settings_and_rows
from dlq_cron.scheduler import Scheduler


@task(queue="reports")
def report(*args: Any) -> None: ...


PATH = report.module_path


@pytest.fixture(autouse=True)
def in_memory(memory: MemoryBackend) -> None:
    """No database is asked."""


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives the app ``dlq_db`` a ``cron.py`` with these rows."""

    def write(rows: object) -> None:
        module = ModuleType("shop.cron")
        module.CONFIG = rows  # type: ignore[attr-defined]
        monkeypatch.setattr("dlq_cron.discovery.config_modules", lambda: [("shop.cron", module)])

    return write


def keys(found: Found) -> list[str]:
    return [definition.key for definition in found.definitions]


def problems() -> list[str]:
    messages = check_schedules()
    assert {message.id for message in messages} <= {"dlq_cron.E001"}
    return [message.msg for message in messages]


# --- @cron ---


def test_a_decorated_task_is_a_schedule_and_stays_a_task() -> None:
    assert cron("0 3 * * *", timezone="Europe/Berlin", args=[1])(report) is report
    cron(every(minutes=10) & daily(after="08:00"), key="often")(report)
    found = discover()
    assert (keys(found), found.problems) == ([PATH, "often"], [])
    assert found.definitions[0].rule.timezone == "Europe/Berlin"
    assert found.definitions[0].task.queue_name == "reports"


def test_what_is_no_task_cannot_be_decorated() -> None:
    with pytest.raises(TypeError, match="above @task"):
        cron("0 3 * * *")(len)  # type: ignore[type-var]


def test_a_bad_decorator_is_named_and_harms_no_other() -> None:
    cron("0 3 31 2 *", key="never")(report)
    cron("0 3 * * *", key="zone", timezone="Mars")(report)
    cron("0 3 * * *", nonsense=1, key="option")(report)
    cron("0 3 * * *", key="good")(report)
    assert keys(discover()) == ["good"]
    never, zone, option = problems()
    assert f"@cron on {PATH}: '0 3 31 2 *': this is never due." in never
    assert "'Mars'" in zone
    assert "nonsense" in option


def test_two_schedules_with_one_key_are_named() -> None:
    cron("0 3 * * *")(report)
    cron("0 4 * * *")(report)
    assert keys(discover()) == [PATH]
    (problem,) = problems()
    assert f"the key {PATH!r} is already that of @cron on {PATH}" in problem


# --- Settings ---


def test_settings_have_schedules(settings: Settings) -> None:
    settings.DLQ_SCHEDULES = {
        "nightly": {"task": PATH, "spec": "0 3 * * *", "args": [1], "queue": "night", "priority": 5},
        "often": {"task": PATH, "spec": every(minutes=5), "description": "Often.", "missed": "all"},
    }
    found = discover()
    assert (keys(found), found.problems) == (["nightly", "often"], [])
    assert found.definitions[0].task.queue_name == "night"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"spec": "0 3 * * *"}, "'task' is missing"),
        ({"task": PATH}, "'spec' is missing"),
        ({"task": "shop.gone", "spec": "0 3 * * *"}, "shop.gone"),
        ({"task": PATH, "spec": "0 3 * *"}, "at position 8"),
        ({"task": PATH, "spec": "0 3 * * *", "quue": "x"}, "quue"),
        ({"task": PATH, "spec": "0 3 * * *", "start": datetime(2027, 1, 1)}, "time zone"),  # noqa: DTZ001
        ("0 3 * * *", "must be a mapping"),
    ],
)
def test_a_bad_schedule_in_settings_is_named_and_harms_no_other(
    settings: Settings, row: object, problem: str
) -> None:
    settings.DLQ_SCHEDULES = {"bad": row, "good": {"task": PATH, "spec": "0 3 * * *"}}
    assert keys(discover()) == ["good"]
    (named,) = problems()
    assert named.startswith("DLQ_SCHEDULES['bad']: ")
    assert problem in named


# --- cron.py ---


def due(row: dict[str, Any], count: int = 3) -> list[str]:
    rule = definition_of_row("k", {"command": "check"} | row).rule
    monday = datetime.fromisoformat("2026-06-01T00:00:00+00:00") - timedelta(seconds=1)
    return [f"{at:%a %H:%M}" for at in preview(rule.spec, count, timezone=rule.timezone, after=monday)]


@pytest.mark.parametrize(
    ("row", "times"),
    [
        ({"hours": "*", "minutes": "0"}, ["Mon 00:00", "Mon 01:00", "Mon 02:00"]),
        ({"hours": 3, "minutes": "0,30"}, ["Mon 03:00", "Mon 03:30", "Tue 03:00"]),
        ({"hours": [4], "minutes": [5], "days": "1,7"}, ["Mon 04:05", "Sun 04:05", "Mon 04:05"]),
        ({"hours": "8-10/2", "minutes": "*/30", "days": 2}, ["Tue 08:00", "Tue 08:30", "Tue 10:00"]),
        ({"hours": "*", "minutes": "*"}, ["Mon 00:00", "Mon 00:01", "Mon 00:02"]),
    ],
)
def test_a_row_is_due_in_utc_with_monday_as_day_1(row: dict[str, Any], times: list[str]) -> None:
    assert due(row) == times


def test_a_row_may_have_a_zone_of_its_own_and_whatever_schedules_have() -> None:
    row = {"command": "check", "hours": 3, "minutes": 0, "timezone": "Asia/Tokyo", "overlap": "skip"}
    rule = definition_of_row("k", row).rule
    assert (rule.timezone, rule.overlap) == ("Asia/Tokyo", "skip")


def test_a_row_runs_its_command_on_the_queue_cron(
    memory: MemoryBackend, config: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[Any, ...]] = []

    class Command(BaseCommand):
        def add_arguments(self, parser: Any) -> None:
            parser.add_argument("word")
            parser.add_argument("--loud", type=int, default=0)

        def handle(self, **options: Any) -> None:
            ran.append((options["word"], options["loud"]))

    module = ModuleType("shop_commands.management.commands.shout")
    module.Command = Command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("dlq_cron.commands.get_commands", lambda: {"shout": "shop_commands"})
    monkeypatch.setattr("django.core.management.get_commands", lambda: {"shout": "shop_commands"})
    config(
        [
            {
                "command": "shout",
                "command_args": ["hello"],
                "command_kwargs": {"loud": 3},
                "hours": "*",
                "minutes": "*",
                "timeout": 60,
                "sigkill_on_stop": True,
            }
        ]
    )
    scheduler = Scheduler("default", discover().definitions)
    scheduler.step()
    (record,) = memory.schedules.listed(10)
    assert (record.key, record.schedule.queue, record.schedule.static) == ("shop.cron:shout", "cron", True)
    assert record.schedule.overrides == '{"timeout": 60, "sigkill_on_stop": true}'
    scheduler.step(record.due_at)
    assert run_jobs() == 1
    assert ran == [("hello", 3)]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"command": "check", "hours": "*"}, "'minutes' is missing"),
        ({"hours": "*", "minutes": "*"}, "'command' is missing"),
        ({"command": "no_such", "hours": "*", "minutes": "*"}, "no management command 'no_such'"),
        ({"command": "check", "hours": "*", "minutes": "60"}, "at position 1"),
        ({"command": "check", "hours": "*", "minutes": ""}, "minutes=''"),
        ({"command": "check", "hours": "*", "minutes": "*/0"}, "at position 1"),
        ({"command": "check", "hours": "25", "minutes": "0"}, "at position 3"),
        ({"command": "check", "hours": "*", "minutes": "0", "days": "8"}, "days of the week"),
        ({"command": "check", "hours": "*", "minutes": "0", "days": "0-5"}, "days='0-5'"),
        ({"command": "check", "hours": "*", "minutes": "0", "days": [1, 0]}, "days='1,0'"),
        ({"command": "check", "hours": "*", "minutes": "0", "command_args": "loud"}, "command_args='loud'"),
        ({"command": "check", "hours": "*", "minutes": "0", "command_kwargs": "loud"}, "kwargs='loud'"),
        ({"command": "check", "hours": "*", "minutes": True}, "minutes=True"),
        ({"command": "check", "hours": "*", "minutes": "*", "hour": 3}, "'hour' is unknown"),
        ({"command": "check", "hours": "*", "minutes": "*", "timeout": -1}, "timeout=-1"),
        ("check", "is no dict"),
    ],
)
def test_a_bad_row_is_named_and_harms_no_other(
    config: Callable[..., None], row: object, problem: str
) -> None:
    config(
        [row, {"command": "check", "hours": 3, "minutes": 0}, {"command": "check", "hours": 4, "minutes": 0}]
    )
    good = [key for key in keys(discover()) if key != "shop.cron:None"]
    assert len(good) == 2
    (named,) = problems()
    assert named.startswith("shop.cron.CONFIG[0]: ")
    assert problem in named


def test_a_module_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [("shop.cron", ImportError("no shop"))]
    monkeypatch.setattr("dlq_cron.discovery.config_modules", lambda: broken)
    assert problems() == ["shop.cron: it cannot be imported: ImportError('no shop')"]


@pytest.fixture
def shop_with_cron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> str:
    """An installed app with a ``cron.py`` of its own."""
    name = "shop_with_cron"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "cron.py").write_text(
        'CONFIG = [{"command": "check", "hours": 3, "minutes": 0, "queue": "night"}]'
    )
    monkeypatch.syspath_prepend(tmp_path)
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, name]
    return name


def test_the_cron_module_of_an_app_is_found_unless_the_app_is_ignored(
    shop_with_cron: str, settings: Settings
) -> None:
    assert keys(discover()) == ["shop_with_cron.cron:check"]
    assert "night" in queues_of_settings_and_rows()
    settings.DLQ_IGNORE_APPS = [shop_with_cron]
    assert keys(discover()) == []
    assert "night" not in queues_of_settings_and_rows()


def test_queues_of_rows_and_settings_are_implied(
    config: Callable[..., None], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    implied: list[str] = []
    monkeypatch.setattr("dlq.contribute_implied_queue_name", implied.append)
    monkeypatch.setattr("dlq.services._makers", [])
    config([{"command": "check", "hours": 3, "minutes": 0}, {"queue": "slow"}, "nonsense"])
    settings.DLQ_SCHEDULES = {"a": {"queue": "night"}, "b": {}, "c": 1}
    DlqCronConfig("dlq_cron", sys.modules["dlq_cron"]).ready()
    assert implied == ["cron", "slow", "night"]


def test_expressions_can_stand_in_a_settings_file() -> None:
    """Which is read before anything is set up."""
    code = "from dlq_cron import daily, every; print(every(minutes=5) & daily(after='08:00'))"
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout == 'every(minutes=5) & daily(after="08:00")\n'
