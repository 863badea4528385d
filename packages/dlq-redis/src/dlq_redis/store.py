"""``RedisStore``: each verb is one script, so that it happens whole or not at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from redis.exceptions import NoScriptError

from dlq.errors import RunnerUnknown, StoreError, StoreNotReady
from dlq.job import LOG_LINES, Cancelled, Claim, Edit, Enqueued, Exchanged, JobRecord, NewJob, Note, Outcome
from dlq.logs import get_logger
from dlq.states import State
from dlq.store import AsyncStore, Store
from dlq.store.base import CANCELLABLE, Version
from dlq.store.tallies import TALLIES_KEPT
from dlq.workers import Cancellation, Instruction, Order, RunnerInfo, Sight, WorkerInfo, WorkerRef
from dlq_redis import async_connection, connection
from dlq_redis.advice import OLDEST, Advice, advice, facts_of, version_of
from dlq_redis.asynchronous import AsyncRedisStore
from dlq_redis.clock import ticks, ticks_in
from dlq_redis.connection import Server
from dlq_redis.data import DATA_VERSION, edited_data, packed_data, packed_head
from dlq_redis.durability import Durability, NotDurable, run_durably
from dlq_redis.failures import FOREIGN, translated
from dlq_redis.keys import tag_of
from dlq_redis.outcomes import held_as, packed_outcome
from dlq_redis.replies import claims_of, enqueued_of, records_of
from dlq_redis.scripts import script
from dlq_redis.texts import encoded, text

__all__ = ["RedisStore"]

logger = get_logger("dlq.redis")

_advised: set[Server] = set()

LOOKED_AT = 10_000
"""Jobs that one script looks at at most when it searches: a server does nothing else meanwhile."""


class RedisStore(Store):
    """Jobs under one prefix of a server. Connections are kept per process, or per thread of the runtime."""

    def __init__(
        self,
        alias: str,
        server: Server,
        *,
        prefix: str = "dlq",
        durability: Durability = Durability.SERVER,
        max_results: int | None = None,
    ) -> None:
        """The store of the backend ``alias``."""
        self.alias = alias
        self.server = server
        self.tag = tag_of(prefix, alias)
        self._durability = durability
        self._max_results = max_results
        self._heard: bytes | None = None
        """The last hint that this object has read; None before the first."""

    def call(self, verb: str, now: datetime | None = None, *args: Any) -> Any:
        """Run the script of a verb.

        Raises StoreError.
        """
        wanted = script(verb)
        told = _told(now, args)
        with translated(self.server.name):
            run: Any = connection.client(self.server).execute_command
            try:
                return run("EVALSHA", wanted.digest, 1, self.tag, *told)
            except NoScriptError:
                return run("EVAL", wanted.text, 1, self.tag, *told)

    async def acall(self, verb: str, now: datetime | None = None, *args: Any) -> Any:
        """``call``, by a coroutine."""
        wanted = script(verb)
        told = _told(now, args)
        with translated(self.server.name):
            async with async_connection.client(self.server) as run:
                try:
                    return await run("EVALSHA", wanted.digest, 1, self.tag, *told)
                except NoScriptError:
                    return await run("EVAL", wanted.text, 1, self.tag, *told)

    # --- Clients ---

    @property
    def asynchronous(self) -> AsyncStore | None:
        return AsyncRedisStore(self)

    def enqueue(self, jobs: Sequence[NewJob], *, now: datetime | None = None) -> Enqueued:
        packed = self.packed(jobs)
        if self.is_durable(jobs):
            return self._enqueue_durably(jobs, [_at(now), *packed])
        return enqueued_of(self.call("enqueue", now, *packed))

    def packed(self, jobs: Sequence[NewJob]) -> list[Any]:
        """New jobs as ``enqueue.lua`` reads them.

        Raises StoreRefused.
        """
        with translated(self.server.name):
            packed = [part for job in jobs for part in (packed_head(job), packed_data(job))]
        return [int(any(job.unique for job in jobs)), *packed]

    def is_durable(self, jobs: Sequence[NewJob]) -> bool:
        """Whether an enqueue of these waits for the disk: what one of them needs holds for all."""
        return any((job.durability or self._durability) == Durability.AOF for job in jobs)

    def _enqueue_durably(self, jobs: Sequence[NewJob], told: list[Any]) -> Enqueued:
        with translated(self.server.name):
            reply, is_on_disk = run_durably(self.server, script("enqueue"), self.tag, told)
        if not is_on_disk:
            raise NotDurable(
                f"{self.server.name} has taken {len(jobs)} jobs, but has not said in time that they are on its disk.",
                [job.id for job in jobs],
            )
        return enqueued_of(reply)

    def get(self, ids: Collection[UUID]) -> list[JobRecord]:
        return list(records_of(self.call("get", None, 1, *(id.bytes for id in set(ids)))))

    # --- Workers ---

    def exchange(
        self,
        worker: WorkerRef,
        outcomes: Sequence[Outcome],
        queues: Sequence[str],
        limit: int,
        *,
        now: datetime | None = None,
    ) -> Exchanged:
        with translated(self.server.name):
            packed = map(packed_outcome, outcomes)
            told = (worker.id, worker.incarnation, limit, DATA_VERSION, len(queues), *queues, *packed)
        registered, stale, already, claims = self.call("exchange", now, *told)
        return Exchanged(
            claims=claims_of(claims), stale=_ids(stale), already=_ids(already), registered=bool(registered)
        )

    def waiting(self, *, now: datetime | None = None) -> list[str]:
        return _names(self.call("waiting", now))

    def reconcile(
        self, worker: WorkerRef, held: Collection[tuple[UUID, int]], *, now: datetime | None = None
    ) -> WorkerRef:
        incarnation = self.call("reconcile", now, worker.id, *(held_as(id, token) for id, token in held))
        if incarnation is None:
            raise RunnerUnknown(f"Worker {worker.id!r} is not registered; register it first.")
        return WorkerRef(worker.id, incarnation)

    def annotate(self, notes: Sequence[Note], *, now: datetime | None = None) -> list[UUID]:
        said = [part for note in notes for part in _said(note)]
        return _ids(self.call("annotate", now, LOG_LINES, *said))

    def unpark(self, tasks: Collection[Version], *, now: datetime | None = None) -> int:
        return int(self.call("unpark", now, *(f"{version}:{task}" for task, version in tasks)))

    def parked(self) -> list[Version]:
        said = (name.partition(":") for name in _names(self.call("parked")))
        return sorted((task, int(version)) for version, _, task in said)

    # --- Liveness ---

    def register_runner(self, runner: RunnerInfo, *, now: datetime | None = None) -> None:
        self.call("register_runner", now, runner.id, runner.host, runner.pid, runner.beat)
        if self.server not in _advised:
            _advised.add(self.server)  # Once in a process, and those that it forks.
            for each in self.advice():
                logger.warning("%s: %s. %s", self.server.name, each.text, each.remedy)

    def register_worker(self, worker: WorkerInfo, *, now: datetime | None = None) -> WorkerRef:
        said = {
            "incarnation": worker.incarnation,
            "pid": worker.pid,
            "queues": worker.queues,
            "slots": worker.slots,
            "kind": worker.kind,
        }
        orders = (worker.order, Order.WORK, worker.instructed, worker.heeded)
        flat = (part for pair in said.items() for part in pair)
        if not self.call("register_worker", now, worker.id, worker.runner, *orders, *flat):
            raise RunnerUnknown(f"Runner {worker.runner!r} is not registered; register it first.")
        return WorkerRef(worker.id, worker.incarnation)

    def unregister_worker(self, worker: str) -> None:
        self.call("unregister_worker", None, worker)

    def beat(self, runner: str, *, now: datetime | None = None) -> dict[str, int]:
        flat = iter(self.call("beat", now, runner))
        return {text(name): int(beat) for name, beat in zip(flat, flat, strict=True)}

    def retire(self, runner: str, beat: int | None = None) -> bool:
        return bool(self.call("retire", None, runner, b"" if beat is None else beat))

    def held(self, worker: str, limit: int) -> list[Claim]:
        return claims_of(self.call("held", None, worker, limit))

    def orphans(self, limit: int) -> list[Claim]:
        return claims_of(self.call("orphans", None, limit))

    # --- Hints ---

    def listen(self, timeout: float) -> frozenset[str] | None:
        """Wait until another process says that jobs have become ready: see ``Store.listen``.

        Scripts write to a short stream when a queue that was empty has something to give. Each listener reads it from
        where it was, so what is said between two calls is heard by the second.
        """
        wake = f"{self.tag}:wake"
        try:
            with translated(self.server.name):
                server: Any = connection.listener(self.server, timeout)
                if self._heard is None:
                    newest = server.xrevrange(wake, count=1)
                    self._heard = newest[0][0] if newest else b"0-0"
                told = server.xread({wake: self._heard}, block=max(1, round(timeout * 1000)))
        except StoreError:
            self._heard = None  # Another server may have taken over, with other numbers.
            raise
        entries = [entry for _, entries in told for entry in entries]
        if entries:
            self._heard = entries[-1][0]
        return frozenset(text(queue) for _, queues in entries for queue in queues)

    # --- Controls ---

    def pause(self, queue: str, until: datetime | None = None, *, now: datetime | None = None) -> None:
        self.call("pause", now, queue, b"" if until is None else ticks(until))

    def resume(self, queue: str) -> bool:
        return bool(self.call("resume", None, queue))

    def cancel(
        self,
        ids: Collection[UUID],
        reason: str,
        *,
        states: Collection[State] = CANCELLABLE,
        now: datetime | None = None,
    ) -> Cancelled:
        chosen = CANCELLABLE.intersection(states)
        done, asked = self.call(
            "cancel", now, reason, len(chosen), *map(int, chosen), *(id.bytes for id in ids)
        )
        return Cancelled(done=_ids(done), asked=_ids(asked))

    def retry(
        self,
        ids: Collection[UUID],
        *,
        edits: Mapping[UUID, Edit] | None = None,
        now: datetime | None = None,
    ) -> list[UUID]:
        edited = self._edited(edits) if edits else {}
        pairs = (part for id, data in edited.items() for part in (id.bytes, data))
        return _ids(self.call("retry", now, len(edited), *pairs, *(id.bytes for id in ids)))

    def _edited(self, edits: Mapping[UUID, Edit]) -> dict[UUID, bytes]:
        """The data of those of the jobs that exist, with their edits."""
        records = self.get(edits)
        with translated(self.server.name):
            return {record.id: edited_data(record, edits[record.id]) for record in records}

    def instruct(self, worker: str, order: Order) -> int | None:
        number: int | None = self.call("instruct", None, worker, b"" if order is Order.PING else order)
        return number

    def heed(self, worker: str, number: int) -> None:
        self.call("heed", None, worker, number)

    # --- Upkeep ---

    def look(self, runner: str, limit: int, *, now: datetime | None = None) -> Sight:
        promoted, expired, admitted, ready, paused, told, asked = self.call(
            "look", now, runner, limit, TALLIES_KEPT // timedelta(microseconds=1)
        )
        return Sight(
            promoted=promoted,
            expired=expired,
            admitted=admitted,
            ready=_names(ready),
            paused=_names(paused),
            instructions=sorted(
                (Instruction(text(worker), Order(text(order)), number) for worker, order, number in told),
                key=lambda instruction: instruction.worker,
            ),
            cancellations=[
                Cancellation(text(worker), UUID(bytes=id), token, text(reason))
                for worker, id, token, reason in asked
            ],
        )

    def admit(self, limit: int, *, now: datetime | None = None) -> int:
        return int(self.call("admit", now, limit))

    def prune(
        self,
        state: State,
        older_than: float | None,
        limit: int,
        *,
        task: str | None = None,
        now: datetime | None = None,
    ) -> int:
        age = b"" if older_than is None else ticks_in(older_than)
        counts = self._max_results is not None and state is State.SUCCEEDED and task is None
        most = self._max_results if counts else b""
        deleted, kept, ended = 0, 0, 0
        # Where few jobs are of the task, it takes several scripts to find them.
        while deleted < limit and (kept, ended) != (-1, -1):
            told = (int(state), age, limit - deleted, task or b"", LOOKED_AT, kept, ended, most)
            some, kept, ended = self.call("prune", now, *told)
            deleted += some
        return deleted

    def ping(self) -> None:
        with translated(self.server.name):
            facts = facts_of(self.server, self.tag)
        if version_of(facts) < OLDEST:
            raise StoreNotReady(
                f"{self.server.name} is Redis {facts['redis_version']}; dlq-redis needs Redis {OLDEST[0]}.{OLDEST[1]} "
                f"or newer, or Valkey."
            )
        if found := self.call("ping"):
            key, kind = map(text, found)
            raise StoreNotReady(f"{self.server.name} has a {kind} under the key {key}. {FOREIGN}")

    def advice(self) -> list[Advice]:
        """What the server's settings put at stake.

        Raises StoreError.
        """
        with translated(self.server.name):
            return list(advice(facts_of(self.server, self.tag)))

    def dedicate(self) -> None:
        with translated(self.server.name):
            connection.dedicate(self.server)

    def close(self) -> None:
        connection.release(self.server)


def _told(now: datetime | None, args: Sequence[Any]) -> list[Any]:
    return [_at(now), *(encoded(arg) if isinstance(arg, str) else arg for arg in args)]


def _at(now: datetime | None) -> bytes | int:
    return b"" if now is None else ticks(now)


def _ids(raw: Sequence[bytes]) -> list[UUID]:
    return [UUID(bytes=id) for id in raw]


def _names(raw: Sequence[bytes]) -> list[str]:
    return sorted(map(text, raw))


def _said(note: Note) -> list[Any]:
    said = {"progress": note.progress, "message": note.message, "metadata": note.metadata}
    flat = [part for name, value in said.items() if value is not None for part in (name, value)]
    return [note.id.bytes, note.token, len(flat), *flat, len(note.lines), *note.lines]
