"""What a statement answers, as values of core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlq.job import Claim
from dlq.workers import Cancellation, Instruction, Order, Sight
from dlq_db.dialects.postgresql.marks import Place

__all__ = ["claim_of", "place_of", "sight_of"]


def claim_of(row: Sequence[Any], worker: str) -> Claim:
    """What a row of exchange.sql says of a job."""
    id, token, attempts, interruptions, claimed_at, task, queue, payload, priority = row[:9]
    run_after, enqueued_at, max_attempts, max_interruptions, overrides, expires_at, metadata, line, _ = row[
        9:
    ]
    return Claim(
        id=id,
        token=token,
        task=task,
        queue=queue,
        payload=payload,
        priority=priority,
        run_after=run_after,
        enqueued_at=enqueued_at,
        claimed_at=claimed_at,
        worker=worker,
        attempts=attempts,
        interruptions=interruptions,
        max_attempts=max_attempts,
        max_interruptions=max_interruptions,
        overrides=overrides,
        expires_at=expires_at,
        metadata=metadata,
        line=line,
    )


def place_of(row: Sequence[Any]) -> Place:
    """The same row, for the marks."""
    return Place(queue=row[6], priority=row[8], seq=row[17])


def sight_of(row: Sequence[Any]) -> Sight:
    """What the row of look.sql says to a runner."""
    expired, promoted, ready, paused = row[:4]
    workers, orders, numbers = (column or [] for column in row[4:7])
    asked = (column or [] for column in row[7:])
    return Sight(
        expired=expired,
        promoted=promoted,
        ready=sorted(ready),
        paused=sorted(paused),
        instructions=[Instruction(*told) for told in zip(workers, map(Order, orders), numbers, strict=True)],
        cancellations=[Cancellation(*one) for one in zip(*asked, strict=True)],
    )
