"""What comes to jobs that do not run (any more), in a few statements for many; the hot path has its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import OuterRef, QuerySet, Subquery

from dlq.job import Counted
from dlq.states import State
from dlq.store.tallies import ENDINGS
from dlq_db.chunks import chunks
from dlq_db.models import Attempt, Job, Live, Note
from dlq_db.tallying import count_jobs

__all__ = ["delete", "end", "expire"]


def end(
    connection: BaseDatabaseWrapper, backend: str, ids: Collection[UUID], state: State, now: datetime
) -> None:
    """Move what is known of live jobs, whose rows are locked, to their job rows, and count them."""
    using = connection.alias
    count_jobs(connection, backend, ids, ENDINGS[state], now)
    for chunk in chunks(ids):
        live = Live.objects.using(using).filter(pk=OuterRef("pk"))
        Job.objects.using(using).filter(pk__in=chunk).update(
            state=state,
            reason=_column(live, "cancel"),
            finished_at=now,
            token=_column(live, "token"),
            settled=_column(live, "settled"),
            settled_by=_column(live, "settled_by"),
            attempts=_column(live, "attempts"),
            interruptions=_column(live, "interruptions"),
        )
        Live.objects.using(using).filter(pk__in=chunk)._raw_delete(using)


def expire(
    connection: BaseDatabaseWrapper, backend: str, over: Mapping[UUID, datetime | None], now: datetime
) -> None:
    """Fail live jobs, whose rows are locked, that have waited for too long: each with when it should have started."""
    end(connection, backend, list(over), State.FAILED, now)
    Attempt.objects.using(connection.alias).bulk_create(
        Attempt(
            job_id=id,
            worker="",
            started_at=now,
            finished_at=now,
            counted=Counted.NOTHING,
            exception="dlq.errors.Expired",
            traceback=f"The job had not started at {expires_at}.\n",
        )
        for id, expires_at in over.items()
    )


def delete(using: str, ids: Collection[UUID]) -> None:
    """Remove finished jobs, whose rows are locked, and all that belongs to them."""
    for chunk in chunks(ids):
        for belongings in (Note, Attempt):
            belongings.objects.using(using).filter(job__in=chunk)._raw_delete(using)
        Job.objects.using(using).filter(pk__in=chunk)._raw_delete(using)


def _column(live: QuerySet[Live], name: str) -> Subquery:
    return Subquery(live.values(name))
