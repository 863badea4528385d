"""What an outcome makes of a live row, for those databases on which that is decided here and not in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models.functions import Coalesce

from dlq.job import Counted, Outcome
from dlq.states import FINISHED, State, Waits
from dlq.store.tallies import figures_of
from dlq_db.lines import first_state
from dlq_db.models import Attempt, Job, Live
from dlq_db.tallying import Sums, add

__all__ = ["Judged", "Settled", "judge"]


@dataclass(frozen=True, slots=True)
class Settled:
    """An outcome that held its token, and the live row that it has changed."""

    live: Live
    task: str
    outcome: Outcome
    now: datetime

    @property
    def goes_behind(self) -> bool:
        """Whether its time comes anew: a retry goes behind those that wait, all others keep their place."""
        return self.live.state not in FINISHED and _is_retry_now(self.outcome)

    @property
    def settled_by(self) -> str | None:
        """Who settled it, if not the worker that held it."""
        return self.live.settled_by if self.live.settled_by != self.live.worker else None

    @property
    def started_at(self) -> datetime:
        """When the attempt began."""
        if self.outcome.counted is Counted.INTERRUPTION and self.live.claimed_at is not None:
            return self.live.claimed_at
        return self.now - timedelta(seconds=self.outcome.seconds)

    @property
    def reason(self) -> str | None:
        """Why it was cancelled, if it was."""
        if self.live.state != State.CANCELLED:
            return None
        return self.outcome.reason if self.live.cancel is None else self.live.cancel

    @property
    def keep_until(self) -> datetime | None:
        """When it may be pruned, if not when its backend's retention says."""
        seconds = self.outcome.keep_for
        return None if seconds is None else self.now + timedelta(seconds=seconds)

    @property
    def due_at(self) -> datetime | None:
        """When it becomes ready again, if it waits for a time."""
        waits = self.live.state == State.SCHEDULED
        return self.now + timedelta(seconds=self.outcome.delay) if waits else None

    @property
    def attempt(self) -> Attempt | None:
        """What its history gets."""
        if self.outcome.failure is None:
            return None
        return Attempt(
            job_id=self.live.pk,
            worker=self.live.worker or "",
            started_at=self.started_at,
            finished_at=self.now,
            counted=self.outcome.counted,
            exception=self.outcome.failure.exception,
            traceback=self.outcome.failure.traceback,
        )


@dataclass(slots=True)
class Judged:
    """What becomes of the outcomes of an exchange."""

    settled: list[Settled] = field(default_factory=list)
    stale: list[UUID] = field(default_factory=list)
    already: list[UUID] = field(default_factory=list)

    @property
    def ended(self) -> list[Settled]:
        """Jobs that have finished."""
        return [done for done in self.settled if done.live.state in FINISHED]

    @property
    def returned(self) -> list[Settled]:
        """Jobs that wait again."""
        return [done for done in self.settled if done.live.state not in FINISHED]

    @property
    def sums(self) -> Sums[tuple[str, str]]:
        """What is to be counted, by queue and task."""
        sums: Sums[tuple[str, str]] = {}
        for done in self.settled:
            figures = figures_of(done.outcome, State(done.live.state))
            add(sums, (done.live.queue, done.task), figures)
        return sums

    @property
    def attempts(self) -> list[Attempt]:
        """What the histories get."""
        return [attempt for done in self.settled if (attempt := done.attempt) is not None]


def judge(
    using: str,
    backend: str,
    by: str,
    outcomes: Sequence[Outcome],
    lives: Mapping[UUID, Live],
    now: datetime,
) -> Judged:
    """Change those of the live rows, which are locked, whose token an outcome holds; nothing is written yet.

    The rows come with the ``task`` of their jobs.
    """
    judged, others = Judged(), []
    for outcome in outcomes:
        live = lives.get(outcome.id)
        if live is not None and live.state == State.RUNNING and live.token == outcome.token:
            _change(live, by, outcome)
            judged.settled.append(Settled(live, live.task, outcome, now))  # type: ignore[attr-defined]
        else:
            others.append(outcome)
    last = {live.pk: (live.settled, live.settled_by) for live in lives.values()}
    last |= _ended(using, backend, [outcome.id for outcome in others if outcome.id not in lives])
    for outcome in others:
        seen = last.get(outcome.id) == (outcome.token, by)
        (judged.already if seen else judged.stale).append(outcome.id)
    return judged


def _change(live: Live, by: str, outcome: Outcome) -> None:
    # Whoever asked to cancel it does not want it to wait for another attempt.
    asked = live.cancel is not None and outcome.state not in FINISHED
    live.state = State.CANCELLED if asked else outcome.state
    live.waits = Waits.TASK if live.state == State.BLOCKED else None
    if not asked and _is_retry_now(outcome):
        # It needs a slot anew; whoever keeps the place keeps the slot too.
        live.state, live.waits = first_state(live.line)
    live.settled, live.settled_by = outcome.token, by
    live.attempts += outcome.counted is Counted.ATTEMPT
    live.interruptions += outcome.counted is Counted.INTERRUPTION


def _is_retry_now(outcome: Outcome) -> bool:
    return outcome.state is State.READY and outcome.counted is Counted.ATTEMPT


def _ended(using: str, backend: str, ids: Sequence[UUID]) -> dict[UUID, tuple[int, str | None]]:
    """The last token that settled each of the jobs that have ended, and who settled with it."""
    if not ids:
        return {}
    ended = Job.objects.using(using).filter(pk__in=ids, backend=backend, state__isnull=False)
    rows = ended.values_list("pk", Coalesce("settled", "token"), Coalesce("settled_by", "worker"))
    return {id: (token, by) for id, token, by in rows}
