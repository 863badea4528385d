"""``Clock``: a wall clock that a run can set, for the processes that begin on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Clock"]

SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """The monotonic clock goes on as it is: only what people call the time is changed."""

    def __init__(self, library: Path, file: Path) -> None:
        """``file`` says how far it is off."""
        self._library = library
        self._file = file
        file.write_bytes(bytes(8))
        file.chmod(0o644)

    @classmethod
    def at(cls, file: Path) -> Clock | None:
        """One that is right as yet; None on a machine where it cannot be built, for want of Linux or a compiler."""
        compiler, library = shutil.which("cc"), file.with_suffix(".so")
        if compiler is None or sys.platform != "linux":
            return None
        build = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
        return cls(library, file) if subprocess.run(build, check=False).returncode == 0 else None

    def set(self, seconds: int) -> None:
        """Be so many seconds fast, or slow, at once."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", seconds))

    @property
    def environment(self) -> dict[str, str]:
        """What a process must have in its environment to go by this clock."""
        return {"LD_PRELOAD": str(self._library), "DLQ_CHAOS_CLOCK": str(self._file)}

    @contextlib.contextmanager
    def for_children(self) -> Iterator[None]:
        """Have the processes that are started meanwhile go by it."""
        os.environ.update(self.environment)
        try:
            yield
        finally:
            for name in self.environment:
                del os.environ[name]
