"""``--reload``: a runner for development, which starts again when code changes.

As ``runserver`` does it, there are two processes. The outer one starts the inner one again whenever that ends
with the code that asks for it. In the inner one Django's autoreloader has the main thread, so jobs run in other
threads: ``InProcessRunner``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from django.utils import autoreload

from dlq.logs import get_logger
from dlq.runtime.inprocess import InProcessRunner, end_process

__all__ = ["run_reloading"]

logger = get_logger("dlq.runner")

SIGNALS = (signal.SIGINT, signal.SIGTERM)
RELOAD = 3
"""Exit code with which Django's autoreloader asks to be started again."""
PATIENCE = 1.0
"""Seconds that running jobs have to finish when code has changed; then the new code runs them once more."""
FOREIGN = ("node_modules", "site-packages", "__pycache__")
"""Folders inside of a project that are not its code."""
LOOK_EVERY = 0.5
"""Seconds between two looks for changes while the code is broken."""


def run_reloading(make_runner: Callable[[], InProcessRunner]) -> int:
    """Run until SIGTERM or Ctrl-C, in this process and another; returns the exit code.

    ``make_runner`` is called in the inner process alone. What it raises ends that, and after the next change it
    is tried again.
    """
    if os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true":
        return _run_inside(make_runner())
    _Outer().run()
    return 0


# --- The inner process ---


class _Watcher(autoreload.StatReloader):
    """Django's, which says when it has looked for the first time: a change before that it would not see."""

    def __init__(self) -> None:
        super().__init__()
        self.has_looked = threading.Event()

    def snapshot_files(self) -> Iterator[tuple[Path, float]]:
        yield from super().snapshot_files()
        self.has_looked.set()


def _run_inside(runner: InProcessRunner) -> int:
    _end_with(os.getppid())
    code = 0
    watcher = _Watcher()

    def start() -> None:
        watcher.has_looked.wait()
        runner.start()

    for number in SIGNALS:
        signal.signal(number, _leave)
    try:
        # SystemExit comes out of it when a file has changed, and upon a signal.
        autoreload.start_django(watcher, start)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    _ignore_signals()
    runner.stop(PATIENCE)
    if runner.is_busy:
        end_process(code)
    return code


def _leave(number: int, frame: FrameType | None) -> None:
    """Begin to end, once: a terminal sends its signals to all, and the outer process repeats them."""
    _ignore_signals()
    sys.exit(0)


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end_with(parent: int) -> None:
    """End this process when the outer one was killed: nobody would start it again after a change."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="dlq-parent", daemon=True).start()


# --- The outer process ---


class _Outer:
    """Runs the command of this process again, in a child, for as long as nobody says stop."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._told: list[int] = []
        """The signals that have come."""

    def run(self) -> None:
        """Return when told to stop, or when the child has ended without asking for another."""
        before = {number: signal.signal(number, self._heed) for number in SIGNALS}
        try:
            while not self._told:
                # Before the code is read: what is changed from here on may be what is missing.
                files = _project_files()
                code = self._run_child()
                if code == 0:
                    return
                if code != RELOAD and not self._told:
                    logger.warning("The runner ended with code %d; it starts again when code changes.", code)
                    self._wait_for_change(files)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _wait_for_change(self, files: dict[Path, float]) -> None:
        while not self._told and _project_files() == files:
            time.sleep(LOOK_EVERY)

    def _heed(self, number: int, frame: FrameType | None) -> None:
        self._told.append(number)
        if self._child is not None:
            self._child.send_signal(number)

    def _run_child(self) -> int:
        environment = {**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"}
        self._child = subprocess.Popen(autoreload.get_child_arguments(), env=environment, close_fds=False)
        for number in self._told:
            self._child.send_signal(number)  # It came before there was a child.
        return self._child.wait()


def _project_files() -> dict[Path, float]:
    """The code of the project, with the times of its last changes."""
    found: dict[Path, float] = {}
    for project in _project_folders():
        for folder, inside, files in project.walk():
            inside[:] = [name for name in inside if not name.startswith(".") and name not in FOREIGN]
            for file in (folder / name for name in files if name.endswith(".py")):
                with contextlib.suppress(OSError):  # It was removed meanwhile.
                    found[file] = file.stat().st_mtime
    return found


def _project_folders() -> set[Path]:
    """Where code is imported from that is neither Python's own nor installed."""
    paths = sysconfig.get_paths()
    foreign = [Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders = {Path(entry).absolute() for entry in sys.path}
    return {
        folder
        for folder in folders
        if folder.is_dir() and not any(folder.is_relative_to(other) for other in foreign)
    }
