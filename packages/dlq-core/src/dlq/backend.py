"""``QueueBackend``: the client side of every backend. A storage package only names its store."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core import checks
from django.tasks import task_backends
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import Task as DjangoTask
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.utils import timezone

from dlq import payload
from dlq.asynchronous import sync_code_waits
from dlq.conf import BackendOptions, Delivery
from dlq.errors import ConfigError, TaskRefused, UnknownTask
from dlq.ids import new_job_id
from dlq.job import NewJob
from dlq.limits import limits_for
from dlq.on_commit import open_transaction, why_missing
from dlq.overrides import overrides_of
from dlq.result import TaskResult, imported_task, result_of
from dlq.selectors import QUEUE_NAMES, broadcast_queue, is_queue_name
from dlq.sending import Prepared, Sending
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.store.instrumented import InstrumentedStore
from dlq.store.memory import MemoryInspector, MemorySchedules, MemoryStore
from dlq.store.schedules import Schedules
from dlq.task import Task
from dlq.unique import unique_for

__all__ = ["Call", "MemoryBackend", "QueueBackend", "queue_backend"]

LONGEST_PATH = 255
"""Characters of a task's dotted path that every store can hold."""

type Call = tuple[DjangoTask[..., Any], Sequence[Any], Mapping[str, Any]]
"""A task with the positional and keyword arguments of one job."""


class QueueBackend(Sending, BaseTaskBackend):
    """Validates, serialises and stores jobs, and reads their results.

    A storage package derives from it and says which store, inspector and options class it has.
    """

    task_class = Task
    options_class: ClassVar[type[BackendOptions]] = BackendOptions

    durabilities: ClassVar[Collection[str] | None] = ()
    """The words that a task's ``durability`` may be on this backend; None takes any."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        """Called by Django for every thread: cheap, and never raises for wrong options; ``check`` names them."""
        # Django's own default allows the queue "default" alone, and would refuse queue="email".
        super().__init__(alias, {"QUEUES": [], **params})

    # --- What a storage package provides ---

    @abstractmethod
    def make_store(self) -> Store:
        """The store of this backend."""

    @abstractmethod
    def make_inspector(self) -> Inspector:
        """Reads the same store."""

    def make_schedules(self) -> Schedules:
        """The schedules that fire into the same store.

        Raises ConfigError when its package keeps none.
        """
        raise ConfigError(
            f"The backend {self.alias!r} is a {type(self).__qualname__}, which keeps no schedules."
        )

    # --- The parts ---

    @cached_property
    def config(self) -> Any:
        """The checked ``OPTIONS``, an instance of ``options_class``.

        Raises ConfigError.
        """
        try:
            return self.options_class.parse(self.options)
        except ConfigError as error:
            raise ConfigError(f'TASKS["{self.alias}"]: {error}') from None

    @property
    def may_repeat(self) -> bool:
        """Whether a job that had begun may begin again without having raised: see ``conf.Delivery``."""
        return self.config.delivery is Delivery.AT_LEAST_ONCE

    @cached_property
    def store(self) -> InstrumentedStore:
        """The store behind its one door."""
        return InstrumentedStore(self.make_store())

    @cached_property
    def inspector(self) -> Inspector:
        """Lists and counts what is in the store."""
        return self.make_inspector()

    @cached_property
    def schedules(self) -> Schedules:
        """What fires into the store again and again.

        Raises ConfigError when its package keeps no schedules.
        """
        return self.make_schedules()

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Django's system checks for this alias."""
        try:
            _ = self.config
        except ConfigError as error:
            return [
                checks.Error(
                    str(error), hint="See the reference of OPTIONS in the documentation.", id="dlq.E002"
                )
            ]
        return []

    # --- Enqueue ---

    def enqueue(  # type: ignore[override]  # what comes back is more than the stubs promise, and less generic
        self, task: DjangoTask[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> TaskResult[..., Any]:
        """Enqueue one job. See ``enqueue_all``."""
        return self.enqueue_all([(task, args, kwargs)])[0]

    def enqueue_all(self, calls: Iterable[Call]) -> list[TaskResult[..., Any]]:
        """Enqueue jobs of any tasks, all of them or none; returns their results in the same order.

        On the database that holds the jobs, they are part of the caller's open transaction. Inside a
        transaction elsewhere they are sent when it commits, unless ``enqueue_on_commit`` says otherwise;
        their ids are known at once. They go to this backend, whatever backend their tasks name.

        Raises EnqueueError; nothing is stored then.
        """
        prepared = [self._prepare(*call) for call in calls]
        self._dispatch(self._by_transaction(prepared))
        return [result for _, result in prepared]

    async def aenqueue(  # type: ignore[override]
        self, task: DjangoTask[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> TaskResult[..., Any]:
        """``enqueue`` for coroutines. See ``aenqueue_all``."""
        return (await self.aenqueue_all([(task, args, kwargs)]))[0]

    async def aenqueue_all(self, calls: Iterable[Call]) -> list[TaskResult[..., Any]]:
        """``enqueue_all`` for coroutines.

        No thread is needed where the store can be asked by coroutines; but receivers of ``task_enqueued`` and
        middleware are called in the thread of the site's sync code, where there are any.
        """
        store = None if sync_code_waits() else self.store.asynchronous
        if store is None:
            return await sync_to_async(self.enqueue_all, thread_sensitive=True)(calls)
        prepared = [self._prepare(*call) for call in calls]
        await self._adispatch(store, self._by_transaction(prepared))
        return [result for _, result in prepared]

    def new_job(self, task: DjangoTask[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> NewJob:
        """What an enqueue would give to the store, for those who get it there by other means.

        Raises EnqueueError.
        """
        return self._prepare(task, args, kwargs)[0]

    def enqueue_for_runners(
        self,
        task: DjangoTask[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        runners: Sequence[str],
    ) -> list[TaskResult[..., Any]]:
        """Enqueue a job for each of these runners, which that runner alone will run. See ``dlq.broadcast``.

        Raises EnqueueError; nothing is stored then.
        """
        prepared = [self._prepare(task, args, kwargs) for _ in runners]
        addressed = [
            # One is enough for each runner, not for all of them.
            (replace(job, queue=broadcast_queue(runner), unique=None), result)
            for runner, (job, result) in zip(runners, prepared, strict=True)
        ]
        self._dispatch(self._by_transaction(addressed))
        return [result for _, result in addressed]

    def enqueue_on_commit(
        self, task: DjangoTask[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> TaskResult[..., Any]:
        """Enqueue one job when the open transaction commits, also where the job could be part of it.

        Raises EnqueueError; the commit raises it when the store refuses the job.
        """
        prepared = self._prepare(task, args, kwargs)
        self._dispatch({open_transaction(self.store.database): [prepared]})
        return prepared[1]

    def prepare(self, task: DjangoTask[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> NewJob:
        """The job that ``enqueue`` would store, for those who store it in other ways.

        Raises EnqueueError.
        """
        return self._prepare(task, args, kwargs)[0]

    def _prepare(
        self, task: DjangoTask[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Prepared:
        self._refuse_invalid(task)
        if task.backend != self.alias:
            task = task.using(backend=self.alias)  # So that its result is looked for here.
        declared = _declared(task)
        metadata = task.metadata if isinstance(task, Task) else None
        text, args, kwargs = payload.encode(args, kwargs, limit=self.config.max_payload)
        job = NewJob(
            id=new_job_id(),
            task=task.module_path,
            queue=task.queue_name,
            priority=int(task.priority),  # Django lets 3.0 and True pass
            payload=text,
            run_after=_aware(task.run_after),
            max_attempts=(task.max_attempts if isinstance(task, Task) else None) or 1,
            max_interruptions=self.config.max_interruptions,
            overrides=overrides_of(task, declared),
            expires_after=task.expires_after if isinstance(task, Task) else None,
            metadata=None if metadata is None else payload.encode_value(metadata),
            limits=limits_for(task, args, kwargs) if isinstance(task, Task) else None,
            durability=task.durability if isinstance(task, Task) else None,
            unique=unique_for(task, args, kwargs) if isinstance(task, Task) else None,
        )
        result: TaskResult[..., Any] = TaskResult(
            task=task,
            id=str(job.id),
            status=State.READY.status,
            enqueued_at=None,
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=args,
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
            metadata=payload.decode_value(job.metadata) or {},
        )
        return job, result

    def validate_task(self, task: DjangoTask[..., Any]) -> None:
        """Check the options of a task, when it is made.

        Raises InvalidTask.
        """
        super().validate_task(task)
        wanted = task.durability if isinstance(task, Task) else None
        if wanted is not None and self.durabilities is not None and wanted not in self.durabilities:
            words = ", ".join(map(repr, map(str, self.durabilities)))
            raise InvalidTask(
                f"durability={wanted!r} must be left out, or be one of those that the backend knows: {words or 'none'}."
            )

    def _refuse_invalid(self, task: DjangoTask[..., Any]) -> None:
        try:
            self.validate_task(task)
        except InvalidTask as error:
            raise TaskRefused(f"{error} (task {task.module_path}, backend {self.alias!r})") from error
        if not is_queue_name(task.queue_name):
            raise TaskRefused(f"{task.module_path}: queue_name={task.queue_name!r} must be {QUEUE_NAMES}.")
        if len(task.module_path) > LONGEST_PATH:
            raise TaskRefused(f"The path {task.module_path!r} is longer than {LONGEST_PATH} characters.")

    # --- Results ---

    def get_result(self, result_id: str) -> TaskResult[..., Any]:
        """The result of one job.

        Raises TaskResultDoesNotExist when there is no such job, or not yet because it is sent on commit.
        """
        found = self.get_results([result_id])
        if not found:
            raise TaskResultDoesNotExist(why_missing(result_id))
        return found[0]

    async def aget_result(self, result_id: str) -> TaskResult[..., Any]:
        """``get_result`` for coroutines: without a thread where the store can be asked by them."""
        store = None if sync_code_waits() else self.store.asynchronous
        if store is None:
            return await sync_to_async(self.get_result, thread_sensitive=True)(result_id)
        id = _parse_id(result_id)
        records = [] if id is None else await store.get([id])
        if not records:
            raise TaskResultDoesNotExist(why_missing(result_id))
        return self._result(records[0])

    def get_results(self, result_ids: Collection[str]) -> list[TaskResult[..., Any]]:
        """The results of those jobs that exist, in the order of the ids given.

        Raises TaskResultDoesNotExist when the task of one of them cannot be imported here.
        """
        ids = [id for id in map(_parse_id, result_ids) if id is not None]
        records = {record.id: record for record in self.store.get(ids)}
        return [self._result(records[id]) for id in ids if id in records]

    def _result(self, record: Any) -> TaskResult[..., Any]:
        try:
            return result_of(record, self.alias)
        except UnknownTask as error:
            raise TaskResultDoesNotExist(
                f"The job {record.id} exists, but its task does not: {error}"
            ) from error


def queue_backend(alias: str = "default") -> QueueBackend:
    """The backend of DLQ behind an alias of ``TASKS``.

    Raises ConfigError when the alias has a backend of another kind, InvalidTaskBackend when it has none.
    """
    backend = task_backends[alias]
    if not isinstance(backend, QueueBackend):
        raise ConfigError(f"TASKS[{alias!r}] is a {type(backend).__qualname__}, not a backend of DLQ.")
    return backend


def _parse_id(result_id: str) -> UUID | None:
    try:
        return UUID(str(result_id))
    except ValueError:
        return None


def _aware(moment: datetime | None) -> datetime | None:
    """Where ``USE_TZ`` is off, times are naive and mean the site's time zone."""
    if moment is None or timezone.is_aware(moment):
        return moment
    return timezone.make_aware(moment, timezone.get_default_timezone())


def _declared(task: DjangoTask[..., Any]) -> DjangoTask[..., Any]:
    """The task that workers will find under the same path.

    Raises TaskRefused when they would find something else: the job could never run.
    """
    path = task.module_path
    try:
        if task.func.__module__ == "__main__":
            raise UnknownTask(f"The task {path!r} lives in a script or shell, which workers cannot import.")
        declared = imported_task(path)
    except UnknownTask as error:
        raise TaskRefused(f"{error} Define it at the top level of a module that workers import.") from None
    if declared.func is not task.func:
        raise TaskRefused(
            f"{path!r} names another task than the one enqueued. Give each task of a module a name of its own."
        )
    return declared


_memory_stores: dict[str, MemoryStore] = {}


class MemoryBackend(QueueBackend):
    """Jobs in the memory of this process, for tests: nothing survives it, and no other process sees them."""

    durabilities = None  # It stands in for backends that have some.
    stores: ClassVar[dict[str, MemoryStore]] = _memory_stores
    """The stores of this class by alias."""

    def make_store(self) -> MemoryStore:
        """The store of this alias, shared by the threads of the process."""
        return self.stores.setdefault(self.alias, MemoryStore(self.alias))

    def make_inspector(self) -> MemoryInspector:
        """Reads the same store."""
        return MemoryInspector(self.make_store())

    def make_schedules(self) -> MemorySchedules:
        """Fires into the same store."""
        return MemorySchedules(self.make_store())
