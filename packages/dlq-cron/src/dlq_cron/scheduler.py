"""``Scheduler``: fires what is due on one backend. As many may run as like, anywhere: the store lets one win."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from dlq.backend import QueueBackend, queue_backend
from dlq.errors import ConfigError, EnqueueError, StoreError, StoreRefused
from dlq.job import NewJob
from dlq.logs import get_logger
from dlq.runtime.options import RunnerOptions
from dlq.services import Service
from dlq.states import LIVE
from dlq.store.schedules import Advanced, Proposal, ScheduleRecord
from dlq_cron.definition import Definition, proposal_of
from dlq_cron.discovery import discover
from dlq_cron.plan import Plan, plan
from dlq_cron.rule import read_rule

__all__ = ["Scheduler", "schedulers_for"]

logger = get_logger("dlq.cron")

BATCH = 500
"""Schedules that are looked at, and advanced, in one call of the store."""
POLL = 1.0
"""Seconds between two looks at the most: somebody may have added a schedule."""
LOST = 0.05
"""Seconds until the next look when others were faster with all that was due."""
DECLARE_EVERY = 60.0
"""Seconds between two declarations of what stands in the code here."""
ORPHANED_AFTER = 300.0
"""Seconds for which a static schedule must have been seen with the same declaration until it is taken for orphaned."""
PRUNE_EVERY = 60.0
PRUNE_BATCH = 500


class Scheduler(Service):
    """Declares the static schedules of this code, and fires every schedule of the backend that is due.

    A static schedule that stands in the code of others is left to them, and stopped when nobody declares it any more.
    """

    def __init__(self, alias: str, definitions: Iterable[Definition] = ()) -> None:
        """``definitions`` are the static schedules of this backend."""
        self.name = f"cron-{alias}"
        self._alias = alias
        self._definitions = {definition.key: definition for definition in definitions}
        self._to_put = dict(self._definitions)
        """Those that are not in the store yet, as far as is known."""
        self._refused: set[str] = set()
        self._declare_at = 0.0
        self._prune_at = 0.0
        self._unclaimed: dict[str, tuple[datetime, float]] = {}
        """Static schedules of others: their last declaration, and when, by our clock, it was first seen."""
        self._broken: dict[str, int] = {}
        """Schedules that cannot be fired, with the revision that cannot."""

    # --- Service ---

    def step(self, now: datetime | None = None) -> float:
        """Do all that is due; returns the seconds until the next look. ``now`` is the store's, but in tests."""
        backend = queue_backend(self._alias)
        backend.store.dedicate()
        moment = time.monotonic()
        if moment >= self._declare_at:
            self._declare(backend, now)
            self._watch(backend, moment)
            self._declare_at = moment + DECLARE_EVERY
        pause = self._fire_due(backend, now)
        if moment >= self._prune_at and not self._prune(backend, now):
            self._prune_at = moment + PRUNE_EVERY
        return pause

    def close(self) -> None:
        """Give the connection back."""
        with suppress(StoreError):
            queue_backend(self._alias).store.close()

    # --- What stands in the code ---

    def _declare(self, backend: QueueBackend, now: datetime | None) -> None:
        put = self._definitions.keys() - self._to_put.keys() - self._refused
        if put:
            gone = put.difference(backend.schedules.declare(sorted(put), now=now))
            self._to_put |= {key: self._definitions[key] for key in gone}
        if self._to_put:
            self._put(backend, now)

    def _put(self, backend: QueueBackend, now: datetime | None) -> None:
        at = now or backend.schedules.clock()
        found = {record.key: record for record in backend.schedules.get(self._to_put)}
        proposals = []
        for key, definition in self._to_put.items():
            try:
                proposals.append(proposal_of(definition, backend, at, static=True, found=found.get(key)))
            except EnqueueError as error:
                self._refused.add(key)
                logger.error("The schedule %s cannot be used: %s", key, error)
        for key in self._taken(backend, proposals, now):
            self._refused.add(key)
            logger.error(
                "The schedule %s is dynamic already: this code cannot have a static one of that key.", key
            )
        self._to_put.clear()

    def _taken(self, backend: QueueBackend, proposals: Sequence[Proposal], now: datetime | None) -> list[str]:
        """Store schedules; those that the store cannot hold are left out. Returns the keys that others have."""
        try:
            return backend.schedules.put(proposals, now=now)
        except StoreRefused as error:
            if len(proposals) > 1:
                return [key for each in proposals for key in self._taken(backend, [each], now)]
            key = proposals[0].schedule.key
            self._refused.add(key)
            logger.error("The schedule %s cannot be stored: %s", key, error)
            return []

    def _watch(self, backend: QueueBackend, moment: float) -> None:
        """Stop static schedules that nobody has declared for long, seen with our own clock on a working store."""
        unclaimed: dict[str, tuple[datetime, float]] = {}
        page = backend.schedules.listed(BATCH, static=True)
        while page:
            for record in page:
                if record.key not in self._definitions and not record.orphaned:
                    seen = self._unclaimed.get(record.key)
                    same = seen is not None and seen[0] == record.declared_at
                    unclaimed[record.key] = seen if same and seen else (record.declared_at, moment)
            page = backend.schedules.listed(BATCH, after=page[-1].key, static=True)
        self._unclaimed = unclaimed
        old = [(key, at) for key, (at, since) in unclaimed.items() if moment - since >= ORPHANED_AFTER]
        for key in backend.schedules.orphan(old) if old else ():
            logger.warning("The schedule %s stands in nobody's code any more; it fires no more.", key)

    # --- What is due ---

    def _fire_due(self, backend: QueueBackend, now: datetime | None) -> float:
        place: tuple[datetime, str] | None = None
        while True:
            due = backend.schedules.due(BATCH, after=place, now=now)
            mine = [record for record in due.schedules if self._is_ours(record)]
            plans = self._plans(backend, mine, due.now)
            if plans:
                return 0.0 if self._fire(backend, plans, now) else LOST
            if len(due.schedules) < BATCH:
                return _pause(due.now, None if due.schedules else due.next_at)
            last = due.schedules[-1]
            assert last.look_at is not None
            place = (last.look_at, last.key)

    def _is_ours(self, record: ScheduleRecord) -> bool:
        if self._broken.get(record.key) == record.revision:
            return False
        return not record.schedule.static or record.key in self._definitions

    def _plans(self, backend: QueueBackend, records: Sequence[ScheduleRecord], now: datetime) -> list[Plan]:
        busy = _busy(backend, records)
        plans = []
        for record in records:
            try:
                rule = read_rule(record.schedule.rule)
                plans.append(plan(record, rule, now, is_busy=record.key in busy))
            except Exception as error:  # Perhaps a newer version has written it; the others must not suffer.
                self._give_up(record.key, record.revision, error)
        return plans

    def _fire(self, backend: QueueBackend, plans: list[Plan], now: datetime | None) -> bool:
        """Do what is planned; returns whether any of it has happened, and was not done by somebody else."""
        doomed = {each.cancel: each.advance.key for each in plans if each.cancel is not None}
        # Before: whoever comes after a crash between the two fires the due time.
        for job, key in doomed.items():
            backend.store.cancel([job], f"the schedule {key} is due again", states=LIVE)
        try:
            done = backend.schedules.advance([each.advance for each in plans], now=now)
        except StoreRefused as error:
            if len(plans) == 1:
                self._give_up(plans[0].advance.key, plans[0].advance.revision, error)
                return True
            moved = [self._fire(backend, [replace(each, cancel=None)], now) for each in plans]
            return any(moved)
        _announce(backend, plans, done)
        return bool(done.keys)

    def _give_up(self, key: str, revision: int, error: Exception) -> None:
        self._broken[key] = revision
        logger.error("The schedule %s cannot be fired, and waits for a change of it.", key, exc_info=error)

    def _prune(self, backend: QueueBackend, now: datetime | None) -> bool:
        """Delete some of the old records; returns whether there may be more."""
        keep = backend.config.retention.fires
        return keep is not None and backend.schedules.prune(keep, PRUNE_BATCH, now=now) == PRUNE_BATCH


def _pause(now: datetime, next_at: datetime | None) -> float:
    return POLL if next_at is None else min(POLL, max(0.0, (next_at - now).total_seconds()))


def _busy(backend: QueueBackend, records: Sequence[ScheduleRecord]) -> set[str]:
    """Those whose last job has not ended, of those to which it matters."""
    jobs = {
        record.last_job: record.key
        for record in records
        # Equal rules have equal texts, and the default stands in none.
        if record.last_job is not None and '"overlap"' in record.schedule.rule
    }
    return {jobs[found.id] for found in backend.store.get(jobs) if found.state in LIVE} if jobs else set()


def _announce(backend: QueueBackend, plans: Sequence[Plan], done: Advanced) -> None:
    enqueued = set(done.jobs)
    jobs: list[NewJob] = []
    for each in plans:
        for fire in each.advance.fires:
            if fire.job_id in enqueued and fire.job is not None:
                jobs.append(fire.job)
                logger.info(
                    "The schedule %s, due at %s, enqueued %s.", each.advance.key, fire.due_at, fire.job_id
                )
    backend.announce(jobs, done.at)


def schedulers_for(options: RunnerOptions) -> list[Scheduler]:
    """One scheduler for each backend of a runner, if schedules fire there."""
    if not options.cron:
        return []
    found = discover()
    for problem in found.problems:
        logger.error("A schedule is left out: %s: %s", problem.where, problem.what)
    return [
        Scheduler(alias, [each for each in found.definitions if each.backend == alias])
        for alias in options.aliases
        if _keeps_schedules(alias)
    ]


def _keeps_schedules(alias: str) -> bool:
    try:
        _ = queue_backend(alias).schedules
    except ConfigError as error:
        logger.warning("No schedule fires on this backend: %s", error)
        return False
    return True
