"""The demo says the same about the same files, whatever happens to its workers."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from processes import Process, children_of, until

TOOLS = Path(__file__).resolve().parent.parent / "tools"


@contextmanager
def demo(folder: Path) -> Iterator[Process]:
    """``./tools/demo``, in the environment of the tests."""
    folder.mkdir()
    environment = os.environ | {
        "DLQ_DEMO_FOLDER": str(folder),
        "DJANGO_SETTINGS_MODULE": "demo_site.settings",
        "PYTHONPATH": str(TOOLS),
        "PYTHONUNBUFFERED": "1",
    }
    process = Process([sys.executable, "-m", "demo_site"], environment, folder, folder / "demo.log")
    try:
        yield process
    finally:
        process.send(signal.SIGTERM)
        process.wait(within=60)


def table(output: str) -> list[str]:
    """The rows of the summary."""
    rows = [line for line in output.splitlines() if re.match(r"  (django|together)", line)]
    assert len(rows) > 10
    return rows


def finished(output: str) -> int:
    """How many jobs the progress has shown as finished."""
    return max(
        (int(count.replace(",", "")) for count in re.findall(r"([\d,]+) of [\d,]+\s", output)), default=0
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the demo prints when nothing happens."""
    with demo(tmp_path_factory.mktemp("demo") / "undisturbed") as process:
        assert process.wait(within=90) == 0, process.log
        return process.log


def test_it_counts_every_file_of_the_installed_django(undisturbed: str) -> None:
    import django

    files = len(list(Path(django.__file__).parent.rglob("*.py")))
    (together,) = (row.split() for row in table(undisturbed) if row.startswith("  together"))
    assert together[1].replace(",", "") == str(files)
    assert "third_time_lucky took 3 attempts; the store kept the tracebacks of 2" in undisturbed
    assert "The runner has stopped cleanly." in undisturbed


def test_a_killed_worker_changes_nothing_in_the_summary(undisturbed: str, tmp_path: Path) -> None:
    with demo(tmp_path / "disturbed") as process:
        process.logged("queue_runner is up", within=30)
        (runner,) = (int(pid) for pid in re.findall(r"\(pid (\d+)\)", process.log))
        until(lambda: finished(process.log) > 100, 60, lambda: "the demo has not come far", process)
        _service, *workers = sorted(children_of(runner))
        os.kill(workers[0], signal.SIGKILL)
        assert process.wait(within=90) == 0, process.log
        assert table(process.log) == table(undisturbed)
        assert "signal 9 (SIGKILL)" in (tmp_path / "disturbed" / "runner.log").read_text()
