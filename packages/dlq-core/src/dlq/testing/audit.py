"""``Auditor``: looks at any store through its public interfaces, and says which of the laws it finds broken."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from uuid import UUID

from dlq.job import Counted, JobRecord
from dlq.overrides import read_origin
from dlq.states import FINISHED, State
from dlq.store.base import Store
from dlq.store.inspector import Inspector, JobFilter, QueueCounts
from dlq.store.schedules import Fired, ScheduleRecord, Schedules
from dlq.workers import RunnerInfo

__all__ = ["Auditor"]

PAGE = 500
EVERY = 1 << 20
"""More than one worker holds, or one schedule remembers."""
LOOK_EVERY = 0.2
"""Seconds between two looks at a store that is at work."""


class Auditor:
    """Reads everything that a store holds; it changes nothing.

    While a store is at work its answers belong to different moments, and a job may be seen in two places, as it
    may move between two of them. So ask ``findings`` of a store at rest, and ``lasting`` of one that works.
    """

    def __init__(self, store: Store, inspector: Inspector, schedules: Schedules | None = None) -> None:
        """``schedules`` is for stores that keep some."""
        self._store = store
        self._inspector = inspector
        self._schedules = schedules

    def findings(self) -> list[str]:
        """What is wrong, a sentence for each; empty when all is well."""
        runners = self._inspector.runners()
        counts = self._inspector.counts()
        listed = {state: list(self._listed(state)) for state in State}
        return sorted(
            chain(
                _states(listed),
                self._answers(listed),
                _counts(counts, listed),
                self._queues(counts, listed[State.READY]),
                _owners(runners, listed[State.RUNNING]),
                self._holders(runners, listed[State.RUNNING]),
                *map(_record, chain.from_iterable(listed.values())),
                _due_times(chain.from_iterable(listed.values())),
                self._fires(),
            )
        )

    def lasting(self, within: float) -> list[str]:
        """What is wrong at every look for so many seconds; it returns early when nothing is left of that."""
        ends_at = time.monotonic() + within
        found = self.findings()
        while found and time.monotonic() < ends_at:
            time.sleep(LOOK_EVERY)
            now = self.findings()
            found = [finding for finding in found if finding in now]
        return found

    # --- Reading ---

    def _listed(self, state: State) -> Iterator[JobRecord]:
        chosen, before = JobFilter(states={state}), None
        while page := self._inspector.jobs(chosen, limit=PAGE, before=before):
            yield from page
            before = page[-1].id

    def _whole(self, ids: Collection[UUID]) -> Iterator[JobRecord]:
        known = list(ids)
        for at in range(0, len(known), PAGE):
            yield from self._store.get(known[at : at + PAGE])

    # --- The laws ---

    def _answers(self, listed: dict[State, list[JobRecord]]) -> Iterator[str]:
        """A job that is looked up is the one that is listed, and says why it has ended."""
        states = {record.id: state for state, records in listed.items() for record in records}
        seen = {record.id: record for record in self._whole(states)}
        for id, state in states.items():
            if id not in seen:
                yield f"Job {id} is listed as {state.label}, and cannot be looked up."
            elif seen[id].state is not state:
                yield f"Job {id} is listed as {state.label}, and is {seen[id].state.label} when looked up."
            else:
                yield from _reasons(seen[id])

    def _queues(self, counts: Iterable[QueueCounts], ready: Iterable[JobRecord]) -> Iterator[str]:
        """Workers are led to the queues that have something for them, and to no other."""
        paused = {row.queue for row in counts if row.paused}
        expected = sorted({record.queue for record in ready} - paused)
        if (waiting := self._store.waiting()) != expected:
            yield f"The queues {expected} have ready jobs and are not paused, but {waiting} are said to wait."

    def _holders(self, runners: Iterable[RunnerInfo], running: Iterable[JobRecord]) -> Iterator[str]:
        """Each claim is found under the worker that has it."""
        workers = [worker.id for runner in runners for worker in runner.workers]
        held = Counter[tuple[UUID, str | None]]()
        for worker in workers:
            held.update((claim.id, worker) for claim in self._store.held(worker, EVERY))
        held.update((claim.id, claim.worker) for claim in self._store.orphans(EVERY))
        expected = Counter((record.id, record.worker) for record in running)
        for id, holder in (held - expected) + (expected - held):
            yield (
                f"Job {id} is listed as running with {holder} {expected[id, holder]} times, "
                f"and held there {held[id, holder]} times."
            )

    def _fires(self) -> Iterator[str]:
        """A due time is decided once."""
        if self._schedules is None:
            return
        keys = [record.key for record in _paged(self._schedules)]
        for key in keys:
            history = self._schedules.history(EVERY, key=key)
            decided = Counter(fire.due_at for fire in history if fire.outcome is not Fired.BY_HAND)
            for due_at in (due_at for due_at, times in decided.items() if times > 1):
                yield f"The schedule {key} has decided {decided[due_at]} times what becomes of {due_at}."


def _paged(schedules: Schedules) -> Iterator[ScheduleRecord]:
    after = ""
    while page := schedules.listed(PAGE, after=after):
        yield from page
        after = page[-1].key


def _states(listed: dict[State, list[JobRecord]]) -> Iterator[str]:
    """A job is in exactly one state."""
    found: dict[UUID, list[State]] = {}
    for state, records in listed.items():
        for record in records:
            found.setdefault(record.id, []).append(state)
            if record.state is not state:
                yield f"Job {record.id} is listed as {state.label}, and says that it is {record.state.label}."
    for id, states in found.items():
        if len(states) > 1:
            yield f"Job {id} is in {len(states)} states: {', '.join(state.label for state in states)}."


def _counts(counts: Iterable[QueueCounts], listed: dict[State, list[JobRecord]]) -> Iterator[str]:
    """What is counted is what is there."""
    said = Counter({(row.queue, state): number for row in counts for state, number in row.states.items()})
    there = Counter((record.queue, state) for state, records in listed.items() for record in records)
    for queue, state in sorted(said.keys() | there.keys()):
        if said[queue, state] != there[queue, state]:
            yield (
                f"The queue {queue} counts {said[queue, state]} {state.label} jobs, "
                f"and has {there[queue, state]}."
            )


def _owners(runners: Iterable[RunnerInfo], running: Iterable[JobRecord]) -> Iterator[str]:
    """What runs has a worker that somebody watches over."""
    workers = {worker.id for runner in runners for worker in runner.workers}
    for record in running:
        if record.worker not in workers:
            yield f"Job {record.id} runs with {record.worker}, which is no registered worker."


def _record(record: JobRecord) -> Iterator[str]:
    """A job has the times that belong to its state, and has been tried no more often than it may."""
    wanted: list[tuple[bool, Callable[[JobRecord], object], str]] = [
        (record.state is State.SCHEDULED, lambda job: job.due_at, "a due time"),
        (record.state is State.RUNNING, lambda job: job.started_at and job.token, "a start and a token"),
        (record.state in FINISHED, lambda job: job.finished_at, "an end"),
    ]
    for needed, value, what in wanted:
        if needed and not value(record):
            yield f"Job {record.id} is {record.state.label}, and has not {what}."
    if record.state not in FINISHED and record.finished_at:
        yield f"Job {record.id} is {record.state.label}, and has ended at {record.finished_at}."
    if record.attempts > record.max_attempts:
        yield f"Job {record.id} was tried {record.attempts} times of {record.max_attempts}."


def _reasons(record: JobRecord) -> Iterator[str]:
    """What has failed or was cancelled says why."""
    if record.state is State.FAILED and not any(attempt.failure.exception for attempt in record.history):
        yield f"Job {record.id} has failed, and nothing says why."
    if record.state is State.CANCELLED and not record.reason:
        yield f"Job {record.id} was cancelled, and nothing says why."
    raised = sum(attempt.counted is Counted.ATTEMPT for attempt in record.history)
    # A retry by hand counts attempts anew, and leaves the history.
    if raised < record.attempts - (record.state is State.SUCCEEDED):
        yield f"Job {record.id} has tried {record.attempts} times, and its history knows of {raised} failures."


def _due_times(records: Iterable[JobRecord]) -> Iterator[str]:
    """No due time of a schedule has two jobs."""
    origins = (read_origin(record.overrides) for record in records)
    jobs = Counter((origin["schedule"], origin["due_at"]) for origin in origins if "due_at" in origin)
    for (schedule, due_at), number in jobs.items():
        if number > 1:
            yield f"The schedule {schedule} has {number} jobs for {due_at}."
