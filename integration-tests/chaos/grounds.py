"""Servers that one run alone has, with what can be done to each: see ``GROUNDS``."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from chaos.clocks import Clock
from databases import SQLiteFiles
from own_postgresql import OwnPostgreSQL
from topologies import Node, Nodes

__all__ = ["GROUNDS", "Ground"]

SMALL = "192m"
"""What a disk holds that can be filled in a moment."""


class Ground(ABC):
    """Where jobs are, and what may happen to it. A name in ``kinds`` is that of a fault in ``chaos.faults``."""

    url: str
    options: ClassVar[Mapping[str, Any]] = {}
    kinds: ClassVar[frozenset[str]]

    def __init__(self, folder: Path, stack: ExitStack, clock: Clock | None) -> None:
        """``folder`` is for its files; what ``stack`` holds ends with the run; ``clock`` is that of the server."""
        self.folder = folder
        self.clock = clock
        self.disk = stack.enter_context(small_disk(folder))

    @property
    def possible(self) -> frozenset[str]:
        """The faults that this machine can have."""
        impossible = {"full_disk"} if self.disk is None else set()
        return self.kinds - impossible - ({"server_clock"} if self.clock is None else set())

    @abstractmethod
    def crash(self) -> None:
        """End the server as ``kill -9`` does."""

    @abstractmethod
    def stop(self) -> None:
        """End the server as its administrator would who is in a hurry."""

    @abstractmethod
    def start(self) -> None:
        """Have it serve again, with what it had written."""

    @abstractmethod
    def end_sessions(self) -> None:
        """End the connections of every client."""

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Leave no room on the disk, as long as the context lasts."""
        assert self.disk is not None
        filler = self.disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        try:
            yield
        finally:
            filler.unlink()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system of limited size; None where that cannot be had."""
    disk = folder / "disk"
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=0777", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=False)


class SQLiteGround(Ground):
    """A file: nothing that could crash, but one lock for everybody."""

    kinds = frozenset({"lock", "full_disk"})

    def __init__(self, folder: Path, stack: ExitStack, clock: Clock | None) -> None:
        super().__init__(folder, stack, clock)
        self.url = stack.enter_context(SQLiteFiles(folder).new(self.disk or folder))
        self._file = urlsplit(self.url).path.removeprefix("/")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep everybody else from the file."""
        file = sqlite3.connect(self._file, isolation_level=None, timeout=30)
        try:
            file.execute("BEGIN EXCLUSIVE")
            yield
            file.execute("COMMIT")
        finally:
            file.close()

    def crash(self) -> None:
        raise NotImplementedError

    stop = start = end_sessions = crash


class PostgreSQLGround(Ground):
    """A server of its own; its jobs lie on a small disk."""

    kinds = frozenset(
        {"crash", "restart", "sessions", "full_disk", "server_clock", *("delay", "stall", "cut")}
    )
    kinds |= {"cut_in_reply", "refuse", "lost_reply"}

    def __init__(self, folder: Path, stack: ExitStack, clock: Clock | None) -> None:
        super().__init__(folder, stack, clock)
        with self._on_its_clock():
            self._server = stack.enter_context(OwnPostgreSQL.made())
        self.url = self._server.url
        if self.disk is not None:
            space = self.disk / "space"
            space.mkdir(mode=0o777)
            space.chmod(0o777)
            self._server.ask(f"CREATE TABLESPACE small LOCATION '{space}'")
            self._server.ask("ALTER TABLE dlq_job SET TABLESPACE small")

    def crash(self) -> None:
        os.kill(self._server.pid, signal.SIGKILL)
        self._server.stop()

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        # What a killed server has left in memory is in use until the last of its children has seen that it is gone.
        for _ in range(100):
            with contextlib.suppress(SystemExit), self._on_its_clock():
                self._server.start()
                return
            time.sleep(0.05)
        raise AssertionError("PostgreSQL does not start again.")

    def end_sessions(self) -> None:
        self._server.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    def _on_its_clock(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self.clock is None else self.clock.for_children()


class RedisGround(Ground):
    """A server of its own that writes down what it does, on a small disk."""

    kinds = frozenset({"crash", "restart", "sessions", "full_disk", "full_memory", "server_clock"})
    kinds |= {"delay", "stall", "cut", "cut_in_reply", "refuse", "lost_reply"}

    def __init__(self, folder: Path, stack: ExitStack, clock: Clock | None) -> None:
        super().__init__(folder, stack, clock)
        nodes = Nodes(self.disk or folder)
        stack.callback(nodes.close)
        with self._on_its_clock():
            self._node: Node = nodes.start("--appendonly", "yes")
        self.url = self._node.url

    def crash(self) -> None:
        self._node.kill()

    def stop(self) -> None:
        self._node.end(signal.SIGTERM)

    def start(self) -> None:
        with self._on_its_clock():
            self._node.start()

    def end_sessions(self) -> None:
        self._node.client.client_kill_filter(_type="normal", skipme=True)

    @contextlib.contextmanager
    def out_of_memory(self) -> Iterator[None]:
        """Take no more data."""
        self._node.client.config_set("maxmemory", "1mb")
        try:
            yield
        finally:
            self._node.client.config_set("maxmemory", "0")

    def _on_its_clock(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self.clock is None else self.clock.for_children()


class AtMostOnceGround(RedisGround):
    """The same, where no job is begun twice."""

    options = {"delivery": "at-most-once"}


GROUNDS: dict[str, type[Ground]] = {
    "sqlite": SQLiteGround,
    "postgresql": PostgreSQLGround,
    "redis": RedisGround,
    "redis-at-most-once": AtMostOnceGround,
}
"""By the name that ``--store`` takes."""
