import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dlq import ConfigError
from dlq.runtime.pidfile import pidfile

HOLD = """
import sys
from pathlib import Path
from dlq.runtime.pidfile import pidfile
with pidfile(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

HOLD_WITH_CHILD = HOLD.replace(
    "    sys.stdin.read()",
    """
    import os
    if child := os.fork():
        print(child, flush=True)
    sys.stdin.read()
    os._exit(0)
""",
)
HOLD_AND_LOSE_CHILD = HOLD.replace(
    "    sys.stdin.read()",
    """
    import os
    if child := os.fork():
        os.waitpid(child, 0)
        print("child ended", flush=True)
        sys.stdin.read()
""",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runner.pid"


@pytest.fixture
def hold(path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Another process takes the file."""
    started: list[subprocess.Popen[str]] = []

    def hold(script: str = HOLD) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_the_file_holds_our_process_id_until_the_end(path: Path) -> None:
    with pidfile(path):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()


def test_the_file_is_removed_after_an_error_too(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), pidfile(path):
        raise KeyboardInterrupt
    assert not path.exists()


def test_a_second_live_runner_is_refused_and_told_of_the_first(
    path: Path, hold: Callable[..., subprocess.Popen[str]]
) -> None:
    first = hold()
    with pytest.raises(ConfigError, match=f"the process {first.pid} holds it and is alive"), pidfile(path):
        pass
    assert path.read_text() == f"{first.pid}\n"


def test_a_file_whose_process_was_killed_is_taken_over(
    path: Path, hold: Callable[..., subprocess.Popen[str]]
) -> None:
    first = hold()
    first.kill()
    first.wait()
    assert path.read_text() == f"{first.pid}\n"
    with pidfile(path):
        assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("content", ["", "1\n", str(os.getpid()), "99999999999999999999"])
def test_a_file_that_nobody_holds_is_taken_over_whatever_id_it_has(path: Path, content: str) -> None:
    path.write_text(content)
    with pidfile(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_file_of_another_kind_is_left_alone(path: Path) -> None:
    path.write_text("import django\n")
    with pytest.raises(ConfigError, match=r"holds 'import django\\n', which is no process id"), pidfile(path):
        pass
    assert path.read_text() == "import django\n"


def test_a_path_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere" / "runner.pid"):
        with pytest.raises(ConfigError, match=f"--pidfile {path} cannot be written"), pidfile(path):
            pass


def test_a_child_that_outlives_the_runner_does_not_hold_the_file(
    path: Path, hold: Callable[..., subprocess.Popen[str]]
) -> None:
    runner = hold(HOLD_WITH_CHILD)
    assert runner.stdout
    child = int(runner.stdout.readline())
    runner.kill()
    runner.wait()
    os.kill(child, 0)  # it lives: its standard input, which is the runner's, is open
    with pidfile(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_child_that_ends_does_not_remove_the_file(
    path: Path, hold: Callable[..., subprocess.Popen[str]]
) -> None:
    runner = hold(HOLD_AND_LOSE_CHILD)
    assert runner.stdout
    assert runner.stdout.readline() == "child ended\n"
    assert path.read_text() == f"{runner.pid}\n"


def test_a_file_that_was_replaced_is_not_removed(path: Path) -> None:
    with pidfile(path):
        path.unlink()
        path.write_text("1\n")
    assert path.read_text() == "1\n"
