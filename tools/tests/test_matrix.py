"""What ``./tools/test`` runs in each environment: all tests somewhere, and those that take long in few of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOOLS))

import matrix  # noqa: E402

NAMES = ["py3.12-6.0", "py3.12-6.1", "py3.13-6.0", "py3.13-6.1"]


def files_of(arguments: Sequence[str]) -> set[str]:
    """The files with tests that pytest finds with these arguments."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        "tools/pytest.ini",
        "--rootdir=.",
        "--collect-only",
        "-q",
        *arguments,
    ]
    found = subprocess.run(command, cwd=TOOLS.parent, capture_output=True, text=True, check=True)
    return {line.partition("::")[0] for line in found.stdout.splitlines() if "::" in line}


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    monkeypatch.delenv("DLQ_TEST_PROCESSES", raising=False)
    return list(matrix.shares(NAMES))


def test_every_environment_has_a_share_and_the_newest_has_the_processes(
    shares: list[tuple[str, list[str]]],
) -> None:
    assert {name for name, _ in shares} == set(NAMES)
    assert [name for name, arguments in shares if arguments == [matrix.PROCESSES]] == NAMES[-1:]


def test_what_is_left_out_is_not_run(shares: list[tuple[str, list[str]]]) -> None:
    (middle,) = [arguments for name, arguments in shares if name == NAMES[1]]
    (oldest,) = [arguments for name, arguments in shares if name == NAMES[0]]
    files = files_of(middle)
    assert not [name for name in files if name.startswith(matrix.PROCESSES)]
    assert files_of(oldest) - files == set(matrix.CONTRACTS)
