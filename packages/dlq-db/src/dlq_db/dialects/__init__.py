"""What differs between databases: how the hot path is said to each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Protocol
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import Enqueued, Exchanged, NewJob, Note, Outcome
from dlq.states import State
from dlq.store.schedules import Advance, Advanced
from dlq.workers import Sight, WorkerRef

__all__ = ["Dialect", "Ear", "statement", "statement_for"]


class Ear(Protocol):
    """Listens on the connection that it is given, which does nothing else."""

    def listen(self, connection: BaseDatabaseWrapper, timeout: float) -> frozenset[str]:
        """See ``Store.listen``."""


class Dialect(Protocol):
    """The verbs of ``Store`` that each database does in its own way, on the connection that it is given."""

    def transaction(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """One in which a verb may read and then write, inside the caller's if there is one."""

    def places(self, connection: BaseDatabaseWrapper, count: int) -> Sequence[int | None]:
        """So many new values of ``seq``, rising; None where an insert makes them."""

    def make_ready(self, connection: BaseDatabaseWrapper, ids: Sequence[UUID]) -> None:
        """Have blocked jobs, whose rows are locked, be ready in this order, behind those that are."""

    def admit_of(
        self, connection: BaseDatabaseWrapper, marks: Sequence[str], now: datetime | None
    ) -> list[tuple[str, str]]:
        """Give the free slots of these keys to those that wait; returns the backend and queue of each job."""

    def enqueue(
        self, connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime | None
    ) -> Enqueued:
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

    def waiting(self, connection: BaseDatabaseWrapper, backend: str, now: datetime | None) -> list[str]:
        """See ``Store.waiting``."""

    def annotate(self, connection: BaseDatabaseWrapper, backend: str, notes: Sequence[Note]) -> list[UUID]:
        """See ``Store.annotate``."""

    def look(
        self, connection: BaseDatabaseWrapper, backend: str, runner: str, limit: int, now: datetime | None
    ) -> tuple[Sight, bool]:
        """See ``Store.look``, but for admission; and whether any job waits for a slot."""

    def beat(
        self, connection: BaseDatabaseWrapper, backend: str, runner: str, now: datetime | None
    ) -> dict[str, int]:
        """See ``Store.beat``."""

    def retire(self, connection: BaseDatabaseWrapper, backend: str, runner: str, beat: int | None) -> bool:
        """See ``Store.retire``."""

    def tell(self, connection: BaseDatabaseWrapper, backend: str, queues: Collection[str]) -> None:
        """Tell those who listen that these queues have jobs, once they can be seen; without a name, that any may.

        Raises nothing. Does nothing where listeners see for themselves.
        """

    def ear(self, backend: str, waiting: Callable[[], Iterable[str]]) -> Ear | None:
        """What listens for this backend; None where nothing can be heard. ``waiting`` is that of ``Store``."""

    def prune(
        self,
        connection: BaseDatabaseWrapper,
        backend: str,
        state: State,
        older_than: float | None,
        limit: int,
        task: str | None,
        now: datetime | None,
    ) -> int:
        """See ``Store.prune``."""

    def clock(self, connection: BaseDatabaseWrapper) -> datetime:
        """The time."""

    def advance(
        self, connection: BaseDatabaseWrapper, backend: str, advances: Sequence[Advance], now: datetime | None
    ) -> Advanced:
        """See ``Schedules.advance``."""

    def dedicate(self, connection: BaseDatabaseWrapper) -> None:
        """Tune a connection that is not opened yet, and that only the runtime uses."""


@cache
def statement(path: str) -> str:
    """The text of an SQL file, by its path below this package, without its comments."""
    text = resources.files(__package__).joinpath(path).read_text()
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))


def statement_for(connection: BaseDatabaseWrapper, name: str) -> str:
    """The text of an SQL file that is the same on all databases but MySQL."""
    return statement(f"mysql/{name}" if connection.vendor == "mysql" else name)
