"""``Store.look`` on MySQL. There is mostly nothing to do, and then it is one statement."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.workers import Cancellation, Instruction, Order, Sight
from dlq_db.dialects import statement
from dlq_db.dialects.mysql.locking import lock_due, lock_expired
from dlq_db.dialects.mysql.transactions import committed
from dlq_db.dialects.mysql.writing import put_behind, utc
from dlq_db.endings import expire
from dlq_db.lines import first_state
from dlq_db.tallying import Folds, fold, is_anything_to_fold

__all__ = ["look"]

type Seen = dict[str, list[tuple[Any, ...]]]


def look(
    connection: BaseDatabaseWrapper,
    backend: str,
    runner: str,
    limit: int,
    now: datetime | None,
    folds: Folds,
) -> tuple[Sight, bool]:
    """See ``Dialect.look``."""
    seen = _see(connection, backend, runner, now)
    at = datetime.fromisoformat(seen["clock"][0][3]).replace(tzinfo=UTC)
    expired = promoted = 0
    if limit and (seen["over"] or seen["due"]):
        with committed(connection):
            expired = _expire(connection, backend, limit, at)
            promoted = _promote(connection, backend, limit, at)
        seen = _see(connection, backend, runner, now)
    if limit and folds.are_due(at):
        folds.note(_fold(connection, backend, at), at)
    paused = {name for name, *_ in seen["paused"]}
    sight = Sight(
        expired=expired,
        promoted=promoted,
        ready=sorted({name for name, *_ in seen["ready"]} - paused),
        paused=sorted(paused),
        instructions=[
            Instruction(worker, Order(order), number) for worker, _, number, order in sorted(seen["told"])
        ],
        cancellations=[
            Cancellation(worker, UUID(job), token, reason)
            for worker, job, token, reason in sorted(seen["cancel"], key=lambda row: UUID(row[1]))
        ],
    )
    return sight, bool(seen["waits"])


def _fold(connection: BaseDatabaseWrapper, backend: str, now: datetime) -> int:
    if not is_anything_to_fold(connection, backend, now):
        return 0
    with committed(connection):
        return fold(connection, backend, now)


def _see(connection: BaseDatabaseWrapper, backend: str, runner: str, now: datetime | None) -> Seen:
    seen: Seen = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(statement("mysql/look.sql"), {"backend": backend, "runner": runner, "now": utc(now)})
        for kind, *row in cursor.fetchall():
            seen[kind].append(tuple(row))
    return seen


def _expire(connection: BaseDatabaseWrapper, backend: str, limit: int, now: datetime) -> int:
    over = {live.pk: live.expires_at for live in lock_expired(connection, backend, now, limit)}
    expire(connection, backend, over, now)
    return len(over)


def _promote(connection: BaseDatabaseWrapper, backend: str, limit: int, now: datetime) -> int:
    due = lock_due(connection, backend, now, limit)
    for live in due:
        (live.state, live.waits), live.due_at = first_state(live.line), None
    put_behind(connection, due)
    return len(due)
