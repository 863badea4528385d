import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command, find_commands, load_command_class
from django.core.management.base import BaseCommand, CommandParser
from pytest_django import Settings

from dlq import conf, management
from dlq.management.command import QueueCommand

MEMORY = {"BACKEND": "dlq.MemoryBackend"}


class Show(QueueCommand):
    """A command that knows nothing of files, and prints a setting."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(str(getattr(conf.load(), options["name"])))


@pytest.fixture(autouse=True)
def site(settings: Settings) -> None:
    settings.TASKS = {"default": MEMORY}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "server.toml"
    path.write_text("kill_after = 3")
    return path


def shown(*arguments: str, command: BaseCommand | None = None, **options: Any) -> str:
    out = io.StringIO()
    call_command(command or Show(), *arguments, stdout=out, **options)
    return out.getvalue().strip()


@pytest.mark.parametrize("option", ["--config", "--extra-settings"])
def test_every_command_takes_a_file_and_runs_under_its_settings(path: Path, option: str) -> None:
    assert shown("kill_after", f"{option}={path}") == "3.0"
    assert shown("kill_after") == "5.0"


def test_code_that_calls_a_command_can_give_a_file(path: Path) -> None:
    assert shown("kill_after", config=str(path)) == "3.0"
    assert shown("kill_after", extra_settings=str(path)) == "3.0"


def test_the_environment_can_name_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLQ_CONFIG", str(path))
    assert shown("kill_after") == "3.0"


def test_the_checks_see_the_settings_of_the_file(path: Path) -> None:
    path.write_text("on_error = 'nowhere'")
    with pytest.raises(Exception, match="DLQ_ON_ERROR names 'nowhere', which cannot be imported"):
        shown("kill_after", f"--config={path}", skip_checks=False)


def test_a_bad_file_is_an_error_of_the_command(path: Path) -> None:
    path.write_text("typo = 1")
    with pytest.raises(
        CommandError, match=rf"^The configuration file {path}: typo is unknown\. There are: atomic, "
    ):
        shown("kill_after", f"--config={path}")


def test_a_missing_file_is_an_error_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="from --config, cannot be read: No such file or directory"):
        shown("kill_after", f"--config={tmp_path / 'typo.toml'}")


@pytest.mark.parametrize("command", sorted(find_commands(str(Path(management.__path__[0])))))
def test_every_command_of_dlq_has_it(command: str) -> None:
    loaded = load_command_class("dlq", command)
    assert isinstance(loaded, QueueCommand)
    assert "--config FILE" in loaded.create_parser("", command).format_help()
