"""``Worker``: takes jobs from a store, has them run, and settles them."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from dlq.conf import BackendOptions, Delivery, WorkerPool
from dlq.errors import RunnerUnknown, StoreError, StoreRefused
from dlq.job import Claim, Exchanged, Outcome
from dlq.logs import get_logger
from dlq.runtime.batching import Pace
from dlq.runtime.executor import Executor
from dlq.runtime.failures import failure_of
from dlq.runtime.outage import Outage
from dlq.runtime.page import Gate
from dlq.runtime.wear import Wear
from dlq.runtime.workload import Assignment, Workload
from dlq.selectors import broadcast_queue
from dlq.states import State
from dlq.store.base import Store
from dlq.workers import Order, WorkerInfo, WorkerRef

__all__ = ["Worker"]

logger = get_logger("dlq.worker")

FLUSH_WITHIN = 0.01
"""Seconds that an outcome may wait for others to be settled with it."""
STUCK_AFTER = 0.1
"""Seconds for which no claim has started until those that wait are handed back for others to take."""
SUPERVISED_EVERY = 1.0
"""Seconds after which a worker of a runner looks whether that is still there, if nothing else happens."""
PUT_OFF = 60.0
"""Seconds for which a job goes back that was to run alone in its runner, where others run for long."""
UNTOLD_POLLS = 40
"""Poll intervals after which a worker that is told when there are jobs looks for itself: a hint may get lost."""


class Worker:
    """The control side of a worker: it alone talks to the store. ``run`` repeats ``step`` until stopped."""

    def __init__(
        self,
        info: WorkerInfo,
        pool: WorkerPool,
        store: Store,
        options: BackendOptions,
        workload: Workload,
        executor: Executor,
        supervise: Callable[[], None] = lambda: None,
        *,
        told: bool = False,
    ) -> None:
        """``executor`` serves the same ``workload`` in other threads; ``supervise`` is called at every step.

        ``told`` says that somebody calls ``hear`` when there are jobs, so that an idle worker need not look.
        """
        self._supervise = supervise
        self._info = info
        self._selector = pool.selector
        self._store = store
        self._poll_interval = options.poll_interval * (UNTOLD_POLLS if told else 1)
        self._look_interval = options.poll_interval
        self._longest_wait = SUPERVISED_EVERY if told else self._poll_interval
        self._wear = Wear(pool)
        self._workload = workload
        self._executor = executor
        # A claim that is lost unseen has failed under at-most-once: there should be none that does not run.
        self._pace = Pace(workload.slots, prefetches=options.delivery is Delivery.AT_LEAST_ONCE)
        self._outage = Outage(f"Worker {info.id}", longest=min(1.0, options.heartbeat_interval))
        self._ref: WorkerRef | None = None
        self._own_queue = broadcast_queue(info.runner)
        self._unsure = False
        """Whether an exchange has gone without an answer since the last reconciliation."""
        self._waiting_queues: list[str] = []
        self._said: set[str] = set()
        """Queues of which somebody said that they have jobs, since the last claim."""
        self._look_at = 0.0
        self._poll_at = 0.0
        self._turn = 0
        self._stop_at: float | None = None
        self._heard: deque[dict[str, Any]] = deque()
        self._paused: frozenset[str] = frozenset()
        self._quiet = info.order is Order.QUIET
        self._gate = Gate.OPEN
        """What the parent lets this worker start."""
        self._to_confirm = 0
        """The number of the last instruction; 0 when it is confirmed."""

    # --- Life ---

    def run(self) -> None:
        """Work until ``stop`` is called and everything that was held is settled or handed back."""
        while True:
            self._supervise()
            wait = self._try_step()
            if self._stop_at is not None and not any(self._workload.counts()) and not self._unsure:
                break
            self._workload.wait(wait)
        self._leave()
        self._workload.close()

    def stop(self) -> None:
        """Claim nothing more, hand back what has not started, and end when what runs has finished.

        Safe in a signal handler, and when called again.
        """
        if self._stop_at is None:
            self._stop_at = time.monotonic()
            self._workload.is_stopping = True
            self._workload.wake()

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop_at is not None

    @property
    def is_worn(self) -> bool:
        """Whether it ends because it has run enough jobs or holds too much memory, and is to be replaced."""
        return self._wear.is_out

    # --- What it is told, from other threads ---

    def hear(self, message: dict[str, Any]) -> None:
        """Take note of a message from the runner; see ``Herald`` for what there is."""
        self._heard.append(message)
        self._workload.wake()

    def _heed(self) -> None:
        while self._heard:
            message = self._heard.popleft()
            if "ready" in message:
                self._heed_hint(message["ready"], message["paused"])
            elif "said" in message:
                self._heed_word(message["said"])
            elif "order" in message:
                self._obey(Order(message["order"]), message["number"])
            elif "cancel" in message:
                self._executor.cancel(UUID(message["cancel"]), message["token"], message["reason"])

    def _heed_hint(self, ready: list[str], paused: list[str]) -> None:
        self._paused = frozenset(paused)
        own = [queue for queue in ready if self._serves(queue)]
        if own:
            self._waiting_queues, self._look_at = own, time.monotonic() + self._look_interval
            self._poll_at = 0.0

    def _heed_word(self, said: list[str]) -> None:
        """Claim at once. Unlike a look at the store, a word says nothing of other queues, nor of pauses."""
        own = {queue for queue in said if self._serves(queue)} - self._paused
        if own:
            self._said |= own
            self._poll_at = 0.0

    def _obey(self, order: Order, number: int) -> None:
        self._to_confirm = number
        logger.info("Worker %s was told: %s.", self._info.id, order)
        self._quiet = order is Order.QUIET
        if order is Order.STOP:
            self.stop()

    def _confirm(self) -> None:
        if self._to_confirm:
            self._store.heed(self._info.id, self._to_confirm)
            self._to_confirm = 0

    def _serves(self, queue: str) -> bool:
        return queue == self._own_queue or self._selector.matches(queue)

    def _try_step(self) -> float:
        """One step, whatever the store does; returns how long to wait for news before the next."""
        try:
            self._heed()
            self._ensure_registered()
            self._confirm()
            self.step()
        except StoreError as error:
            wait = self._outage.failed(error)
        else:
            self._outage.over()
            wait = self._patience()
        ring = self._executor.ring()
        return wait if ring is None else min(wait, ring)

    def _leave(self) -> None:
        try:
            self._store.unregister_worker(self._info.id)
            self._store.close()
        except StoreError as error:
            logger.info("%s left without a word to the store: %s", self._info.id, error)

    # --- One exchange ---

    def step(self) -> None:
        """Settle what there is to settle and claim what there is room for, if either is due.

        Raises StoreError; nothing is lost then.
        """
        self._tell_notes()
        self._gate = self._workload.heed_gate()
        outcomes, seconds = self._workload.collect()
        self._pace.observe(seconds)
        if self._wear.counts(len(seconds)):
            self.stop()
        surplus = self._surplus()
        room = self._room(settling=bool(outcomes))
        outcomes += [*map(Outcome.handed_back, surplus), *self._put_off()]
        try:
            queues = self._queues() if room else []
            if outcomes or queues:
                began = time.monotonic()
                reply = self._exchange(outcomes, queues, room if queues else 0)
                self._pace.observe_trip(time.monotonic() - began)
                self._workload.settled(outcomes)
                self._take(reply, room)
        except StoreError:
            self._workload.restore(outcomes)
            raise

    def _tell_notes(self) -> None:
        """What jobs say about themselves goes first: once a job is settled, its notes would be stale."""
        if not (notes := self._workload.collect_notes()):
            return
        try:
            stale = self._store.annotate(notes)
        except StoreRefused as error:
            logger.warning("What %d jobs said about themselves cannot be stored: %s", len(notes), error)
        except StoreError:
            self._workload.restore_notes(notes)
            raise
        else:
            for id in stale:
                logger.warning("What job %s said was too late: it was taken from this worker.", id)

    def _surplus(self) -> list[Claim]:
        """Claims that have not started and are to go back."""
        if self._is_claiming() and not self._workload.is_stuck(STUCK_AFTER):
            return self._workload.withdraw(self._paused) if self._paused else []
        self._idle()  # What goes back is for others: the store would give it to this worker again.
        if self._stop_at is not None or self._quiet:
            return self._workload.withdraw() + self._workload.withdraw_secluded()
        return self._workload.withdraw()

    def _put_off(self) -> list[Outcome]:
        """Jobs that were to run alone in the runner, and could not: others may have more luck, or it later."""
        if self._gate is not Gate.REFUSED:
            return []
        return [Outcome.put_off(claim, PUT_OFF) for claim in self._workload.withdraw_secluded()]

    def _is_claiming(self) -> bool:
        is_free = self._gate in (Gate.OPEN, Gate.REFUSED)
        return self._stop_at is None and not self._quiet and is_free

    def _room(self, settling: bool) -> int:
        if not self._is_claiming() or not (settling or time.monotonic() >= self._poll_at):
            return 0
        # Without an outcome to report, an exchange for a few more claims is not worth its round trip.
        if self._workload.counts()[0] > self._workload.low and not settling:
            return 0
        return self._capacity()

    def _capacity(self) -> int:
        """How many more claims the worker should hold now."""
        if self._workload.runs_alone():
            return 0
        waiting, running, _ = self._workload.counts()
        if self._workload.is_held_up(STUCK_AFTER):
            room = self._workload.slots - running - waiting
        else:
            room = self._pace.room(waiting, running)
        return int(max(0, min(room, self._wear.left - self._workload.uncounted())))

    def _queues(self) -> list[str]:
        """The queues to claim from: looked up in the store where the selector has a wildcard."""
        if self._said:
            self._waiting_queues = sorted(self._said.union(self._waiting_queues))
            self._said.clear()
        elif self._selector.has_wildcard and time.monotonic() >= self._look_at:
            self._waiting_queues = self._store.waiting()
            self._look_at = time.monotonic() + self._look_interval
        self._turn += 1
        queues = self._selector.expand(self._waiting_queues, self._turn)
        if self._own_queue in self._waiting_queues:
            queues.insert(0, self._own_queue)
        if not queues:
            self._idle()
        return queues

    def _exchange(self, outcomes: Sequence[Outcome], queues: Sequence[str], limit: int) -> Exchanged:
        assert self._ref is not None
        try:
            try:
                return self._store.exchange(self._ref, outcomes, queues, limit)
            except StoreRefused:
                self._settle_one_by_one(outcomes)
                return self._store.exchange(self._ref, [], queues, limit)
        except StoreError:
            self._unsure = True
            raise

    def _settle_one_by_one(self, outcomes: Sequence[Outcome]) -> None:
        """Find the outcome whose data the store refuses, and fail that job alone."""
        assert self._ref is not None
        for outcome in outcomes:
            try:
                self._store.exchange(self._ref, [outcome], [], 0)
            except StoreRefused as error:
                logger.error("The outcome of job %s was refused, so it failed: %s", outcome.id, error)
                failed = replace(
                    outcome, state=State.FAILED, result=None, delay=0.0, failure=failure_of(error)
                )
                self._store.exchange(self._ref, [failed], [], 0)

    def _take(self, reply: Exchanged, room: int) -> None:
        for id in reply.stale:
            logger.warning(
                "Job %s was taken from worker %s; its outcome here counts for nothing.", id, self._info.id
            )
        if not reply.registered:
            self._ref = None
            return
        # The store knows better than the last look.
        self._paused -= {claim.queue for claim in reply.claims}
        if room and len(reply.claims) < room:
            self._look_again_soon()
        if room and not reply.claims:
            self._idle()
        self._workload.low = self._pace.ahead // 2
        self._workload.enough = max(1, self._pace.ahead // 2)
        self._workload.add(self._with_history(reply.claims))

    def _look_again_soon(self) -> None:
        # The queues known to have jobs are drained: others may have some, but asking must not become a storm.
        self._look_at = min(self._look_at, time.monotonic() + STUCK_AFTER)

    def _idle(self) -> None:
        self._poll_at = time.monotonic() + self._poll_interval * random.uniform(0.75, 1.0)
        self._look_at = min(self._look_at, self._poll_at)

    def _with_history(self, claims: Sequence[Claim]) -> list[Assignment]:
        tried = [claim.id for claim in claims if claim.attempts or claim.interruptions]
        if not tried:
            return [Assignment(claim) for claim in claims]
        try:
            history = {record.id: record.history for record in self._store.get(tried)}
        except StoreError as error:
            # The claims are ours already: better to run them without their history than to sit on them.
            logger.warning("The history of %d jobs cannot be read: %s", len(tried), error)
            history = {}
        return [Assignment(claim, history.get(claim.id, ())) for claim in claims]

    # --- Standing in the store ---

    def _ensure_registered(self) -> None:
        if self._ref is None:
            self._store.dedicate()
            self._ref = self._store.register_worker(self._info)
            self._info = replace(self._info, incarnation=self._info.incarnation + 1)
        if self._unsure:
            self._reconcile(self._ref)

    def _reconcile(self, ref: WorkerRef) -> None:
        """After an exchange without an answer: what the store gave and we never got goes back."""
        try:
            self._ref = self._store.reconcile(ref, self._workload.held())
        except RunnerUnknown:
            self._ref = None
            raise
        self._info = replace(self._info, incarnation=self._ref.incarnation + 1)
        self._unsure = False

    # --- Waiting ---

    def _patience(self) -> float:
        """Seconds until the next step, if nothing happens before."""
        waiting, _, outcomes = self._workload.counts()
        may_claim = self._is_claiming() and waiting <= self._workload.low and self._capacity()
        waits = [self._longest_wait]
        if may_claim:
            waits.append(self._poll_at - time.monotonic())
        if outcomes:
            waits.append(FLUSH_WITHIN)
        if waiting:
            waits.append(STUCK_AFTER)
        return max(0.0, min(waits))
