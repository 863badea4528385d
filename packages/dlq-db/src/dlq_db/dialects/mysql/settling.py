"""The first half of ``Store.exchange`` on MySQL: outcomes are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import Outcome
from dlq_db.chunks import chunks
from dlq_db.dialects.mysql.circumstances import Circumstances
from dlq_db.dialects.mysql.locking import lock_lives
from dlq_db.dialects.mysql.writing import key, packed, put_behind, remove, size, update, utc
from dlq_db.dialects.settled import Settled, judge
from dlq_db.models import Attempt
from dlq_db.tallying import count

__all__ = ["settle"]

JOB = (
    *("state", "result", "reason", "worker", "token", "settled_by", "attempts", "interruptions"),
    *("started_at", "finished_at", "keep_until"),
)
LIVE = ("state", "waits", "settled", "settled_by", "attempts", "interruptions", "due_at", "version")


def settle(
    connection: BaseDatabaseWrapper,
    backend: str,
    by: str,
    outcomes: Sequence[Outcome],
    server: Circumstances,
) -> tuple[list[UUID], list[UUID]]:
    """Write the outcomes that hold their token; returns the ids of the others: stale, and settled already."""
    for outcome in outcomes:
        server.must_take(_size(outcome))
    lives = lock_lives(connection, backend, [outcome.id for outcome in outcomes])
    judged = judge(connection.alias, backend, by, outcomes, lives, server.now)
    _finish(connection, judged.ended)
    _return(connection, judged.returned)
    for attempts in packed(judged.attempts, lambda attempt: size(attempt.traceback, attempt.exception)):
        Attempt.objects.using(connection.alias).bulk_create(attempts)
    count(connection, backend, judged.sums, server.now)
    return judged.stale, judged.already


def _size(outcome: Outcome) -> int:
    failure = outcome.failure
    return size(outcome.result, outcome.reason, *((failure.exception, failure.traceback) if failure else ()))


def _finish(connection: BaseDatabaseWrapper, ended: Sequence[Settled]) -> None:
    for part in packed(ended, lambda done: _size(done.outcome)):
        update(connection, "dlq_job", JOB, [_ended(connection, done) for done in part])
    for chunk in chunks([done.live.pk for done in ended]):
        remove(connection, chunk)


def _ended(connection: BaseDatabaseWrapper, done: Settled) -> tuple[Any, ...]:
    live = done.live
    return (
        *(
            key(connection, live.pk),
            int(live.state),
            done.outcome.result,
            done.reason,
            live.worker,
            live.token,
        ),
        *(done.settled_by, live.attempts, live.interruptions),
        *(utc(done.started_at), utc(done.now), utc(done.keep_until)),
    )


def _return(connection: BaseDatabaseWrapper, returned: Sequence[Settled]) -> None:
    for done in returned:
        done.live.due_at = done.due_at
    put_behind(connection, [done.live for done in returned if done.goes_behind])
    for part in chunks([done for done in returned if not done.goes_behind]):
        update(connection, "dlq_live", LIVE, [_returned(connection, done) for done in part])


def _returned(connection: BaseDatabaseWrapper, done: Settled) -> tuple[Any, ...]:
    live = done.live
    return (
        *(key(connection, live.pk), int(live.state), live.waits, live.settled, live.settled_by),
        *(live.attempts, live.interruptions, utc(live.due_at), done.outcome.version),
    )
