"""``Workload``: what one worker holds, shared by the thread that talks to the store and those that run jobs."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from dlq.context import Notebook
from dlq.job import Attempt, Claim, Note, Outcome
from dlq.runtime.notes import Notes
from dlq.runtime.page import Gate, Page
from dlq.runtime.rescue import was_lost_with_runner

__all__ = ["Assignment", "Workload"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """A claim with the history that its task may ask for."""

    claim: Claim
    history: Sequence[Attempt] = ()

    @property
    def wants_runner(self) -> bool:
        """Whether it must run alone in its runner, and not just in its worker."""
        return self.claim.suspect and was_lost_with_runner(self.history)


class Workload:
    """Claims that wait for a slot, claims that run, and what the store has not taken yet: outcomes and notes.

    Its locks may be taken again by the thread that holds them, since signal handlers call ``wake``.
    """

    def __init__(self, slots: int, page: Page) -> None:
        """``slots`` is how many jobs run at a time. On the ``page`` it is agreed who runs alone in the runner."""
        self.slots = slots
        self._page = page
        self._gate = Gate.OPEN
        """As the threads that run jobs were last woken for it."""
        self.enough = 1
        """So many outcomes, or so few waiting claims as ``low``, are worth waking the control thread for."""
        self.low = 0
        self.on_startable: Callable[[], object] = lambda: None
        """Called, in any thread, when there may be something to take: for executors that must not block."""
        self.is_stopping = False
        """Whether the worker was told to stop: for tasks that ask."""
        self._lock = threading.RLock()
        self._startable = threading.Condition(self._lock)
        self._reportable = threading.Condition(self._lock)
        self._waiting: deque[Assignment] = deque()
        self._secluded: deque[Assignment] = deque()
        """Those that must run alone in the runner, and wait until they may."""
        self._running: dict[tuple[UUID, int], Claim] = {}
        """By id and token: a job that was taken from this worker may be given to it again while it still runs."""
        self._suspects = 0
        """How many of those that run are suspects."""
        self._outcomes: list[Outcome] = []
        self._notes = Notes()
        self._seconds: list[float] = []
        self._closed = False
        self._woken = False
        self._due = False
        """Whether a job has ended when an exchange was due, since the control thread last waited."""
        self._moved_at = 0.0
        """When a claim last started or ended, or was added to none."""

    # --- The threads that run jobs ---

    def take(self) -> Assignment | None:
        """The next claim to run, waiting for one; None when the worker ends."""
        with self._lock:
            while not self._closed:
                if (assignment := self.take_now()) is not None:
                    return assignment
                self._startable.wait()
        return None

    def take_now(self) -> Assignment | None:
        """The next claim to run if one may start now."""
        with self._lock:
            waiting = self._startable_claims()
            if not waiting:
                return None
            assignment = waiting.popleft()
            self._running[assignment.claim.id, assignment.claim.token] = assignment.claim
            self._suspects += assignment.claim.suspect
            self._moved_at = time.monotonic()
            return assignment

    def _startable_claims(self) -> deque[Assignment] | None:
        """The claims of which the first may start now."""
        gate = self._page.gate
        if gate is Gate.GRANTED:
            return None if self._running else self._secluded
        if gate is Gate.HELD or not self._waiting or len(self._running) >= self.slots:
            return None
        return self._waiting if self._may_start() else None

    def _may_start(self) -> bool:
        # A suspect, whose worker was lost while it ran, runs alone: so that if it is the one that kills
        # workers, it takes no other job with it, and is known.
        if not self._running:
            return True
        return not self._waiting[0].claim.suspect and not self._suspects

    def done(self, claim: Claim, outcome: Outcome, seconds: float) -> None:
        """A claim has run, or could not; its outcome goes to the store."""
        with self._lock:
            del self._running[claim.id, claim.token]
            self._suspects -= claim.suspect
            self._moved_at = time.monotonic()
            self._outcomes.append(outcome)
            self._seconds.append(seconds)
            if self._is_due():
                self._due = True
                self._reportable.notify()
            if self._waiting or self._secluded:
                self._startable.notify()
                self.on_startable()
            self._ask()

    def _is_due(self) -> bool:
        """Whether an exchange is worth its round trip."""
        idle = not self._waiting and len(self._running) < self.slots
        return idle or len(self._outcomes) >= self.enough or len(self._waiting) <= self.low

    def noted(self, notebook: Notebook) -> None:
        """A job has said something; it goes to the store before the job's outcome, and soon."""
        with self._lock:
            if self._notes.add(notebook):
                # Not awake: the control thread only has to see until when it may wait.
                self._reportable.notify()

    # --- The control thread ---

    def add(self, assignments: Iterable[Assignment]) -> None:
        """Claims from the store, in the order in which they are to start."""
        with self._lock:
            if not self._waiting:
                self._moved_at = time.monotonic()
            for assignment in assignments:
                (self._secluded if assignment.wants_runner else self._waiting).append(assignment)
            # What ended while these were fetched may wait for more now.
            self._due = self._due and self._is_due()
            self._ask()
            self._startable.notify_all()
            self.on_startable()

    def heed_gate(self) -> Gate:
        """See what the parent lets this worker start now, and say so when it has come to rest for others."""
        with self._lock:
            gate = self._page.gate
            if gate is Gate.HELD and not self._running:
                self._page.is_quiet = True
            if gate is not self._gate:
                self._gate = gate
                self._startable.notify_all()
                self.on_startable()
            return gate

    def _ask(self) -> None:
        """Ask to be alone for as long as there is a claim that wants it."""
        # The one that runs alone is the only one that runs then.
        runs_alone = self._page.gate is Gate.GRANTED and bool(self._running)
        self._page.asks = bool(self._secluded) or runs_alone

    def collect(self) -> tuple[list[Outcome], list[float]]:
        """The outcomes since the last call, and how long each of the jobs occupied its slot.

        The outcome of a job that has said something stays here until its note was collected.
        """
        with self._lock:
            outcomes, self._outcomes = self._outcomes, []
            if any((outcome.id, outcome.token) in self._notes for outcome in outcomes):
                self._outcomes = [o for o in outcomes if (o.id, o.token) in self._notes]
                outcomes = [o for o in outcomes if (o.id, o.token) not in self._notes]
            seconds, self._seconds = self._seconds, []
            return outcomes, seconds

    def collect_notes(self) -> list[Note]:
        """What jobs have said and the store is to know now. Afterwards their outcomes may be collected."""
        with self._lock:
            return self._notes.collect(self._running.__contains__)

    def restore_notes(self, notes: list[Note]) -> None:
        """Notes that the store did not take: they are tried again, and their jobs' outcomes after them."""
        with self._lock:
            self._notes.restore(notes)

    def settled(self, outcomes: Iterable[Outcome]) -> None:
        """The store knows of these outcomes."""
        self._page.settle((outcome.id, outcome.token) for outcome in outcomes)

    def restore(self, outcomes: list[Outcome]) -> None:
        """Outcomes that the store did not take: they are tried again first."""
        with self._lock:
            self._outcomes[:0] = outcomes

    def withdraw(self, queues: Collection[str] | None = None) -> list[Claim]:
        """Take away the claims that have not started, of these queues or of all."""
        with self._lock:
            withdrawn = [a.claim for a in self._waiting if queues is None or a.claim.queue in queues]
            kept = [a for a in self._waiting if queues is not None and a.claim.queue not in queues]
            self._waiting = deque(kept)
            return withdrawn

    def withdraw_secluded(self) -> list[Claim]:
        """Take away the claims that wait until this worker is alone in its runner."""
        with self._lock:
            withdrawn = [assignment.claim for assignment in self._secluded]
            self._secluded.clear()
            self._ask()
            return withdrawn

    def cancel(self, id: UUID, token: int, reason: str) -> bool:
        """Settle a claim as cancelled if it has not started; returns whether that is so."""
        with self._lock:
            for claims in (self._waiting, self._secluded):
                for assignment in claims:
                    if (assignment.claim.id, assignment.claim.token) == (id, token):
                        claims.remove(assignment)
                        self._ask()
                        self._outcomes.append(Outcome.cancelled(assignment.claim, reason))
                        self.wake()
                        return True
        return False

    def held(self) -> set[tuple[UUID, int]]:
        """Every claim that this worker answers for: waiting, running, or with an outcome not yet taken."""
        with self._lock:
            waiting = (*self._waiting, *self._secluded)
            claims = [assignment.claim for assignment in waiting] + list(self._running.values())
            held = {(claim.id, claim.token) for claim in claims}
            return held | {(outcome.id, outcome.token) for outcome in self._outcomes}

    def counts(self) -> tuple[int, int, int]:
        """How many claims wait, how many run, and how many outcomes are to be reported."""
        with self._lock:
            return len(self._waiting) + len(self._secluded), len(self._running), len(self._outcomes)

    def uncounted(self) -> int:
        """How many jobs this worker will have run beyond those that ``collect`` has told of, if it gets no more."""
        with self._lock:
            return len(self._waiting) + len(self._secluded) + len(self._running) + len(self._seconds)

    def is_stuck(self, seconds: float) -> bool:
        """Whether claims wait while nothing has moved for so long: a long job holds them up."""
        with self._lock:
            return bool(self._waiting) and time.monotonic() - self._moved_at > seconds

    def runs_alone(self) -> bool:
        """Whether a suspect runs: nothing else may start before it has ended."""
        with self._lock:
            return self._suspects > 0

    def is_held_up(self, seconds: float) -> bool:
        """Whether long jobs run: nothing has moved for so long, and what came now might wait as long."""
        with self._lock:
            return bool(self._running) and time.monotonic() - self._moved_at > seconds

    def wait(self, timeout: float) -> None:
        """Wait until there is something to report, or a wake-up, or the timeout."""
        with self._lock:
            if not (self._woken or self._due):
                notes = self._notes.wait()
                self._reportable.wait(timeout if notes is None else min(timeout, notes))
            self._woken = self._due = False

    def wake(self) -> None:
        """End the control thread's wait, or its next one."""
        with self._lock:
            self._woken = True
            self._reportable.notify()

    def close(self) -> None:
        """No claim will come any more: the threads that run jobs may end."""
        with self._lock:
            self._closed = True
            self._startable.notify_all()
            self.on_startable()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed
