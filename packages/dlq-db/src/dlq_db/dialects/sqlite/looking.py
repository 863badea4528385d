"""``Store.look`` on SQLite. There is mostly nothing to do, and only writing needs the lock."""

from __future__ import annotations

from datetime import datetime

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from dlq.states import State, Waits
from dlq.workers import Cancellation, Instruction, Order, Sight
from dlq_db.dialects.sqlite.writing import immediate, key, reserve, write_many
from dlq_db.endings import expire
from dlq_db.lines import first_state
from dlq_db.models import Live, Worker
from dlq_db.queues import paused_queues, waiting_queues
from dlq_db.tallying import Folds, fold, is_anything_to_fold

__all__ = ["look"]

PROMOTE = "UPDATE dlq_live SET state = %s, waits = %s, due_at = NULL, seq = %s WHERE id = %s"


def look(
    connection: BaseDatabaseWrapper, backend: str, runner: str, limit: int, now: datetime, folds: Folds
) -> tuple[Sight, bool]:
    """See ``Dialect.look``."""
    over = _live(connection, backend).filter(expires_at__lte=now, state__lt=State.RUNNING)
    due = _live(connection, backend).filter(state=State.SCHEDULED, due_at__lte=now)
    expired = promoted = 0
    if limit and (over.exists() or due.exists()):
        with immediate(connection):
            expired = _expire(connection, backend, over, limit, now)
            promoted = _promote(connection, due, limit)
    if limit and folds.are_due(now):
        folds.note(_fold(connection, backend, now), now)
    paused = paused_queues(connection, backend, now)
    seats = Worker.objects.using(connection.alias).filter(backend=backend, runner__name=runner)
    sight = Sight(
        expired=expired,
        promoted=promoted,
        ready=waiting_queues(connection, backend, now),
        paused=sorted(paused),
        instructions=_instructions(seats),
        cancellations=_cancellations(connection, backend, seats),
    )
    return sight, Live.objects.using(connection.alias).filter(waits=Waits.LIMIT).exists()


def _fold(connection: BaseDatabaseWrapper, backend: str, now: datetime) -> int:
    if not is_anything_to_fold(connection, backend, now):
        return 0
    with immediate(connection):
        return fold(connection, backend, now)


def _live(connection: BaseDatabaseWrapper, backend: str) -> QuerySet[Live]:
    return Live.objects.using(connection.alias).filter(backend=backend)


def _expire(
    connection: BaseDatabaseWrapper, backend: str, over: QuerySet[Live], limit: int, now: datetime
) -> int:
    expired = dict(over.order_by("expires_at").values_list("pk", "expires_at")[:limit])
    expire(connection, backend, expired, now)
    return len(expired)


def _promote(connection: BaseDatabaseWrapper, due: QuerySet[Live], limit: int) -> int:
    jobs = list(due.order_by("due_at", "seq").values_list("pk", "line")[:limit])
    places = reserve(connection, len(jobs))
    rows = [
        (*first_state(line), seq, key(connection, id)) for seq, (id, line) in zip(places, jobs, strict=True)
    ]
    write_many(connection, PROMOTE, rows)
    return len(jobs)


def _instructions(seats: QuerySet[Worker]) -> list[Instruction]:
    rows = seats.values_list("name", "order", "instructed", "heeded").order_by("name")
    return [
        Instruction(name, Order(order), number) for name, order, number, heeded in rows if heeded < number
    ]


def _cancellations(
    connection: BaseDatabaseWrapper, backend: str, seats: QuerySet[Worker]
) -> list[Cancellation]:
    asked = _live(connection, backend).filter(cancel__isnull=False, worker__in=seats.values("name"))
    rows = asked.order_by("pk").values_list("worker", "pk", "token", "cancel")
    return [Cancellation(worker or "", id, token, reason or "") for worker, id, token, reason in rows]
