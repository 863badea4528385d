import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for project in CHECKOUT.glob("packages/*/pyproject.toml"):
        copy = tmp_path / project.relative_to(CHECKOUT)
        copy.parent.mkdir(parents=True)
        shutil.copy(project, copy)
    (tmp_path / "tools").mkdir()
    shutil.copy(CHECKOUT / "tools" / "versions.py", tmp_path / "tools")
    return tmp_path


def bump(checkout: Path, argument: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, checkout / "tools" / "versions.py", argument]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_new_version_reaches_every_package_and_every_pin(checkout: Path) -> None:
    assert bump(checkout, "7.8.9rc1").returncode == 0
    for project in checkout.glob("packages/*/pyproject.toml"):
        text = project.read_text()
        assert 'version = "7.8.9rc1"' in text
        assert text.count("dlq-core==7.8.9rc1") == (project.parent.name != "dlq-core")


def test_a_package_left_behind_is_reported(checkout: Path) -> None:
    project = checkout / "packages" / "dlq-db" / "pyproject.toml"
    project.write_text(project.read_text().replace("dlq-core==", "dlq-core>="))
    done = bump(checkout, "check")
    assert done.returncode == 1
    assert "dlq-db: 'dlq-core>=" in done.stdout


def test_what_is_no_version_changes_nothing(checkout: Path) -> None:
    before = (checkout / "packages" / "dlq-db" / "pyproject.toml").read_text()
    assert bump(checkout, "next").returncode == 2
    assert (checkout / "packages" / "dlq-db" / "pyproject.toml").read_text() == before
