"""The second half of ``Store.exchange`` on MySQL: jobs are given out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import Claim
from dlq_db.dialects import statement
from dlq_db.dialects.mysql.writing import utc

__all__ = ["claim"]

HOLD = """
    UPDATE dlq_live FORCE INDEX (PRIMARY)
    SET state = 4, token = token + 1, worker = %s, claimed_at = %s, mark = IF(LEFT(mark, 1) = 's', NULL, mark)
    WHERE id IN ({})
"""


def claim(
    connection: BaseDatabaseWrapper,
    backend: str,
    worker: str,
    queues: Sequence[str],
    limit: int,
    now: datetime,
) -> list[Claim]:
    """Give a registered worker up to ``limit`` jobs: a statement for each queue that is asked, and one for all."""
    rows: list[tuple[Any, ...]] = []
    with connection.cursor() as cursor:
        for queue in dict.fromkeys(queues):
            if len(rows) >= limit:
                break
            asked = [backend, queue, backend, queue, utc(now), limit - len(rows)]
            cursor.execute(statement("mysql/claim.sql"), asked)
            rows += cursor.fetchall()
        if rows:
            hold = HOLD.format(", ".join(["%s"] * len(rows)))
            cursor.execute(hold, [worker, utc(now), *(row[0] for row in rows)])
    return [_claim_of(row, worker, now) for row in rows]


def _claim_of(row: tuple[Any, ...], worker: str, now: datetime) -> Claim:
    id, token, attempts, interruptions, task, queue, payload, priority, run_after, enqueued_at = row[:10]
    max_attempts, max_interruptions, overrides, expires_at, metadata, line = row[10:]
    return Claim(
        id=UUID(id),
        token=token + 1,
        task=task,
        queue=queue,
        payload=payload,
        priority=priority,
        run_after=_aware(run_after),
        enqueued_at=enqueued_at.replace(tzinfo=UTC),
        claimed_at=now,
        worker=worker,
        attempts=attempts,
        interruptions=interruptions,
        max_attempts=max_attempts,
        max_interruptions=max_interruptions,
        overrides=overrides,
        expires_at=_aware(expires_at),
        metadata=metadata,
        line=line,
    )


def _aware(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC)
