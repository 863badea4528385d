"""What a statement answers, as values of core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlq.job import Cancellation, Claim, Instruction, Order, Sight

__all__ = ["claim_of", "sight_of"]


def claim_of(row: Sequence[Any], worker: str) -> Claim:
    """A row of exchange.sql."""
    _, _, _, id, token, attempts, interruptions, claimed_at, task, queue, payload, priority = row[:12]
    run_after, enqueued_at, max_attempts, max_interruptions, overrides, expires_at, metadata, _ = row[12:]
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
    )


def sight_of(row: Sequence[Any]) -> Sight:
    """The row of look.sql."""
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
