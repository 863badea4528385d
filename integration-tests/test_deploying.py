"""The examples that the documentation prints for those who deploy: they can be read, and what they name exists."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandError
from django.db import connections

from dlq.conf import Settings
from dlq.runtime.runner import LAST_WORDS
from documents import HOW_TO, blocks, under

NEEDED = Settings().shutdown_timeout + LAST_WORDS
"""Seconds that a runner may take to stop."""


def ini(heading: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the names of systemd have capitals
    (text,) = blocks(under("deploying", heading), "ini")
    parser.read_string(text)
    return parser


def yaml(heading: str) -> Any:
    module = pytest.importorskip("yaml")
    (text,) = blocks(under("deploying", heading), "yaml")
    return module.safe_load(text)


# --- Commands ---


def commands() -> Iterator[tuple[str, str]]:
    """Each command line of ``manage.py`` that the pages show, with the page that does."""
    for page in sorted(HOW_TO.glob("*.md")):
        text = page.read_text()
        for line in re.findall(r"manage\.py (\w.*?)(?:`|$)", text, re.MULTILINE):
            yield page.stem, line
        # In YAML they are lists of strings.
        for words in re.findall(r'"manage\.py", (".*?)\]', text):
            yield page.stem, words.replace('", "', " ").strip('"')


@pytest.mark.parametrize(("page", "line"), list(commands()))
def test_the_commands_and_options_exist(page: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        connections.settings, "queue", connections.settings["default"]
    )  # Of a page's example.
    name, *arguments = shlex.split(line, comments=True)
    command = load_command_class(get_commands()[name], name)
    try:
        command.create_parser("manage.py", name).parse_args(arguments)
    except CommandError as error:
        pytest.fail(f"{page}: manage.py {line}: {error}")


def test_the_pages_show_commands() -> None:
    shown = {(page, line.split()[0]) for page, line in commands()}
    assert {page for page, _ in shown} >= {"deploying", "developing"}
    assert {"queue_runner", "queue_worker", "queue_health", "migrate"} <= {name for _, name in shown}


def test_every_setting_that_the_pages_name_exists() -> None:
    known = {f"DLQ_{name.upper()}" for name in Settings.__dataclass_fields__}
    for page in ("deploying", "developing", "embedding"):
        named = set(re.findall(r"\bDLQ_[A-Z_]+", (HOW_TO / f"{page}.md").read_text()))
        assert named <= known, page


# --- systemd, Supervisor ---


def test_the_unit_of_systemd_waits_longer_than_a_runner_takes_to_stop() -> None:
    unit = ini("systemd")
    assert unit.sections() == ["Unit", "Service", "Install"]
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["ExecStart"].endswith("/python manage.py queue_runner")
    assert int(service["TimeoutStopSec"]) > NEEDED
    assert service["TimeoutStartSec"] == "infinity"
    assert int(service["WatchdogSec"]) > 2


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_accepts_its_unit(tmp_path: Path) -> None:
    (text,) = blocks(under("deploying", "systemd"), "ini")
    # What must exist when systemd reads it: a user, a folder and a program.
    text = text.replace("/srv/mysite/.venv/bin/python", sys.executable).replace("/srv/mysite", str(tmp_path))
    (unit := tmp_path / "dlq.service").write_text(text.replace("User=mysite", "User=root"))
    verify = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, "dlq.service" in done.stderr) == (0, False), done.stderr


def test_supervisor_waits_longer_than_a_runner_takes_to_stop() -> None:
    program = ini("Supervisor")["program:dlq"]
    assert program["command"].endswith("/python manage.py queue_runner")
    assert program["stopsignal"] == "TERM"
    assert int(program["stopwaitsecs"]) > NEEDED


# --- Containers ---


def test_compose_waits_longer_than_a_runner_takes_to_stop() -> None:
    runner = yaml("Docker Compose")["services"]["runner"]
    assert runner["command"] == ["python", "manage.py", "queue_runner"]
    assert runner["healthcheck"]["test"] == ["CMD", "python", "manage.py", "queue_health"]
    assert int(runner["stop_grace_period"].removesuffix("s")) > NEEDED


def test_kubernetes_waits_longer_than_a_runner_takes_to_stop_and_probes_it() -> None:
    deployment = yaml("Kubernetes")
    pod = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    assert pod["spec"]["terminationGracePeriodSeconds"] > NEEDED
    (container,) = pod["spec"]["containers"]
    assert container["command"] == ["python", "manage.py", "queue_runner"]
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"][:3] == ["python", "manage.py", "queue_health"]


@pytest.mark.parametrize(
    ("heading", "name"),
    [("Docker Compose", "stop_grace_period"), ("Kubernetes", "terminationGracePeriodSeconds")],
)
def test_containers_are_given_that_time_whoever_reads_yaml(heading: str, name: str) -> None:
    (text,) = blocks(under("deploying", heading), "yaml")
    assert "\t" not in text
    found = re.search(rf"^ +{name}: (\d+)s?$", text, re.MULTILINE)
    assert found is not None
    assert int(found[1]) > NEEDED


def test_a_procfile_names_its_processes() -> None:
    section = under("deploying", "Procfile")
    (text,) = blocks(section, "text")
    lines = dict(line.split(": ", 1) for line in text.splitlines())
    assert lines == {"release": "python manage.py migrate", "worker": "python manage.py queue_runner"}
    (seconds,) = re.findall(r"`DLQ_SHUTDOWN_TIMEOUT = (\d+)`", section)
    assert int(seconds) + LAST_WORDS < 30
