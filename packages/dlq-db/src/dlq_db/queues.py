"""Which queues have something to give."""

from __future__ import annotations

from datetime import datetime

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q

from dlq_db.clock import moment
from dlq_db.dialects import statement_for
from dlq_db.models import Pause

__all__ = ["paused_queues", "waiting_queues"]


def waiting_queues(connection: BaseDatabaseWrapper, backend: str, now: datetime | None) -> list[str]:
    """The queues that have a ready job and are not paused, sorted."""
    with connection.cursor() as cursor:
        cursor.execute(statement_for(connection, "waiting.sql"), [backend, backend])
        ready = {queue for (queue,) in cursor.fetchall()}
    return sorted(ready.difference(paused_queues(connection, backend, now)))


def paused_queues(
    connection: BaseDatabaseWrapper, backend: str, now: datetime | None
) -> dict[str, datetime | None]:
    """The queues that are paused, and until when."""
    pauses = Pause.objects.using(connection.alias).filter(backend=backend)
    return dict(pauses.filter(Q(until=None) | Q(until__gt=moment(now))).values_list("queue", "until"))
