"""``--pidfile``: one live runner for a file, and what supervisors and scripts read."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlq.errors import ConfigError

__all__ = ["pidfile"]


@contextmanager
def pidfile(path: Path) -> Iterator[None]:
    """The file holds the id of this process, and a lock of it; the process that wrote it removes it in the end.

    A file that no live process holds is taken over. Children of this process do not hold it.

    Raises ConfigError when a live process holds it, or it cannot be written, or is no such file.
    """
    with _held(path) as descriptor:
        pid = os.getpid()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{pid}\n".encode(), 0)
        try:
            yield
        finally:
            if os.getpid() == pid and _is_still(descriptor, path):
                path.unlink(missing_ok=True)


@contextmanager
def _held(path: Path) -> Iterator[int]:
    while True:
        descriptor = _opened(path)
        try:
            _lock(descriptor, path)
            _refuse_other_files(descriptor, path)
            if _is_still(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigError(f"--pidfile {path} cannot be written: {error.strerror}.") from None


def _lock(descriptor: int, path: Path) -> None:
    try:
        # A lock that belongs to the process. One of flock() would belong to its children too, and they may
        # outlive it for a while.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = _content(descriptor).strip() or "unknown"
        raise ConfigError(
            f"--pidfile {path}: the process {holder} holds it and is alive. Stop it, or give another file."
        ) from None


def _refuse_other_files(descriptor: int, path: Path) -> None:
    if not re.fullmatch(r"\s*\d*\s*", content := _content(descriptor)):
        raise ConfigError(
            f"--pidfile {path} holds {content[:20]!r}, which is no process id. Give another file."
        )


def _content(descriptor: int) -> str:
    return os.pread(descriptor, 64, 0).decode(errors="replace")


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether the file is the one under the path: its last holder may have removed it before we had the lock."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False
