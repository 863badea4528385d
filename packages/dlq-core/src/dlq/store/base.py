"""``Store``: the one interface between the runtime and storage.

Every verb takes a batch. Every verb is atomic: after an error that is not StoreUnavailable it has done
nothing, and after StoreUnavailable it has done all or nothing. No verb has a default implementation,
because a default would promise an atomicity that only the store can give.

Every verb that stores jobs, or brings them to an end, counts them: see ``dlq.store.tallies``.

``now`` is the moment at which the verb happens. None means the store's own clock, and that is what
production passes: the clocks of workers decide nothing. Tests pass a time instead of sleeping.

Every verb may raise StoreUnavailable and StoreNotReady. ``dlq.testing.contract`` says in tests what the
docstrings here say in words, and every store runs it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from dlq.job import Cancelled, Claim, Edit, Enqueued, Exchanged, JobRecord, NewJob, Note, Outcome
from dlq.states import LIVE, State
from dlq.store.asynchronous import AsyncStore
from dlq.workers import Order, RunnerInfo, Sight, WorkerInfo, WorkerRef

__all__ = ["CANCELLABLE", "Store", "Version"]

CANCELLABLE = LIVE | {State.FAILED}
"""The states that ``Store.cancel`` can end; a failed job is one that a person has seen and needs no more."""

type Version = tuple[str, int]
"""The dotted path of a task, and a version of it."""


class Store(ABC):
    """Where the jobs of one backend live. Objects are cheap; connections are kept per process or thread."""

    alias: str
    """The backend's alias in ``TASKS``; several backends may share one database or server."""

    database: str | None = None
    """The Django database alias whose open transaction an enqueue joins; None where there is none."""

    # --- Clients ---

    @property
    def asynchronous(self) -> AsyncStore | None:
        """What coroutines may ask without a thread; None in most stores, which they then ask in a thread."""
        return None

    @abstractmethod
    def enqueue(self, jobs: Sequence[NewJob], *, now: datetime | None = None) -> Enqueued:
        """Store new jobs, all or none; says when that happened.

        A job is ready, or scheduled when its ``run_after`` lies ahead. On a database it is part of the caller's open
        transaction. Storing an id that is stored already changes nothing and is no error: a caller that got no
        answer may enqueue the same job again.

        A job with limits is blocked until it is admitted, see ``admit``. The store sees to that as soon as others can
        see the job, and has touched no row before that others need.

        Of the jobs of a backend with the same unique mark one lives at a time: until it has finished, or with
        ``ends_at_start`` until it is claimed, after which it does not get the mark back. A new job whose mark another
        has, perhaps one of this very batch, is stored as cancelled, with ``duplicate_of`` and a reason. With
        ``REPLACE`` the other, if it waits and nobody is at it, takes over what the new job says but its id: as if it
        had just been enqueued, but in its old place unless its time or priority changes. While another transaction
        that has stored a job with the mark is open, this waits for its end.

        Raises StoreRefused for data that the store cannot hold. A transaction of the caller's in which that
        happened may have to be rolled back, as after any error of its database.
        """

    @abstractmethod
    def get(self, ids: Collection[UUID]) -> list[JobRecord]:
        """The records of those jobs that exist, in any order."""

    # --- Workers ---

    @abstractmethod
    def exchange(
        self,
        worker: WorkerRef,
        outcomes: Sequence[Outcome],
        queues: Sequence[str],
        limit: int,
        *,
        now: datetime | None = None,
    ) -> Exchanged:
        """Hand back what a worker finished, and take what it can run: one round trip, one transaction.

        An outcome is written only if its token is the one under which the job is running; otherwise it
        is returned as ``already``, when this very worker has settled the job with this very token before
        and nobody has settled it since, or as ``stale``.

        A job that is to be cancelled does not go back to waiting: an outcome that would return it cancels it.

        Claims come from ``queues`` in the order given, which is strict, and inside a queue by priority,
        then by the order in which the jobs became ready. No two workers are given the same job. A
        worker that is not registered in this incarnation settles, and is given nothing; neither does a
        paused queue give anything.

        A job with limits that waits for another attempt gives its slot back, and is admitted again when its time
        has come; one that is handed back or was interrupted keeps it. Slots that the outcomes gave back are given to
        those that wait before the claims are made.

        With no outcomes it is a claim; with limit 0, a settlement.

        Raises StoreRefused when an outcome holds data that the store cannot hold; nothing is settled
        then, and nothing claimed.
        """

    @abstractmethod
    def waiting(self, *, now: datetime | None = None) -> list[str]:
        """The names of the queues that have a ready job and are not paused, sorted.

        Its cost does not grow with the length of the queues.
        """

    @abstractmethod
    def listen(self, timeout: float) -> frozenset[str] | None:
        """Wait until another process says that jobs have become ready, and return the queues that it names.

        Empty when nobody has said anything for ``timeout`` seconds; None, at once, from a store that has no way
        to be told. What is said is a hint: it may get lost, come late, or come for nothing. It is said of jobs
        that ``enqueue``, ``look``, ``unpark`` and ``retry`` make ready, and of the queue that ``resume`` lets go on;
        what an ``exchange`` puts back is left to the next look.

        Listening begins with the first call, and ends with ``close``. A store that may have missed something names
        every queue that has something to give. Called in a thread that does nothing else with the store, after
        ``dedicate``.
        """

    @abstractmethod
    def reconcile(
        self, worker: WorkerRef, held: Collection[tuple[UUID, int]], *, now: datetime | None = None
    ) -> WorkerRef:
        """Put right what an exchange without an answer may have left behind.

        Claims of the worker whose (id, token) is not among ``held`` go back to their places uncounted; those
        that are to be cancelled are cancelled.
        The returned reference replaces the worker's: an exchange under the old one, which the store may
        still be working on, claims nothing from now on.

        Raises RunnerUnknown when the worker is not registered.
        """

    @abstractmethod
    def annotate(self, notes: Sequence[Note], *, now: datetime | None = None) -> list[UUID]:
        """Store what running jobs say about themselves; several notes of one job count in the order given.

        Returns the ids of those whose token is not the one under which the job is running: their notes
        are rejected. What a job has said stays when it has ended, and the next attempt goes on from there.

        Raises StoreRefused for data that the store cannot hold; nothing is stored then.
        """

    @abstractmethod
    def unpark(self, tasks: Collection[Version], *, now: datetime | None = None) -> int:
        """Make the jobs that are parked for these versions of tasks ready again, in their old places.

        Returns how many. Those with limits wait for a slot.
        """

    @abstractmethod
    def parked(self) -> list[Version]:
        """The versions of tasks for which jobs are parked, sorted."""

    # --- Liveness ---

    @abstractmethod
    def register_runner(self, runner: RunnerInfo, *, now: datetime | None = None) -> None:
        """Make a runner known, with its first beat, which is ``runner.beat``.

        Registering it again changes only what it says. A runner that was retired and comes back brings a beat
        that it has never shown, so that no peer takes the new one for the one that stood still.
        """

    @abstractmethod
    def register_worker(self, worker: WorkerInfo, *, now: datetime | None = None) -> WorkerRef:
        """Make a worker of a known runner known; only then may it claim.

        Registering it again changes what it says, and keeps what it was told: the numbers of its instructions,
        and its order, unless it names one other than ``WORK``.

        Raises RunnerUnknown when its runner is not registered.
        """

    @abstractmethod
    def unregister_worker(self, worker: str) -> None:
        """Forget a worker. Claims that it still holds become orphans."""

    @abstractmethod
    def beat(self, runner: str, *, now: datetime | None = None) -> dict[str, int]:
        """Raise the runner's beat by one and return the beats of all runners, its own included.

        Empty when the runner is not registered: a peer has declared it lost. Both happen in one
        transaction, so that who can read the beats of others could also have written its own.
        """

    @abstractmethod
    def retire(self, runner: str, beat: int | None = None) -> bool:
        """Forget a runner and its workers, if its beat still is the given one; returns whether it did.

        None forgets it whatever its beat is: that is how a runner leaves by itself.
        """

    @abstractmethod
    def held(self, worker: str, limit: int) -> list[Claim]:
        """Claims of this worker, registered or not, the oldest first."""

    @abstractmethod
    def orphans(self, limit: int) -> list[Claim]:
        """Claims whose worker is not registered, the oldest first. Whoever settles one first, has."""

    # --- Controls ---

    @abstractmethod
    def pause(self, queue: str, until: datetime | None = None, *, now: datetime | None = None) -> None:
        """Have a queue give no claims, until then or until it is resumed.

        An exchange that begins after this has returned claims nothing from it. Pausing again replaces ``until``.
        """

    @abstractmethod
    def resume(self, queue: str) -> bool:
        """Have a paused queue give claims again; returns whether it was paused."""

    @abstractmethod
    def cancel(
        self,
        ids: Collection[UUID],
        reason: str,
        *,
        states: Collection[State] = CANCELLABLE,
        now: datetime | None = None,
    ) -> Cancelled:
        """Cancel those of the jobs that are in one of ``states``, each of them ``CANCELLABLE``.

        One that waits, or has failed, is cancelled at once. One that runs is marked: its runner sees it in
        ``look`` and asks the task to stop; see ``exchange`` for what becomes of it. Of several reasons that were
        given while it ran the last counts.
        """

    @abstractmethod
    def retry(
        self,
        ids: Collection[UUID],
        *,
        edits: Mapping[UUID, Edit] | None = None,
        now: datetime | None = None,
    ) -> list[UUID]:
        """Make failed and cancelled jobs ready again, behind those that wait; returns which.

        Their attempts and interruptions count from nothing again, and they do not expire any more. Tokens go
        on growing, and the history and the log stay. One whose unique mark another job has by now stays as it is.
        Those with an edit have its payload and overrides from then on; their key and their limits stay.

        Raises StoreRefused for data that the store cannot hold; nothing is changed then.
        """

    @abstractmethod
    def instruct(self, worker: str, order: Order) -> int | None:
        """Tell a worker something; returns the number of the instruction, None when there is no such worker.

        A ping changes no order: it has the worker told once more what it was told last, and confirm that.
        """

    @abstractmethod
    def heed(self, worker: str, number: int) -> None:
        """Confirm the instructions of a worker up to this number; of no effect when it is gone.

        A number that it was not given yet confirms those that it was, and none to come.
        """

    # --- Upkeep ---

    @abstractmethod
    def look(self, runner: str, limit: int, *, now: datetime | None = None) -> Sight:
        """What every runner does about once a second, in one call.

        Up to ``limit`` jobs that wait, for their first attempt or another, and whose ``expires_at`` has come
        fail as Expired, which their history says. Then up to ``limit`` scheduled jobs that are due become ready,
        the longest due first; of these, those with limits are blocked. Then up to ``limit`` blocked ones are
        admitted, as ``admit`` does it. The reply also says which queues have ready jobs, which are paused, and what
        is to be told to the workers of this runner. Tallies that are older than ``TALLIES_KEPT`` are forgotten.
        """

    @abstractmethod
    def admit(self, limit: int, *, now: datetime | None = None) -> int:
        """Make up to ``limit`` blocked jobs ready that can have the slot they wait for; returns how many.

        A job that is ready or runs holds a slot of its key, and there are never more of these than the key's limit:
        the one that the job has that was enqueued last. Of a key the jobs are admitted by priority, then in the order
        in which they came to wait. Jobs of a paused queue are not admitted, and give back the slots with which they
        were ready.

        A job with the policy ``DISCARD`` that finds no slot is cancelled. One with ``CANCEL_RUNNING`` has the oldest
        jobs of its key give way, as ``cancel`` does it. Its cost grows with the number of keys that have a free slot,
        and not with the number of jobs that wait.
        """

    @abstractmethod
    def prune(
        self,
        state: State,
        older_than: float | None,
        limit: int,
        *,
        task: str | None = None,
        now: datetime | None = None,
    ) -> int:
        """Delete up to ``limit`` jobs that reached this finished state ``older_than`` seconds ago or earlier.

        A job that has a ``keep_until`` of its own goes when that is over, whatever ``older_than`` is; with None,
        only such jobs go. Returns how many.
        """

    @abstractmethod
    def ping(self) -> None:
        """Return if the store can be reached and is set up; else raise, saying what is to be done."""

    @abstractmethod
    def dedicate(self) -> None:
        """Give this thread connections of its own, kept open and with a timeout on every call.

        The runtime asks for it in each thread in which it calls the store; user code never runs there.
        """

    @abstractmethod
    def close(self) -> None:
        """Give up the connections of this thread, dedicated or not; the next call opens new ones, as clients do.

        Called before a fork.
        """
