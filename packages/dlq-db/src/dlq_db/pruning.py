"""``Store.prune``, as any database can do it."""

from __future__ import annotations

from collections.abc import Iterator
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
    doomed: list[UUID] = []
    for jobs in _over(connection, backend, state, older_than, task, now):
        doomed += _first(jobs, limit - len(doomed))
    delete(connection.alias, doomed)
    return len(doomed)


def is_anything_over(
    connection: BaseDatabaseWrapper,
    backend: str,
    state: State,
    older_than: float | None,
    task: str | None,
    now: datetime | None,
) -> bool:
    """Whether ``prune`` would find a job."""
    # Not exists(), which would drop the order, and that is the index's.
    over = _over(connection, backend, state, older_than, task, now)
    return any(jobs.values_list("pk", flat=True)[:1] for jobs in over)


def _over(
    connection: BaseDatabaseWrapper,
    backend: str,
    state: State,
    older_than: float | None,
    task: str | None,
    now: datetime | None,
) -> Iterator[QuerySet[Job]]:
    """The jobs that may go, in the orders of the two indexes."""
    ended = Job.objects.using(connection.alias).filter(backend=backend, state=state)
    if task is not None:
        ended = ended.filter(task=task)
    yield ended.filter(keep_until__lte=moment(now)).order_by("keep_until")
    if older_than is not None:
        last = moment(now) - Value(timedelta(seconds=older_than))
        yield ended.filter(keep_until=None, finished_at__lte=last).order_by("finished_at")


def _first(ended: QuerySet[Job], limit: int) -> list[UUID]:
    """The ids of the first jobs that nobody else is at, locked."""
    skip_locked = connections[ended.db].features.has_select_for_update_skip_locked
    return list(ended.select_for_update(skip_locked=skip_locked).values_list("pk", flat=True)[:limit])
