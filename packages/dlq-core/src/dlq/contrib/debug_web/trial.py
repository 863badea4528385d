"""One run of a job that leaves nothing behind in the databases, and everything that can be seen of it."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.tasks.backends.base import BaseTaskBackend

from dlq.job import Claim, Note, Outcome
from dlq.runtime.execution import run_job

__all__ = ["Query", "Trial", "try_out"]

NO_DATABASE = "django.db.backends.dummy"


@dataclass(frozen=True, slots=True)
class Query:
    """A statement that the database was given, and how many seconds it took."""

    database: str
    sql: str
    seconds: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one run has shown."""

    outcome: Outcome
    seconds: float
    lines: Sequence[str]
    """What was logged."""
    job_lines: Sequence[str]
    """What the task wrote into its job's log."""
    queries: Sequence[Query]


def try_out(claim: Claim, backend: BaseTaskBackend) -> Trial:
    """Run the job in a transaction on every database, and roll them back."""
    queries: list[Query] = []
    notes: list[Note] = []
    with ExitStack() as stack:
        databases = [c for c in connections.all() if c.settings_dict["ENGINE"] != NO_DATABASE]
        for connection in databases:
            stack.enter_context(_rolled_back(connection.alias))
        for connection in databases:
            stack.enter_context(_queries_into(queries, connection))
        lines = stack.enter_context(_logged())
        began = time.monotonic()
        outcome = run_job(claim, (), backend, notes=notes)
        seconds = time.monotonic() - began
    job_lines = [line for note in notes for line in note.lines]
    return Trial(outcome=outcome, seconds=seconds, lines=lines, job_lines=job_lines, queries=queries)


@contextmanager
def _rolled_back(alias: str) -> Iterator[None]:
    with transaction.atomic(using=alias):
        try:
            yield
        finally:
            transaction.set_rollback(True, using=alias)


@contextmanager
def _queries_into(queries: list[Query], connection: BaseDatabaseWrapper) -> Iterator[None]:
    # A log of its own: that of the request may be full, or cleared by a signal in between.
    log, forced = connection.queries_log, connection.force_debug_cursor
    connection.queries_log, connection.force_debug_cursor = deque(maxlen=log.maxlen), True
    try:
        yield
    finally:
        queries += [Query(connection.alias, entry["sql"], entry["time"]) for entry in connection.queries_log]
        connection.queries_log, connection.force_debug_cursor = log, forced


@contextmanager
def _logged() -> Iterator[list[str]]:
    """What all loggers say meanwhile, from INFO on."""
    root, handler = logging.getLogger(), _Keeper()
    level = root.level
    root.addHandler(handler)
    root.setLevel(min(level, logging.INFO))
    try:
        yield handler.lines
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
