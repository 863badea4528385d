"""The upkeep of one store: beats, rescue, a look at what is due, unparking, pruning."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from dlq.backend import QueueBackend
from dlq.errors import StoreError, StoreUnavailable, UnknownTask
from dlq.logs import get_logger
from dlq.result import imported_task
from dlq.runtime.heartbeat import PeerWatch
from dlq.runtime.outage import Outage
from dlq.runtime.rescue import DeadWorker, rescue_orphans, rescue_worker
from dlq.states import State
from dlq.versions import refuse_newer
from dlq.workers import RunnerInfo, Sight

__all__ = ["Maintenance"]

logger = get_logger("dlq.maintenance")

LOOK_BATCH = 1000
PRUNE_BATCH = 500
PRUNE_EVERY = 60.0
RESCUE_EVERY = 60.0
"""Seconds between searches for orphans when no peer is seen to leave: one of them may have died half-way."""
UNPARK_EVERY = 60.0
STRETCH = 5.0
"""Seconds that one round of looking or pruning may take: beats must not wait for it."""


@dataclass(slots=True)
class _Chore:
    every: float
    do: Callable[[], bool | None]
    """True when it stopped before its end, so as not to keep the others waiting."""
    due: float = 0.0


class Maintenance:
    """Keeps one backend's store in order, for one runner. ``step`` does what is due."""

    def __init__(
        self,
        runner: RunnerInfo,
        backend: QueueBackend,
        may_beat: Callable[[], bool] = lambda: True,
        saw: Callable[[Sight], object] = lambda sight: None,
        *,
        upkeep: bool = True,
    ) -> None:
        """``may_beat`` says whether the runner that this beats for is known to be alive.

        ``saw`` is told what each look at the store shows. Without ``upkeep``, only what this runner owes to the
        others is done: it beats, looks, and takes back what its own dead workers held.
        """
        self._runner = runner
        self._backend = backend
        self._store = backend.store
        self._options = backend.config
        self._may_beat = may_beat
        self._saw = saw
        self._look_limit = LOOK_BATCH if upkeep else 0
        self._watch = PeerWatch(runner.id, self._options.alive_threshold)
        self._known: frozenset[str] = frozenset()
        """The runners at the last beat."""
        self._outage = Outage(
            f"Upkeep of {backend.alias!r}", longest=min(1.0, self._options.heartbeat_interval)
        )
        self._rescue = _Chore(RESCUE_EVERY, self.rescue)
        self._look = _Chore(self._options.poll_interval, self.look)
        self._chores = [_Chore(self._options.heartbeat_interval, self.beat), self._look]
        if upkeep:
            self._chores[1:1] = [self._rescue]
            self._chores += [_Chore(UNPARK_EVERY, self.unpark), _Chore(PRUNE_EVERY, self.prune)]

    # --- The loop ---

    def step(self) -> float:
        """Do what is due; returns the seconds until something is due again."""
        failure: StoreError | None = None
        for chore in self._chores:
            if chore.due > time.monotonic():
                continue
            try:
                has_more = chore.do()
            except StoreError as error:
                failure = error
                if isinstance(error, StoreUnavailable):
                    break  # Each of the others would wait for an answer too, and the next beat for them.
            else:
                chore.due = time.monotonic() + (0.0 if has_more else chore.every)
        if failure is not None:
            return self._outage.failed(failure)
        self._outage.over()
        return max(0.0, min(chore.due for chore in self._chores) - time.monotonic())

    def bury(self, dead: DeadWorker) -> bool:
        """Take back what a dead child of this runner held; False when the store did not answer."""
        try:
            rescue_worker(self._store, self._backend, self._runner.id, dead)
        except StoreError as error:
            logger.warning("The jobs of worker %s cannot be taken back yet: %s", dead.id, error)
            return False
        # What it held is ready again, or orphaned when a peer was faster: nobody should wait for that.
        self._look.due = self._rescue.due = 0.0
        return True

    def leave(self) -> None:
        """Tell the peers that this runner has ended, so that they need not find out."""
        try:
            self._store.retire(self._runner.id)
            self._store.close()
        except StoreError as error:
            logger.info("%s left without a word to the store: %s", self._runner.id, error)

    # --- The chores ---

    def beat(self) -> None:
        """Show that this runner lives, and look whether the others do."""
        if not self._may_beat():
            logger.error("The runner %s does not answer; it gets no beat.", self._runner.id)
            return
        beats = self._store.beat(self._runner.id)
        if not beats:
            logger.warning("The runner %s had been declared lost; it registers again.", self._runner.id)
            # Any number will do that no peer has seen.
            self._store.register_runner(replace(self._runner, beat=1 + secrets.randbits(48)))
            return
        if not self._known <= beats.keys():
            self._rescue.due = 0.0  # A peer was declared lost, by whomever.
        self._known = frozenset(beats)
        for peer, beat in self._watch.observe(beats, time.monotonic()):
            if self._store.retire(peer, beat):
                logger.warning("The runner %s is lost: its beat stood at %d.", peer, beat)
                self._rescue.due = 0.0

    def rescue(self) -> None:
        """Take back the jobs of runners that were declared lost, by whomever."""
        rescue_orphans(self._store, self._backend, self._runner.id, "its runner stopped beating")

    def look(self) -> bool:
        """Make due jobs ready, fail expired ones, and see what there is for this runner's workers."""
        ends_at = time.monotonic() + STRETCH
        while True:
            sight = self._store.look(self._runner.id, self._look_limit)
            self._saw(sight)
            if not self._look_limit or max(sight.promoted, sight.expired) < self._look_limit:
                return False
            if time.monotonic() >= ends_at:
                return True

    def unpark(self) -> None:
        """Give jobs whose task was unknown to another try, where this code knows it."""
        known = [(task, version) for task, version in self._store.parked() if _is_known(task, version)]
        if known and (count := self._store.unpark(known)):
            logger.info("%d parked jobs are ready again: %s", count, ", ".join(task for task, _ in known))

    def prune(self) -> bool:
        """Delete finished jobs that are kept no longer."""
        ends_at = time.monotonic() + STRETCH
        for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED):
            keep = getattr(self._options.retention, state.label)
            while self._store.prune(state, keep, PRUNE_BATCH) == PRUNE_BATCH:
                if time.monotonic() >= ends_at:
                    return True
        return False


def _is_known(task: str, version: int) -> bool:
    try:
        refuse_newer(imported_task(task), version)
    except UnknownTask:
        return False
    return True
