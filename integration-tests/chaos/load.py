"""``Load``: jobs of every kind, enqueued without a pause, and a list of those that were accepted."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connections
from django.tasks.base import Task

from dlq.errors import EnqueueError, StoreError
from dlq.states import State
from project import chaotic
from sites import Site

__all__ = ["Accepted", "Load"]

EVERY = 0.1


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job of which the store said that it has it."""

    id: UUID
    at: float
    """When, by the monotonic clock."""
    ends: State
    """How it ends unless its worker is lost."""
    attempts: int
    """How many attempts that takes."""


@dataclass(frozen=True, slots=True)
class _Kind:
    task: Task[..., Any]
    arguments: Callable[[random.Random], tuple[Any, ...]] = lambda dice: ()
    ends: State = State.SUCCEEDED
    attempts: int = 1


KINDS = [
    _Kind(chaotic.step, lambda dice: (round(dice.uniform(0.0, 0.05), 3),)),
    _Kind(chaotic.step, lambda dice: (round(dice.uniform(0.1, 0.6), 3),)),
    _Kind(chaotic.step.using(priority=50), lambda dice: (0.01,)),
    _Kind(chaotic.step.using(run_after=timedelta(seconds=0.5)), lambda dice: (0.01,)),
    _Kind(chaotic.pause.using(queue_name="loop"), lambda dice: (round(dice.uniform(0.0, 0.3), 3),)),
    _Kind(chaotic.tell, lambda dice: (dice.randrange(1, 10),)),
    _Kind(chaotic.falter, attempts=3),
    _Kind(chaotic.fail, ends=State.FAILED),
]


class Load:
    """Enqueues from a thread of its own, straight to the store, while ``most`` jobs at most are unfinished."""

    def __init__(
        self, site: Site, seed: int, *, per_second: float, unfinished: Callable[[int], int], most: int
    ):
        """``unfinished`` is told how many were accepted, and says how many of these have not ended."""
        self.accepted: list[Accepted] = []
        self.refused = 0
        """How many batches the store did not take, or did not say so."""
        self._site = site
        self._dice = random.Random(seed)
        self._batch = max(1, round(per_second * EVERY))
        self._unfinished = unfinished
        self._most = most
        self._stop = threading.Event()
        self.defect: BaseException | None = None
        """What has ended it before its time."""

    def accepted_since(self, at: float) -> set[UUID]:
        """The jobs that were accepted after this monotonic time."""
        return {job.id for job in reversed(self.accepted) if job.at >= at}

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Enqueue as long as the context lasts."""
        thread = threading.Thread(target=self._feed, name="load")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
        if self.defect is not None:
            raise self.defect

    def _feed(self) -> None:
        try:
            while not self._stop.wait(EVERY):
                if self._unfinished(len(self.accepted)) < self._most:
                    self._enqueue(self._dice.choices(KINDS, k=self._batch))
        except BaseException as defect:
            self.defect = defect
        finally:
            connections[self._site.alias].close()

    def _enqueue(self, kinds: list[_Kind]) -> None:
        calls = [(kind.task, kind.arguments(self._dice), {}) for kind in kinds]
        try:
            results = self._site.backend.enqueue_all(calls)
        except (EnqueueError, StoreError):
            self.refused += 1
            connections[self._site.alias].close()
            return
        now = time.monotonic()
        self.accepted += [
            Accepted(UUID(result.id), now, kind.ends, kind.attempts)
            for result, kind in zip(results, kinds, strict=True)
        ]
