"""``ScheduleContract``: what ``Schedules`` of every store promise, and its races."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import pytest

from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.store.schedules import Advance, ScheduleRecord, Schedules
from dlq.testing.contract.builders import NOON, MakeStore, after
from dlq.testing.contract.concurrency import together
from dlq.testing.contract.declaring import Declaring
from dlq.testing.contract.firing import Firing
from dlq.testing.contract.schedule_builders import MakeSchedules, advance, fire, job_of, put, schedule

__all__ = ["MakeSchedules", "ScheduleContract"]


class ScheduleContract(Declaring, Firing):
    """What the schedules of every store promise. A store package derives from it and gives four fixtures:
    ``make_store``, ``store`` and ``inspector`` as for ``StoreContract``, and ``make_schedules``, which returns a
    function from a Store object to the Schedules object that fires into it, for the same thread.
    """

    rounds: ClassVar[int] = 5
    """How often a race is run."""
    schedulers: ClassVar[int] = 3

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """As for ``StoreContract``."""
        raise NotImplementedError("A subclass of ScheduleContract provides the fixture make_store.")

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        """An empty store, used in the test's own thread."""
        return make_store()

    @pytest.fixture
    def inspector(self) -> Inspector:
        """As for ``StoreContract``."""
        raise NotImplementedError("A subclass of ScheduleContract provides the fixture inspector.")

    @pytest.fixture
    def make_schedules(self) -> MakeSchedules:
        """Makes the Schedules object beside a Store object."""
        raise NotImplementedError("A subclass of ScheduleContract provides the fixture make_schedules.")

    @pytest.fixture
    def schedules(self, store: Store, make_schedules: MakeSchedules) -> Schedules:
        """The schedules that fire into ``store``."""
        return make_schedules(store)

    def test_schedulers_that_fire_the_same_moment_fire_each_due_time_once(
        self, store: Store, schedules: Schedules, make_store: MakeStore, make_schedules: MakeSchedules
    ) -> None:
        keys = [f"k{n}" for n in range(20)]
        put(schedules, *map(schedule, keys), due=0)
        last = 20 * self.rounds

        def work(own: Store) -> list[UUID]:
            mine, enqueued = make_schedules(own), list[UUID]()
            while due := mine.due(7, now=after(last)).schedules:
                enqueued += mine.advance(_all_due(due, last), now=after(last)).jobs
            return enqueued

        answers = together(make_store, *([work] * self.schedulers))
        assert _due_times(schedules) == Counter(
            {(key, after(at)): 1 for key in keys for at in range(0, last + 1, 20)}
        )
        enqueued = [id for answer in answers for id in answer]
        assert len(enqueued) == len(set(enqueued)) == len(keys) * (self.rounds + 1)
        assert {r.id for n in range(0, len(enqueued), 100) for r in store.get(enqueued[n : n + 100])} == set(
            enqueued
        )

    def test_a_schedule_that_is_changed_while_it_fires_is_changed_before_or_after(
        self, store: Store, schedules: Schedules, make_store: MakeStore, make_schedules: MakeSchedules
    ) -> None:
        for number in range(self.rounds):
            (found,) = put(schedules, schedule(f"k{number}"))
            fired = fire(10)
            moved, disabled = together(
                make_store,
                _advancing(make_schedules, advance(found, fired)),
                _disabling(make_schedules, found),
            )
            (left,) = schedules.get([found.key])
            assert (disabled, left.enabled, left.due_at) == ([found.key], False, None)
            assert len(store.get([job_of(fired).id])) == len(moved) == left.fires


def _advancing(make_schedules: MakeSchedules, wanted: Advance) -> Callable[[Store], list[str]]:
    return lambda store: make_schedules(store).advance([wanted], now=after(10)).keys


def _disabling(make_schedules: MakeSchedules, found: ScheduleRecord) -> Callable[[Store], list[str]]:
    return lambda store: make_schedules(store).disable([found.key])


def _all_due(found: Sequence[ScheduleRecord], last: float) -> list[Advance]:
    """A fire of each one's due time, with another due time twenty seconds later."""
    advances = []
    for each in found:
        assert each.due_at is not None
        at = (each.due_at - NOON).total_seconds()
        advances.append(advance(each, fire(at), to=at + 20 if at < last else None))
    return advances


def _due_times(schedules: Schedules) -> Counter[tuple[str, datetime]]:
    return Counter((f.key, f.due_at) for f in schedules.history(10_000))
