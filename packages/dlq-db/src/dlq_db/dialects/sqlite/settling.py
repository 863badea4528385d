"""The first half of ``Store.exchange`` on SQLite: outcomes are written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F

from dlq.job import Outcome
from dlq_db.dialects.settled import Settled, judge
from dlq_db.dialects.sqlite.writing import key, reserve, write_many
from dlq_db.models import Attempt, Live
from dlq_db.tallying import count

__all__ = ["settle"]

JOB = """
    UPDATE dlq_job
    SET state = %s, result = %s, reason = %s, worker = %s, token = %s, settled_by = %s, attempts = %s,
        interruptions = %s, started_at = %s, finished_at = %s, keep_until = %s
    WHERE id = %s
"""
LIVE = """
    UPDATE dlq_live
    SET state = %s, waits = %s, settled = %s, settled_by = %s, attempts = %s, interruptions = %s, due_at = %s, seq = %s,
        version = %s
    WHERE id = %s
"""


def settle(
    connection: BaseDatabaseWrapper, backend: str, by: str, outcomes: Sequence[Outcome], now: datetime
) -> tuple[list[UUID], list[UUID]]:
    """Write the outcomes that hold their token; returns the ids of the others: stale, and settled already."""
    using = connection.alias
    rows = Live.objects.using(using).filter(pk__in=[o.id for o in outcomes], backend=backend)
    rows = rows.annotate(task=F("job__task"))
    lives = {live.pk: live for live in rows} if outcomes else {}
    judged = judge(using, backend, by, outcomes, lives, now)
    _finish(connection, judged.ended)
    _return(connection, judged.returned)
    Attempt.objects.using(using).bulk_create(judged.attempts)
    count(connection, backend, judged.sums, now)
    return judged.stale, judged.already


def _finish(connection: BaseDatabaseWrapper, ended: Sequence[Settled]) -> None:
    at = connection.ops.adapt_datetimefield_value
    rows = [
        (
            *(int(done.live.state), done.outcome.result, done.reason, done.live.worker, done.live.token),
            *(done.settled_by, done.live.attempts, done.live.interruptions),
            *(at(done.started_at), at(done.now), at(done.keep_until)),
            key(connection, done.live.pk),
        )
        for done in ended
    ]
    write_many(connection, JOB, rows)
    write_many(connection, "DELETE FROM dlq_live WHERE id = %s", [row[-1:] for row in rows])


def _return(connection: BaseDatabaseWrapper, returned: Sequence[Settled]) -> None:
    at = connection.ops.adapt_datetimefield_value
    for done in returned:
        if done.goes_behind:
            (done.live.seq,) = reserve(connection, 1)
    write_many(
        connection,
        LIVE,
        [
            (
                *(int(done.live.state), done.live.waits, done.live.settled, done.live.settled_by),
                *(done.live.attempts, done.live.interruptions, at(done.due_at), done.live.seq),
                done.outcome.version,
                key(connection, done.live.pk),
            )
            for done in returned
        ],
    )
