"""``Schedules.advance`` in a few statements for each schedule, for databases without one for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F

from dlq.job import NewJob
from dlq.store.schedules import Advance, Advanced
from dlq_db import models

__all__ = ["advance"]


def advance(
    connection: BaseDatabaseWrapper, backend: str, advances: Sequence[Advance], now: datetime
) -> tuple[Advanced, list[NewJob]]:
    """Move schedules on and record their fires; the jobs are still to be stored. To be called in a transaction."""
    done, jobs = Advanced(at=now), list[NewJob]()
    rows = models.Schedule.objects.using(connection.alias).filter(backend=backend)
    for each in sorted(advances, key=lambda advance: advance.key):
        if not rows.filter(key=each.key, revision=each.revision).update(**_changes(each)):
            continue
        done.keys.append(each.key)
        jobs += _record(connection, backend, each, now)
    done.jobs.extend(job.id for job in jobs)
    return done, jobs


def _changes(advance: Advance) -> dict[str, Any]:
    last = {"last_due_at": advance.last_due_at, "last_job": advance.last_job}
    return {
        "revision": F("revision") + 1,
        "due_at": advance.due_at,
        "look_at": advance.look_at,
        "fires": F("fires") + advance.enqueued,
        **{name: value for name, value in last.items() if value is not None},
    }


def _record(connection: BaseDatabaseWrapper, backend: str, advance: Advance, now: datetime) -> list[NewJob]:
    """Write down the due times that were not fired before; returns the jobs of these."""
    if not advance.fires:
        return []
    fires = models.Fire.objects.using(connection.alias)
    wanted = {fire.due_at: fire for fire in reversed(advance.fires)}
    known = fires.filter(backend=backend, key=advance.key, due_at__in=wanted)
    for due_at in known.values_list("due_at", flat=True):
        del wanted[due_at]
    new = sorted(wanted.values(), key=lambda fire: fire.due_at)
    fires.bulk_create(
        models.Fire(
            backend=backend,
            key=advance.key,
            due_at=fire.due_at,
            at=now,
            outcome=fire.outcome,
            job=fire.job_id,
            reason=fire.reason,
        )
        for fire in new
    )
    return [fire.job for fire in new if fire.job is not None]
