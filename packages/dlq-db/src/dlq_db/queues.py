"""Which queues have something to give."""

from __future__ import annotations

from datetime import datetime

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q

from dlq_db.clock import moment
from dlq_db.dialects import statement_for
from dlq_db.models import Pause

__all__ = ["paused_queues", "ready_queues"]


def ready_queues(connection: BaseDatabaseWrapper, backend: str) -> list[str]:
    """The queues that have a ready job, paused or not."""
    with connection.cursor() as cursor:
        cursor.execute(statement_for(connection, "waiting.sql"), [backend, backend])
        return [queue for (queue,) in cursor.fetchall()]


def paused_queues(
    connection: BaseDatabaseWrapper, backend: str, now: datetime | None
) -> dict[str, datetime | None]:
    """The queues that are paused, and until when."""
    pauses = Pause.objects.using(connection.alias).filter(backend=backend)
    return dict(pauses.filter(Q(until=None) | Q(until__gt=moment(now))).values_list("queue", "until"))
