"""The reference lists what the code has: every setting, option, command and argument, and nothing else."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

import dlq
from dlq import conf
from dlq.task import Task
from dlq_db.options import DatabaseOptions
from dlq_redis.options import RedisOptions

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
COMMANDS = sorted(name for name in get_commands() if name.startswith("queue_"))


def names(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text()


def section(text: str, heading: str) -> str:
    _, _, rest = text.partition(f"\n## {heading}\n")
    assert rest, f"There is no section {heading!r}."
    return rest.partition("\n## ")[0]


def rows(text: str) -> set[str]:
    """What stands in the first column of the tables, each name by itself."""
    return {
        name
        for row in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", row)
    }


def test_every_setting_is_in_the_reference() -> None:
    listed = rows(section(page("settings"), "Others")) | {"DLQ_WORKERS"}
    assert {name for name in listed if name.startswith("DLQ_")} == {
        f"DLQ_{name.upper()}" for name in names(conf.Settings)
    }


def test_every_option_of_backends_is_in_the_reference() -> None:
    listed = rows(section(page("settings"), "TASKS"))
    assert names(conf.BackendOptions) | names(DatabaseOptions) <= listed
    assert listed - names(DatabaseOptions) - names(conf.BackendOptions) == {"url"}, "They are no options."
    redis = rows(section(page("redis"), "Options"))
    assert redis == names(RedisOptions) - names(conf.BackendOptions)


def test_every_entry_of_a_pool_is_in_the_reference() -> None:
    assert names(conf.WorkerPool) - {"selector"} <= rows(section(page("settings"), "DLQ_WORKERS"))


def test_every_option_of_a_task_is_in_the_reference() -> None:
    django = {"func", "queue_name", "run_after"}
    listed = rows(page("tasks").partition("\n## ")[0])
    assert names(Task) - django <= listed | {"queue"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_of_a_command_is_in_the_reference(name: str) -> None:
    known = {
        "--backend",
        "--config",
        "--extra-settings",
    }  # Every command has these, and the page says so at its top.
    if name == "queue_configuration":
        known |= options("queue_runner")
    text = command_sections()[name]
    assert [option for option in options(name) if option not in known and option not in text] == []


def test_every_command_in_the_reference_exists() -> None:
    assert sorted(command_sections()) == COMMANDS


def command_sections() -> dict[str, str]:
    """What the reference says of each command; some share a section."""
    text = page("commands")
    headings = re.findall(r"^## (queue_.+)$", text, re.MULTILINE)
    return {
        name: section(text, heading) for heading in headings for name in re.findall(r"queue_\w+", heading)
    }


def options(name: str) -> set[str]:
    """The long options that are the command's own."""
    django = BaseCommand().create_parser("manage.py", "any")
    common = {name for action in django._actions for name in action.option_strings}
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    shown = [action for action in parser._actions if action.help is not argparse.SUPPRESS]
    return {name for action in shown for name in action.option_strings if name.startswith("--")} - common


def test_every_public_name_has_a_docstring() -> None:
    assert [name for name in dlq.__all__ if not getattr(getattr(dlq, name), "__doc__", "x")] == []
