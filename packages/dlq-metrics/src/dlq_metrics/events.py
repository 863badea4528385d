"""What a process of a runner sees of its stores, at the door of ``InstrumentedStore``, as counters and histograms."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from dlq.job import Claim, Counted, Exchanged, Outcome
from dlq.states import FINISHED
from dlq.store.tallies import ENDINGS
from dlq_metrics.figures import Figures

__all__ = ["Events", "word_of"]

MOST_HELD = 20_000
"""Claims that are remembered at most: those of workers that were lost are never heard of again."""


class _Held(NamedTuple):
    queue: str
    task: str
    trace: str | None


class Events:
    """A receiver of ``dlq.signals.store_called``."""

    def __init__(self, figures: Figures) -> None:
        """Count into ``figures``."""
        self._figures = figures
        self._held: dict[tuple[UUID, int], _Held] = {}
        self._lock = threading.Lock()

    def __call__(
        self,
        *,
        alias: str,
        verb: str,
        arguments: tuple[Any, ...],
        reply: Any,
        error: Exception | None,
        seconds: float,
        **_: object,
    ) -> None:
        """One call of a store."""
        if verb != "listen":
            self._figures.observe("dlq_runner_store_seconds", seconds, alias, verb)
        if error is not None:
            self._figures.count("dlq_runner_store_errors", alias, verb)
        elif verb == "exchange":
            self._exchanged(alias, arguments[1], reply)
        elif verb in ("held", "orphans"):
            for claim in reply:
                self._remember(claim)

    def _exchanged(self, alias: str, outcomes: Sequence[Outcome], reply: Exchanged) -> None:
        rejected = {*reply.stale, *reply.already}
        if reply.stale:
            self._figures.count("dlq_runner_stale_settles", alias, by=len(reply.stale))
        for outcome in outcomes:
            with self._lock:
                held = self._held.pop((outcome.id, outcome.token), None)
            if held is not None and outcome.id not in rejected:
                self._settled(alias, held, outcome)
        for claim in reply.claims:
            self._claimed(alias, claim)
        if reply.claims:
            self._figures.observe("dlq_runner_batch_jobs", len(reply.claims), alias)

    def _settled(self, alias: str, held: _Held, outcome: Outcome) -> None:
        if word := word_of(outcome):
            self._figures.count("dlq_runner_outcomes", alias, held.queue, held.task, word)
        if outcome.counted is Counted.INTERRUPTION and outcome.failure is not None:
            reason = outcome.failure.exception.rpartition(".")[2]
            self._figures.count("dlq_runner_rescues", alias, reason)
        if outcome.seconds > 0:
            self._figures.observe(
                "dlq_runner_run_seconds", outcome.seconds, alias, held.queue, held.task, trace=held.trace
            )

    def _claimed(self, alias: str, claim: Claim) -> None:
        self._remember(claim)
        self._figures.count("dlq_runner_claims", alias, claim.queue, claim.task)
        if not claim.attempts and not claim.interruptions:
            due = max(claim.enqueued_at, claim.run_after or claim.enqueued_at)
            waited = max(0.0, (claim.claimed_at - due).total_seconds())
            self._figures.observe("dlq_runner_wait_seconds", waited, alias, claim.queue, claim.task)

    def _remember(self, claim: Claim) -> None:
        with self._lock:
            if len(self._held) >= MOST_HELD:
                del self._held[next(iter(self._held))]
            self._held[claim.id, claim.token] = _Held(claim.queue, claim.task, _trace_of(claim))


def word_of(outcome: Outcome) -> str | None:
    """What became of an attempt, as a label says it; None when it counts as none."""
    if outcome.state in FINISHED:
        return ENDINGS[outcome.state]
    return {Counted.ATTEMPT: "retried", Counted.INTERRUPTION: "interrupted"}.get(outcome.counted)


def _trace_of(claim: Claim) -> str | None:
    """The trace in the job's metadata, if there is one: https://www.w3.org/TR/trace-context/."""
    if claim.metadata is None or "traceparent" not in claim.metadata:
        return None
    parts = str(json.loads(claim.metadata).get("traceparent", "")).split("-")
    return parts[1] if len(parts) == 4 and len(parts[1]) == 32 else None
