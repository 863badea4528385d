"""``OwnPostgreSQL``: a server that one test alone may stop, kill, and start again."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from databases import migrate
from servers import data_folder, free_port, make_cluster, programs, serving_postgres

__all__ = ["OwnPostgreSQL"]

DATABASE = "site"


class OwnPostgreSQL:
    """A cluster with a migrated database; ``running`` serves it, always on the same port."""

    def __init__(self, data: Path) -> None:
        """``data`` is the folder that it all goes into."""
        self._programs = programs("postgres")
        self._cluster = make_cluster(self._programs, data)
        self._port = free_port()
        self._log = data / "log"
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/{DATABASE}"
        # What is written is kept when the server is killed, as fsync matters to a power failure only.
        self.settings = {"fsync": "off", "log_line_prefix": "%m [%a] "}
        self._server: contextlib.ExitStack | None = None
        self.start()
        with psycopg.connect(self.url.removesuffix(DATABASE) + "postgres", autocommit=True) as server:
            server.execute(f"CREATE DATABASE {DATABASE}".encode())
        migrate(self.url)

    @classmethod
    @contextlib.contextmanager
    def made(cls) -> Iterator[OwnPostgreSQL]:
        """A running one, for as long as the context lasts."""
        with data_folder() as data:
            server = cls(data)
            try:
                yield server
            finally:
                server.stop()

    def start(self) -> None:
        """Returns as soon as it answers."""
        serving = serving_postgres(
            self._programs, self._cluster, self._port, self.settings, stop=signal.SIGQUIT
        )
        self._server = contextlib.ExitStack()
        self._server.enter_context(serving)

    def stop(self) -> None:
        """At once, as by a crash: whoever is connected is cut off."""
        if self._server is not None:
            self._server.close()
            self._server = None

    @property
    def pid(self) -> int:
        """The process that all others of the server come from."""
        return int((self._cluster / "postmaster.pid").read_text().splitlines()[0])

    def ask(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """What the server answers to a person who watches it."""
        writable = "-c default_transaction_read_only=off"
        with psycopg.connect(
            self.url, autocommit=True, application_name="watching", options=writable
        ) as connection:
            cursor = connection.execute(sql.encode(), arguments or None)
            return cursor.fetchall() if cursor.description else []

    def logged_statements(self, application: str) -> list[str]:
        """What this application has asked, if ``log_statement`` is ``all``."""
        asked = re.compile(
            rf"\[{re.escape(application)}\] LOG:  (?:statement|execute [^:]*): (.*?)(?=\n\d{{4}}-\d\d-\d\d |\Z)",
            re.DOTALL,
        )
        return asked.findall(self._log.read_text(errors="replace"))
