"""SQLite: short immediate transactions, since there is one writer at a time anyway."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Q
from django.utils import timezone

from dlq.job import Claim, Counted, Exchanged, NewJob, Outcome, WorkerRef
from dlq.states import FINISHED, State
from dlq_db.models import Attempt, Job, Live, Runner, Worker
from dlq_db.rows import claim_of

__all__ = ["SQLite"]


class SQLite:
    """See ``Dialect``. Its clock is that of the machine, which is also SQLite's own."""

    def enqueue(
        self, connection: BaseDatabaseWrapper, backend: str, jobs: Sequence[NewJob], now: datetime | None
    ) -> datetime:
        """Two statements for a batch, inside the caller's transaction when there is one."""
        now = now or timezone.now()
        using = connection.alias
        with _immediate(connection):
            # The write comes first: SQLite lets nobody wait who has read, in a caller's transaction too.
            first = _reserve(connection, len(jobs))
            ids = [job.id for job in jobs]
            known = set(Job.objects.using(using).filter(pk__in=ids).values_list("pk", flat=True))
            fresh = {job.id: job for job in reversed(jobs) if job.id not in known}
            new = [fresh[id] for id in dict.fromkeys(ids) if id in fresh]
            Job.objects.using(using).bulk_create([_job_row(backend, job, now) for job in new])
            Live.objects.using(using).bulk_create(
                [_live_row(backend, job, seq, now) for seq, job in enumerate(new, first)]
            )
        return now

    def exchange(
        self,
        connection: BaseDatabaseWrapper,
        backend: str,
        worker: WorkerRef,
        outcomes: Sequence[Outcome],
        queues: Sequence[str],
        limit: int,
        now: datetime | None,
    ) -> Exchanged:
        """One transaction; rows are found by index and written by primary key."""
        now = now or timezone.now()
        using = connection.alias
        with _immediate(connection):
            stale, already = _settle(connection, backend, worker.id, outcomes, now)
            registered = (
                Worker.objects.using(using)
                .filter(backend=backend, name=worker.id, incarnation=worker.incarnation)
                .exists()
            )
            claims = _claim(connection, backend, worker.id, queues, limit, now) if registered else []
        return Exchanged(claims=claims, stale=stale, already=already, registered=registered)

    def promote(self, connection: BaseDatabaseWrapper, backend: str, limit: int, now: datetime | None) -> int:
        """Look first: there is mostly nothing to do, and only writing needs the lock."""
        now = now or timezone.now()
        due = Live.objects.using(connection.alias).filter(
            backend=backend, state=State.SCHEDULED, due_at__lte=now
        )
        if not due.exists():
            return 0
        with _immediate(connection):
            ids = list(due.order_by("due_at", "seq").values_list("pk", flat=True)[:limit])
            first = _reserve(connection, len(ids))
            _write_many(
                connection,
                "UPDATE dlq_live SET state = %s, due_at = NULL, seq = %s WHERE id = %s",
                [(int(State.READY), seq, _key(connection, id)) for seq, id in enumerate(ids, first)],
            )
        return len(ids)

    def beat(
        self, connection: BaseDatabaseWrapper, backend: str, runner: str, now: datetime | None
    ) -> dict[str, int]:
        """Write first: reading alone says nothing about whether the others could have beaten."""
        with _immediate(connection):
            runners = Runner.objects.using(connection.alias).filter(backend=backend)
            if not runners.filter(name=runner).update(beat=F("beat") + 1, beat_at=now or timezone.now()):
                return {}
            return dict(runners.values_list("name", "beat"))

    def retire(self, connection: BaseDatabaseWrapper, backend: str, runner: str, beat: int | None) -> bool:
        """Its workers go with it."""
        with _immediate(connection):
            doomed = Runner.objects.using(connection.alias).filter(backend=backend, name=runner)
            deleted, _ = (doomed.filter(beat=beat) if beat is not None else doomed).delete()
            return deleted > 0

    def dedicate(self, connection: BaseDatabaseWrapper) -> None:
        """Wait longer for the writer's turn than Django does, and let readers go on beside it."""
        options = connection.settings_dict["OPTIONS"]
        options.setdefault("timeout", 20)
        options.setdefault("transaction_mode", "IMMEDIATE")
        # The mode stays with the file, and the switch does not wait for its turn: if it fails, another is at it.
        with contextlib.suppress(OperationalError), connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode=WAL")


@contextmanager
def _immediate(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """A transaction that takes the write lock at its start, or the caller's, if there is one.

    A deferred one that reads before it writes fails at once, without waiting, when another has written.
    """
    connection.ensure_connection()
    mode = connection.transaction_mode  # type: ignore[attr-defined]
    connection.transaction_mode = "IMMEDIATE"  # type: ignore[attr-defined]
    try:
        with transaction.atomic(using=connection.alias, savepoint=False):
            yield
    finally:
        connection.transaction_mode = mode  # type: ignore[attr-defined]


def _reserve(connection: BaseDatabaseWrapper, count: int) -> int:
    """The first of ``count`` numbers that follow each other and that nobody else gets."""
    if not count:
        return 0
    with connection.cursor() as cursor:
        cursor.execute("UPDATE dlq_seq SET value = value + %s RETURNING value", [count])
        last: int = cursor.fetchone()[0]
    return last - count + 1


def _job_row(backend: str, job: NewJob, now: datetime) -> Job:
    return Job(
        id=job.id,
        backend=backend,
        queue=job.queue,
        task=job.task,
        priority=job.priority,
        payload=job.payload,
        overrides=job.overrides,
        run_after=job.run_after,
        max_attempts=job.max_attempts,
        max_interruptions=job.max_interruptions,
        enqueued_at=now,
    )


def _live_row(backend: str, job: NewJob, seq: int, now: datetime) -> Live:
    waits = job.run_after is not None and job.run_after > now
    return Live(
        job_id=job.id,
        backend=backend,
        queue=job.queue,
        priority=job.priority,
        state=State.SCHEDULED if waits else State.READY,
        seq=seq,
        due_at=job.run_after if waits else None,
    )


def _settle(
    connection: BaseDatabaseWrapper, backend: str, by: str, outcomes: Sequence[Outcome], now: datetime
) -> tuple[list[UUID], list[UUID]]:
    """Write the outcomes that hold their token; returns the ids of the others: stale, and settled already."""
    using = connection.alias
    rows = Live.objects.using(using).filter(pk__in=[o.id for o in outcomes], backend=backend)
    lives = {live.pk: live for live in rows} if outcomes else {}
    finished: list[tuple[Live, Outcome]] = []
    returned: list[tuple[Live, Outcome]] = []
    history: list[Attempt] = []
    stale: list[UUID] = []
    already: list[UUID] = []
    for outcome in outcomes:
        live = lives.get(outcome.id)
        if live is None or live.state != State.RUNNING or live.token != outcome.token:
            seen = (
                (live.settled, live.settled_by) == (outcome.token, by)
                if live
                else _has_ended(using, by, outcome)
            )
            (already if seen else stale).append(outcome.id)
            continue
        live.state, live.settled, live.settled_by = outcome.state, outcome.token, by
        live.attempts += outcome.counted is Counted.ATTEMPT
        live.interruptions += outcome.counted is Counted.INTERRUPTION
        (finished if outcome.state in FINISHED else returned).append((live, outcome))
        if outcome.failure is not None:
            history.append(_attempt(live, outcome, now))
    _finish(connection, finished, now)
    _return(connection, returned, now)
    Attempt.objects.using(using).bulk_create(history)
    return stale, already


def _has_ended(using: str, by: str, outcome: Outcome) -> bool:
    """Whether this very worker settled the job, for good, with this very token."""
    ended = Job.objects.using(using).filter(pk=outcome.id, token=outcome.token)
    return ended.filter(Q(settled_by=by) | Q(settled_by=None, worker=by)).exists()


def _attempt(live: Live, outcome: Outcome, now: datetime) -> Attempt:
    assert outcome.failure is not None
    return Attempt(
        job_id=live.pk,
        worker=live.worker or "",
        started_at=_started_at(live, outcome, now),
        finished_at=now,
        counted=outcome.counted,
        exception=outcome.failure.exception,
        traceback=outcome.failure.traceback,
    )


def _started_at(live: Live, outcome: Outcome, now: datetime) -> datetime:
    if outcome.counted is Counted.INTERRUPTION and live.claimed_at is not None:
        return live.claimed_at
    return now - timedelta(seconds=outcome.seconds)


def _finish(connection: BaseDatabaseWrapper, ended: Sequence[tuple[Live, Outcome]], now: datetime) -> None:
    at = connection.ops.adapt_datetimefield_value
    _write_many(
        connection,
        "UPDATE dlq_job SET state = %s, result = %s, worker = %s, token = %s, settled_by = %s, attempts = %s, "
        "interruptions = %s, started_at = %s, finished_at = %s WHERE id = %s",
        [
            (
                int(outcome.state),
                outcome.result,
                live.worker,
                live.token,
                live.settled_by if live.settled_by != live.worker else None,
                live.attempts,
                live.interruptions,
                at(_started_at(live, outcome, now)),
                at(now),
                _key(connection, live.pk),
            )
            for live, outcome in ended
        ],
    )
    _write_many(
        connection, "DELETE FROM dlq_live WHERE id = %s", [(_key(connection, live.pk),) for live, _ in ended]
    )


def _return(connection: BaseDatabaseWrapper, given: Sequence[tuple[Live, Outcome]], now: datetime) -> None:
    at = connection.ops.adapt_datetimefield_value
    for live, outcome in given:
        if outcome.state is State.READY and outcome.counted is Counted.ATTEMPT:
            live.seq = _reserve(connection, 1)  # A retry goes behind; all others keep their place.
    _write_many(
        connection,
        "UPDATE dlq_live SET state = %s, settled = %s, settled_by = %s, attempts = %s, interruptions = %s, "
        "due_at = %s, seq = %s WHERE id = %s",
        [
            (
                int(live.state),
                live.settled,
                live.settled_by,
                live.attempts,
                live.interruptions,
                at(now + timedelta(seconds=outcome.delay)) if outcome.state is State.SCHEDULED else None,
                live.seq,
                _key(connection, live.pk),
            )
            for live, outcome in given
        ],
    )


def _claim(
    connection: BaseDatabaseWrapper,
    backend: str,
    worker: str,
    queues: Sequence[str],
    limit: int,
    now: datetime,
) -> list[Claim]:
    lives: list[Live] = []
    for queue in dict.fromkeys(queues):
        if len(lives) >= limit:
            break
        ready = Live.objects.using(connection.alias).filter(backend=backend, queue=queue, state=State.READY)
        lives += ready.select_related("job").order_by("-priority", "seq")[: limit - len(lives)]
    for live in lives:
        live.token, live.worker, live.claimed_at = live.token + 1, worker, now
    _write_many(
        connection,
        "UPDATE dlq_live SET state = %s, token = %s, worker = %s, claimed_at = %s WHERE id = %s",
        [
            (
                int(State.RUNNING),
                live.token,
                worker,
                connection.ops.adapt_datetimefield_value(now),
                _key(connection, live.pk),
            )
            for live in lives
        ],
    )
    return [claim_of(live) for live in lives]


def _write_many(connection: BaseDatabaseWrapper, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(sql, rows)


def _key(connection: BaseDatabaseWrapper, id: UUID) -> Any:
    return Job._meta.pk.get_db_prep_value(id, connection)
