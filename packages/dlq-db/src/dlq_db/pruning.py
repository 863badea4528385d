"""``Store.prune``, as any database can do it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet, Value

from dlq.states import State
from dlq_db.clock import moment
from dlq_db.endings import delete
from dlq_db.models import Job

__all__ = ["prune"]


def prune(
    connection: BaseDatabaseWrapper,
    backend: str,
    state: State,
    older_than: float | None,
    limit: int,
    task: str | None,
    now: datetime | None,
) -> int:
    """See ``Store.prune``. To be called in a transaction."""
    ended = Job.objects.using(connection.alias).filter(backend=backend, state=state)
    if task is not None:
        ended = ended.filter(task=task)
    doomed = _first(ended.filter(keep_until__lte=moment(now)).order_by("keep_until"), limit)
    if older_than is not None:
        last = moment(now) - Value(timedelta(seconds=older_than))
        old = ended.filter(keep_until=None, finished_at__lte=last).order_by("finished_at")
        doomed += _first(old, limit - len(doomed))
    delete(connection.alias, doomed)
    return len(doomed)


def _first(ended: QuerySet[Job], limit: int) -> list[UUID]:
    """The ids of the first jobs that nobody else is at, locked."""
    skip_locked = connections[ended.db].features.has_select_for_update_skip_locked
    return list(ended.select_for_update(skip_locked=skip_locked).values_list("pk", flat=True)[:limit])
