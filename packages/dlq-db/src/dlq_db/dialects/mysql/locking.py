"""How rows are locked on MySQL, always by the index that is named, so that no other row is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.chunks import chunks
from dlq_db.dialects.mysql.writing import key, utc
from dlq_db.models import Live

__all__ = ["lock_due", "lock_expired", "lock_lives"]

BY_KEY = """
    SELECT l.*, j.task
    FROM dlq_live l FORCE INDEX (PRIMARY) STRAIGHT_JOIN dlq_job j FORCE INDEX (PRIMARY) ON j.id = l.id
    WHERE l.id IN ({})
    ORDER BY l.id
    FOR UPDATE
"""
EXPIRED = """
    SELECT * FROM dlq_live FORCE INDEX (dlq_live_expiry)
    WHERE backend = %s AND expires_at <= %s AND state < 4
    ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED
"""
DUE = """
    SELECT * FROM dlq_live FORCE INDEX (dlq_live_due)
    WHERE backend = %s AND due_at <= %s AND state = 1
    ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED
"""


def lock_lives(connection: BaseDatabaseWrapper, backend: str, ids: Sequence[UUID]) -> dict[UUID, Live]:
    """The live rows of these jobs, each with its ``task``, by id, as everywhere; waits for whoever has one."""
    found: dict[UUID, Live] = {}
    for chunk in chunks(sorted(set(ids))):
        sql = BY_KEY.format(", ".join(["%s"] * len(chunk)))
        rows = Live.objects.using(connection.alias).raw(sql, [key(connection, id) for id in chunk])
        found |= {live.pk: live for live in rows if live.backend == backend}
    return found


def lock_expired(connection: BaseDatabaseWrapper, backend: str, now: datetime, limit: int) -> list[Live]:
    """Jobs that have waited for too long and that nobody else is at."""
    return list(Live.objects.using(connection.alias).raw(EXPIRED, [backend, utc(now), limit]))


def lock_due(connection: BaseDatabaseWrapper, backend: str, now: datetime, limit: int) -> list[Live]:
    """Jobs whose time has come and that nobody else is at, the longest due first."""
    lives = Live.objects.using(connection.alias).raw(DUE, [backend, utc(now), limit])
    return sorted(lives, key=lambda live: (live.due_at, live.seq))
