"""Whoever installs the packages and types what the README prints has a job done; nothing else need be there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pages import Workshop, blocks_of, clean_environment

ROOT = Path(__file__).resolve().parent.parent
UV = str(ROOT / ".venv" / "bin" / "uv")
README = ROOT / "README.md"
LINES = 10
"""As many as the quick start may ask for, until the first job is done, the installation included."""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The Python of an environment with the wheels of dlq-core and dlq-db, and what these bring."""
    dist, environment = tmp_path / "dist", tmp_path / "environment"
    for name in ("dlq-core", "dlq-db"):
        subprocess.run([UV, "build", "--quiet", "--out-dir", dist, ROOT / "packages" / name], check=True)
    subprocess.run([UV, "venv", "--quiet", "--python", "3.13", environment], check=True)
    install = [UV, "pip", "install", "--quiet", "--find-links", dist, "--python", environment, "dlq-db"]
    subprocess.run([*install, "--refresh-package", "dlq-core", "--refresh-package", "dlq-db"], check=True)
    return environment / "bin" / "python"


@pytest.fixture
def project(tmp_path: Path, python: Path) -> Path:
    """A project of Django's, with an app."""
    folder = tmp_path / "project"
    folder.mkdir()
    for command in (
        ["django-admin", "startproject", "mysite", "."],
        ["python", "manage.py", "startapp", "shop"],
    ):
        subprocess.run(
            [str(python.parent / command[0]), *command[1:]],
            cwd=folder,
            env=clean_environment(python),
            check=True,
        )
    with (folder / "mysite" / "settings.py").open("a") as settings:
        settings.write('\nINSTALLED_APPS += ["shop"]\n')
    return folder


def test_the_quick_start_works_as_printed(project: Path, python: Path, tmp_path: Path) -> None:
    workshop = Workshop(README, project, tmp_path / "typed", os.environ["DLQ_TEST_REDIS_URL"], python)
    for block in blocks_of(README):
        workshop.do(block)
    workshop.close()
    status = [str(python), "manage.py", "queue_status", "--json"]
    seen = subprocess.run(
        status,
        cwd=tmp_path / "typed",
        env=clean_environment(python),
        check=True,
        capture_output=True,
        text=True,
    )
    assert '"succeeded"' in seen.stdout


def test_the_quick_start_is_short() -> None:
    lines = ["pip install dlq-db"]
    for block in blocks_of(README):
        if block.why is None:
            lines += [line for line in block.text.splitlines() if line.strip() and not line.startswith("#")]
        if "enqueue(" in block.text:
            break
    assert len(lines) <= LINES, "\n".join(lines)
