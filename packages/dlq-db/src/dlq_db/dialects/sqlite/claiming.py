"""The second half of ``Store.exchange`` on SQLite: jobs are given out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import Claim
from dlq.states import State
from dlq.unique import Until
from dlq_db.dialects.sqlite.writing import key, write_many
from dlq_db.models import Live
from dlq_db.queues import paused_queues
from dlq_db.rows import claim_of

__all__ = ["claim"]

LIVE = "UPDATE dlq_live SET state = %s, token = %s, worker = %s, claimed_at = %s WHERE id = %s"
UNMARK = "UPDATE dlq_live SET mark = NULL WHERE id = %s"


def claim(
    connection: BaseDatabaseWrapper,
    backend: str,
    worker: str,
    queues: Sequence[str],
    limit: int,
    now: datetime,
) -> list[Claim]:
    """Give a registered worker up to ``limit`` jobs."""
    paused = paused_queues(connection, backend, now) if limit else {}
    lives: list[Live] = []
    for queue in dict.fromkeys(queues):
        if len(lives) >= limit:
            break
        if queue not in paused:
            ready = Live.objects.using(connection.alias).filter(
                backend=backend, queue=queue, state=State.READY
            )
            lives += ready.select_related("job").order_by("-priority", "seq")[: limit - len(lives)]
    at = connection.ops.adapt_datetimefield_value(now)
    for live in lives:
        live.token, live.worker, live.claimed_at = live.token + 1, worker, now
    write_many(
        connection,
        LIVE,
        [(int(State.RUNNING), live.token, worker, at, key(connection, live.pk)) for live in lives],
    )
    write_many(connection, UNMARK, [(key(connection, live.pk),) for live in lives if _ends_at_start(live)])
    return [claim_of(live) for live in lives]


def _ends_at_start(live: Live) -> bool:
    return live.mark is not None and live.mark.startswith(Until.STARTED[0])
