"""The backend under test, with what Django's tests ask of its own Dummy and Immediate backends on top."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections
from django.utils.module_loading import import_string

from dlq import QueueBackend, TaskResult
from dlq.backend import Call
from dlq.store import JobFilter

BACKEND = "dlq_db.backends.DatabaseBackend"


class KeepingBackend(import_string(BACKEND)):
    """Keeps jobs that nobody runs, and can show and forget them, as Dummy does."""

    @property
    def results(self) -> list[TaskResult[..., Any]]:
        return outside_of_coroutines(self._results)

    def get_result(self, result_id: str) -> TaskResult[..., Any]:
        return outside_of_coroutines(lambda: super(KeepingBackend, self).get_result(result_id))

    def clear(self) -> None:
        from dlq_db.models import Attempt, Job, Live

        for model in (Attempt, Live, Job):
            model.objects.using(self.store.database).all().delete()

    def _results(self) -> list[TaskResult[..., Any]]:
        newest_first = self.inspector.jobs(JobFilter(), limit=100)
        return [super(KeepingBackend, self).get_result(str(job.id)) for job in reversed(newest_first)]


class RunningBackend(import_string(BACKEND)):
    """Runs jobs as a worker does before an enqueue returns, as Immediate does in a way of its own."""

    def enqueue_all(self, calls: Iterable[Call]) -> list[TaskResult[..., Any]]:
        results = super().enqueue_all(calls)
        run_waiting_jobs(self)
        for result in results:
            result.refresh()
        return results


def run_waiting_jobs(backend: QueueBackend) -> int:
    from dlq.testing import run_jobs

    return run_jobs(backend.alias)


def outside_of_coroutines[T](call: Callable[[], T]) -> T:
    """Django's tests call blocking methods from coroutines, where Django's databases refuse to work."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return call()
    with ThreadPoolExecutor(1) as elsewhere:
        try:
            return elsewhere.submit(call).result()
        finally:
            elsewhere.submit(connections.close_all).result()
