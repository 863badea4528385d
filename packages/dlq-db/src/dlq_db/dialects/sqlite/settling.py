"""The first half of ``Store.exchange`` on SQLite: outcomes are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from dlq.job import Counted, Outcome
from dlq.states import FINISHED, State, Waits
from dlq.store.tallies import figures_of
from dlq_db.dialects.sqlite.writing import key, reserve, write_many
from dlq_db.lines import first_state
from dlq_db.models import Attempt, Job, Live
from dlq_db.tallying import Sums, add, count

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


@dataclass(frozen=True, slots=True)
class _Settled:
    """An outcome that held its token, and the live row that it has changed."""

    live: Live
    outcome: Outcome
    now: datetime

    @property
    def started_at(self) -> datetime:
        if self.outcome.counted is Counted.INTERRUPTION and self.live.claimed_at is not None:
            return self.live.claimed_at
        return self.now - timedelta(seconds=self.outcome.seconds)

    @property
    def reason(self) -> str | None:
        if self.live.state != State.CANCELLED:
            return None
        return self.outcome.reason if self.live.cancel is None else self.live.cancel

    @property
    def keep_until(self) -> datetime | None:
        seconds = self.outcome.keep_for
        return None if seconds is None else self.now + timedelta(seconds=seconds)

    @property
    def due_at(self) -> datetime | None:
        waits = self.live.state == State.SCHEDULED
        return self.now + timedelta(seconds=self.outcome.delay) if waits else None


def settle(
    connection: BaseDatabaseWrapper, backend: str, by: str, outcomes: Sequence[Outcome], now: datetime
) -> tuple[list[UUID], list[UUID]]:
    """Write the outcomes that hold their token; returns the ids of the others: stale, and settled already."""
    using = connection.alias
    rows = Live.objects.using(using).filter(pk__in=[o.id for o in outcomes], backend=backend)
    rows = rows.annotate(task=F("job__task"))
    lives = {live.pk: live for live in rows} if outcomes else {}
    sums: Sums[tuple[str, str]] = {}
    settled: list[_Settled] = []
    stale: list[UUID] = []
    already: list[UUID] = []
    for outcome in outcomes:
        live = lives.get(outcome.id)
        if live is not None and live.state == State.RUNNING and live.token == outcome.token:
            _change(live, by, outcome)
            settled.append(_Settled(live, outcome, now))
            add(sums, (live.queue, live.task), figures_of(outcome, State(live.state)))
        else:
            seen = _was_settled(live, by, outcome) if live else _has_ended(using, backend, by, outcome)
            (already if seen else stale).append(outcome.id)
    _finish(connection, [done for done in settled if done.live.state in FINISHED])
    _return(connection, [done for done in settled if done.live.state not in FINISHED])
    Attempt.objects.using(using).bulk_create(
        _attempt(done) for done in settled if done.outcome.failure is not None
    )
    count(connection, backend, sums, now)
    return stale, already


def _change(live: Live, by: str, outcome: Outcome) -> None:
    # Whoever asked to cancel it does not want it to wait for another attempt.
    asked = live.cancel is not None and outcome.state not in FINISHED
    live.state = State.CANCELLED if asked else outcome.state
    live.settled, live.settled_by = outcome.token, by
    live.attempts += outcome.counted is Counted.ATTEMPT
    live.interruptions += outcome.counted is Counted.INTERRUPTION


def _was_settled(live: Live, by: str, outcome: Outcome) -> bool:
    return (live.settled, live.settled_by) == (outcome.token, by)


def _has_ended(using: str, backend: str, by: str, outcome: Outcome) -> bool:
    """Whether this very worker was the last to settle the job, which has ended, with this very token."""
    ended = Job.objects.using(using).filter(pk=outcome.id, backend=backend)
    ended = ended.annotate(last=Coalesce("settled", "token")).filter(last=outcome.token)
    return ended.filter(Q(settled_by=by) | Q(settled_by=None, worker=by)).exists()


def _attempt(done: _Settled) -> Attempt:
    assert done.outcome.failure is not None
    return Attempt(
        job_id=done.live.pk,
        worker=done.live.worker or "",
        started_at=done.started_at,
        finished_at=done.now,
        counted=done.outcome.counted,
        exception=done.outcome.failure.exception,
        traceback=done.outcome.failure.traceback,
    )


def _finish(connection: BaseDatabaseWrapper, ended: Sequence[_Settled]) -> None:
    at = connection.ops.adapt_datetimefield_value
    rows = [
        (
            *(int(done.live.state), done.outcome.result, done.reason, done.live.worker, done.live.token),
            done.live.settled_by if done.live.settled_by != done.live.worker else None,
            *(done.live.attempts, done.live.interruptions),
            *(at(done.started_at), at(done.now), at(done.keep_until)),
            key(connection, done.live.pk),
        )
        for done in ended
    ]
    write_many(connection, JOB, rows)
    write_many(connection, "DELETE FROM dlq_live WHERE id = %s", [row[-1:] for row in rows])


def _return(connection: BaseDatabaseWrapper, returned: Sequence[_Settled]) -> None:
    at = connection.ops.adapt_datetimefield_value
    for done in returned:
        if done.live.state == State.READY and done.outcome.counted is Counted.ATTEMPT:
            # A retry goes behind, and needs a slot anew; all others keep their place, and the slot.
            (done.live.seq,) = reserve(connection, 1)
            done.live.state, done.live.waits = first_state(done.live.line)
        elif done.live.state == State.BLOCKED:
            done.live.waits = Waits.TASK
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
