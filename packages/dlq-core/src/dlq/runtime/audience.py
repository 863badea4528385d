"""``Audience``: those who are told how an attempt goes: the receivers of Django's signals, and the middleware."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.dispatch import Signal
from django.tasks.base import Task as DjangoTask
from django.tasks.signals import log_task_finished, log_task_started, task_finished, task_started
from django.tasks.signals import logger as django_logger

from dlq.errors import TaskTimeout
from dlq.job import Claim, Outcome
from dlq.logs import get_logger
from dlq.middleware import MiddlewareJob, chain, worker_number
from dlq.result import TaskResult
from dlq.states import FINISHED
from dlq.tracing import Ending

__all__ = ["Audience"]

logger = get_logger("dlq.job")

DJANGO = {log_task_started, log_task_finished}
"""Django's own receivers: they only log, and may be called anywhere."""


class Audience:
    """Tells of one attempt. Whatever those who listen raise is logged, and changes nothing."""

    __slots__ = ("_claim", "_result", "_sender", "_task", "ended")

    def __init__(
        self,
        claim: Claim,
        task: DjangoTask[..., Any],
        result: Callable[[], TaskResult[..., Any]],
        sender: type,
    ) -> None:
        """``result`` makes what receivers get; ``sender`` is that of the signals: the backend's class."""
        self._claim = claim
        self._task = task
        self._result = result
        self._sender = sender
        self.ended: Ending | None = None
        """Is told first, in the context of the attempt: the others may be told in a thread."""

    def hears(self, signal: Signal) -> bool:
        """Whether anybody would notice this signal of an attempt that has not raised."""
        return self._is_needed(signal) or django_logger.isEnabledFor(logging.INFO)

    def started(self) -> None:
        """The attempt begins."""
        if self.hears(task_started):
            self._tell(self._started)

    async def astarted(self) -> None:
        """``started`` on an event loop."""
        if self.hears(task_started):
            await self._atell(task_started, self._started)

    def finished(self, outcome: Outcome, exception: BaseException | None = None) -> None:
        """The attempt has ended like this. To be called while the exception is handled."""
        self._tell_ended(outcome, exception)
        if exception is not None or self.hears(task_finished):
            self._tell(partial(self._finished, outcome, exception))

    async def afinished(self, outcome: Outcome, exception: BaseException | None = None) -> None:
        """``finished`` on an event loop."""
        self._tell_ended(outcome, exception)
        if exception is not None or self.hears(task_finished):
            await self._atell(task_finished, partial(self._finished, outcome, exception))

    def _tell_ended(self, outcome: Outcome, exception: BaseException | None) -> None:
        if self.ended is not None:
            self._tell(partial(self.ended, outcome, exception))

    def _started(self) -> None:
        task_started.send_robust(self._sender, task_result=self._result())
        if hooks := chain():
            hooks.started(self._job(), self._claim.queue, worker_number(self._claim.worker))

    def _finished(self, outcome: Outcome, exception: BaseException | None) -> None:
        if outcome.state in FINISHED:
            task_finished.send_robust(self._sender, task_result=self._result())
        if not (hooks := chain()):
            return
        job = self._job()
        if exception is None:
            hooks.succeeded(job, self._result().return_value, outcome.seconds)
            return
        if isinstance(exception, TaskTimeout):
            hooks.timed_out(job, outcome.seconds, exception)
        hooks.raised(job, outcome.seconds, exception)
        if outcome.state not in FINISHED:
            hooks.retried(job, outcome.seconds, exception, outcome.delay)

    def _job(self) -> MiddlewareJob:
        claim, result = self._claim, self._result()
        return MiddlewareJob(
            result.id, self._task, result.args, result.kwargs, claim.enqueued_at, claim.attempts + 1
        )

    def _tell(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except BaseException:
            # send_robust lets SystemExit and its like through; who listens to a job must not end it.
            logger.exception("A receiver of a signal about job %s raised.", self._claim.id)

    async def _atell(self, signal: Signal, tell: Callable[[], None]) -> None:
        """Tell in the thread in which Django allows database access, unless nobody is there who needs that."""
        if not self._is_needed(signal):
            self._tell(tell)
            return
        # A cancellation of the task's own that has not struck yet must not strike here.
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        await sync_to_async(self._tell)(tell)

    def _is_needed(self, signal: Signal) -> bool:
        """Whether anybody is there but Django's own receivers."""
        try:
            return bool(chain()) or _has_others(signal, self._sender)
        except BaseException:
            return True  # Telling them logs what is wrong.


_answers: dict[tuple[Signal, type], tuple[list[Any], bool]] = {}
"""By signal and sender: the receivers as they were, and whether there were others than Django's own."""


def _has_others(signal: Signal, sender: type) -> bool:
    """To look through the receivers takes long, and they hardly ever change."""
    receivers, answer = _answers.get((signal, sender), (None, True))
    if receivers != signal.receivers:
        receivers = list(signal.receivers)
        functions, coroutines = signal._live_receivers(sender)
        answer = bool(coroutines) or not DJANGO.issuperset(functions)
        _answers[signal, sender] = receivers, answer
    return answer
