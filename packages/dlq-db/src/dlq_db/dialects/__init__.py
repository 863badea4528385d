"""What differs between databases: how the hot path is said to each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Protocol

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import Exchanged, NewJob, Outcome, WorkerRef

__all__ = ["Dialect", "statement"]


class Dialect(Protocol):
    """The verbs of ``Store`` that each database does in its own way, on the connection that it is given."""

    def enqueue(
        self, connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime | None
    ) -> datetime:
        """See ``Store.enqueue``."""

    def exchange(
        self,
        connection: BaseDatabaseWrapper,
        backend: str,
        worker: WorkerRef,
        outcomes: Sequence[Outcome],
        queues: Sequence[str],
        limit: int,
        now: datetime | None,
    ) -> Exchanged:
        """See ``Store.exchange``."""

    def promote(self, connection: BaseDatabaseWrapper, backend: str, limit: int, now: datetime | None) -> int:
        """See ``Store.promote``."""

    def beat(
        self, connection: BaseDatabaseWrapper, backend: str, runner: str, now: datetime | None
    ) -> dict[str, int]:
        """See ``Store.beat``."""

    def retire(self, connection: BaseDatabaseWrapper, backend: str, runner: str, beat: int | None) -> bool:
        """See ``Store.retire``."""

    def dedicate(self, connection: BaseDatabaseWrapper) -> None:
        """Tune a connection that is not opened yet, and that only the runtime uses."""


@cache
def statement(path: str) -> str:
    """The text of an SQL file, by its path below this package, without its comments."""
    text = resources.files(__package__).joinpath(path).read_text()
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
