"""``Process``: a real process that a test starts, watches, signals, and ends; ``until``: patience with an end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["SLACK", "Process", "children_of", "is_running", "until"]

PAUSE = 0.02
SLACK = 5
"""How many times slower than ours a machine may be, and how much it may do beside the tests."""


def until(
    condition: Callable[[], object],
    within: float,
    otherwise: Callable[[], str],
    process: Process | None = None,
) -> None:
    """Return as soon as the condition holds; fail when it does not in time, or when the process ends.

    ``within`` is in seconds on a machine that does nothing else; others are given ``SLACK`` times as long.
    """
    deadline = time.monotonic() + within * SLACK
    while not condition():
        ended = process is not None and process.exit_code is not None
        if ended or time.monotonic() > deadline:
            log = f"\n{process.log}" if process is not None else ""
            raise AssertionError(f"after {within * SLACK:g} s: {otherwise()}{log}")
        time.sleep(PAUSE)


class Process:
    """Leads a process group, so that whatever it forks can be found, and ended with it."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log_file: Path
    ) -> None:
        """Start the command; what it prints goes to ``log_file``."""
        self.log_file = log_file
        with log_file.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def log(self) -> str:
        """What it has printed until now."""
        return self.log_file.read_text(errors="replace")

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    def children(self) -> list[int]:
        """The processes that it has forked and that run."""
        return children_of(self.pid)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        self._process.send_signal(number)

    def send_all(self, number: signal.Signals) -> None:
        """Send a signal to it and to everything that it has forked."""
        os.killpg(self.pid, number)

    def wait(self, within: float = 10.0) -> int:
        """Its exit code, as soon as it ends."""
        until(lambda: self.exit_code is not None, within, lambda: f"still running:\n{self.log}")
        assert self.exit_code is not None
        return self.exit_code

    def logged(self, text: str, within: float = 10.0) -> None:
        """Return as soon as it has printed the text."""
        until(lambda: text in self.log, within, lambda: f"not printed: {text!r}", self)

    def end(self) -> None:
        """Kill it and whatever it has forked, stopped or not."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self.send_all(signal.SIGKILL)
        self._process.wait(10)


def children_of(pid: int) -> list[int]:
    """The running children of a process."""
    return [child for child, parent in _running() if parent == pid]


def is_running(pid: int) -> bool:
    """Whether a process exists and has not ended; one that nobody has waited for has ended."""
    return any(found == pid for found, _ in _running())


def _running() -> Iterator[tuple[int, int]]:
    """Each running process with its parent."""
    for line in _process_table():
        pid, parent, state = line.split()[:3]
        if not state.startswith("Z"):
            yield int(pid), int(parent)


def _process_table() -> Iterator[str]:
    if not Path("/proc/self/stat").exists():
        command = ["ps", "-A", "-o", "pid=,ppid=,stat="]
        yield from subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        return
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It has ended meanwhile.
            _, _, rest = (folder / "stat").read_text(errors="replace").rpartition(")")
            state, parent, *_ = rest.split()
            yield f"{folder.name} {parent} {state}"
