"""``Schedules``: what fires, once; who may change what; what is kept of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest

from dlq.errors import StoreRefused
from dlq.job import NewJob
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.store.schedules import (
    Advance,
    Fire,
    Fired,
    FireRecord,
    Proposal,
    Schedule,
    ScheduleRecord,
    Schedules,
)
from dlq.store.tallies import Total
from dlq.testing.contract.builders import NOON, MakeStore, after, new_job, record
from dlq.testing.contract.concurrency import together

__all__ = ["ScheduleContract"]

type MakeSchedules = Callable[[Store], Schedules]

EVERYTHING: dict[str, Any] = {
    "queue": "reports",
    "payload": '[[1,"\\u00e9 \\u2603"],{"big":12345678901234567890}]',
    "priority": -7,
    "max_attempts": 4,
    "max_interruptions": 3,
    "overrides": '{"timeout": 2.5}',
    "expires_after": 30.5,
    "metadata": '{"tenant": "é"}',
    "words": "at 03:00",
    "description": "Every night.",
}


def schedule(key: str = "nightly", **fields: Any) -> Schedule:
    """A schedule that differs from a plain one in these fields."""
    plain: dict[str, Any] = {
        "task": "shop.tasks.send",
        "queue": "default",
        "payload": "[[],{}]",
        "rule": "r1",
    }
    return Schedule(key=key, **(plain | fields))


def put(
    schedules: Schedules, *some: Schedule, due: float | None = 10, now: datetime = NOON
) -> list[ScheduleRecord]:
    """Put schedules that are all due so many seconds after noon, and read them."""
    due_at = None if due is None else after(due)
    refused = schedules.put([Proposal(schedule=s, due_at=due_at, look_at=due_at) for s in some], now=now)
    assert refused == []
    found = {r.key: r for r in schedules.get([s.key for s in some])}
    return [found[s.key] for s in some]


def due_keys(schedules: Schedules, at: float) -> list[str]:
    """The schedules that are to be looked at so many seconds after noon."""
    return [r.key for r in schedules.due(100, now=after(at)).schedules]


def fire(at: float, **fields: Any) -> Fire:
    """A job for the due time so many seconds after noon."""
    return Fire(due_at=after(at), outcome=Fired.ENQUEUED, job=new_job(**fields))


def advance(found: ScheduleRecord, *fires: Fire, to: float | None = 70) -> Advance:
    """Fire, and be due again so many seconds after noon."""
    at = None if to is None else after(to)
    return Advance(key=found.key, revision=found.revision, due_at=at, look_at=at, fires=fires)


def job_of(fired: Fire) -> NewJob:
    """The job that a fire is to enqueue."""
    assert fired.job is not None
    return fired.job


class ScheduleContract:
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

    # --- Putting ---

    def test_what_is_put_is_what_is_read(self, schedules: Schedules) -> None:
        new = schedule(**EVERYTHING)
        schedules.put([Proposal(schedule=new, due_at=after(10), look_at=after(12.5))], now=NOON)
        (found,) = schedules.get(["nightly", "unknown"])
        assert found == ScheduleRecord(
            schedule=new,
            revision=found.revision,
            due_at=after(10),
            look_at=after(12.5),
            enabled=True,
            orphaned=False,
            declared_at=NOON,
        )

    def test_putting_the_same_again_only_declares_it(self, schedules: Schedules) -> None:
        (before,) = put(schedules, schedule())
        (again,) = put(schedules, schedule(), due=99, now=after(5))
        assert again == replace(before, declared_at=after(5))

    def test_another_rule_begins_anew(self, schedules: Schedules) -> None:
        (before,) = put(schedules, schedule())
        schedules.advance([advance(before, fire(10))], now=after(10))
        (found,) = put(schedules, schedule(rule="r2"), due=500)
        assert (found.due_at, found.look_at, found.fires, found.last_due_at) == (
            after(500),
            after(500),
            0,
            None,
        )
        assert found.revision != before.revision

    def test_other_arguments_keep_the_times_and_what_has_happened(self, schedules: Schedules) -> None:
        (before,) = put(schedules, schedule())
        fired = fire(10)
        schedules.advance([advance(before, fired)], now=after(10))
        (found,) = put(schedules, schedule(payload="[[1],{}]", description="new"), due=500)
        assert (found.due_at, found.fires, found.last_job) == (after(70), 1, job_of(fired).id)
        assert found.schedule.payload == "[[1],{}]"
        assert schedules.advance([advance(before)], now=after(10)).keys == []

    def test_a_key_belongs_to_the_kind_of_schedule_that_had_it_first(self, schedules: Schedules) -> None:
        put(schedules, schedule("a", static=True), schedule("b"))
        asked = [schedule("a"), schedule("b", static=True), schedule("c")]
        refused = schedules.put([Proposal(schedule=s, due_at=None, look_at=None) for s in asked], now=NOON)
        assert sorted(refused) == ["a", "b"]
        assert {r.key: r.schedule.static for r in schedules.listed(10)} == {"a": True, "b": False, "c": False}

    def test_what_is_put_together_is_stored_together_or_not_at_all(self, schedules: Schedules) -> None:
        proposals = [
            Proposal(schedule=schedule(key, payload=text), due_at=None, look_at=None)
            for key, text in (("good", "[[],{}]"), ("bad", "\ud800"))
        ]
        try:
            schedules.put(proposals, now=NOON)
        except StoreRefused:
            assert schedules.listed(10) == []
        else:  # There are stores that hold any text.
            assert len(schedules.listed(10)) == 2

    def test_pages_of_the_list_follow_each_other(self, schedules: Schedules) -> None:
        put(schedules, *(schedule(f"k{n}", static=n == 3) for n in (3, 1, 2)))
        first = schedules.listed(2)
        assert [r.key for r in first] == ["k1", "k2"]
        assert [r.key for r in schedules.listed(2, after=first[-1].key)] == ["k3"]
        assert [r.key for r in schedules.listed(9, static=True)] == ["k3"]
        assert [r.key for r in schedules.listed(9, static=False)] == ["k1", "k2"]

    def test_backends_have_schedules_of_their_own(
        self, schedules: Schedules, make_store: MakeStore, make_schedules: MakeSchedules
    ) -> None:
        other = make_schedules(make_store(alias="other"))
        (mine,) = put(schedules, schedule())
        (theirs,) = put(other, schedule(rule="r9"))
        other.advance([advance(theirs, fire(10))], now=after(10))
        other.disable(["nightly"])
        assert schedules.get(["nightly"]) == [mine]
        assert schedules.history(10) == []
        assert other.prune(0, 10, now=after(20)) == 1
        assert schedules.remove(["nightly"]) == ["nightly"]
        assert [r.key for r in other.listed(10)] == ["nightly"]

    # --- What is due ---

    def test_what_is_due_comes_in_the_order_of_its_time(self, schedules: Schedules) -> None:
        for key, due in (("b", 5), ("a", 5), ("c", 1), ("later", 50), ("never", None)):
            put(schedules, schedule(key), due=due)
        seen = schedules.due(10, now=after(5))
        assert [r.key for r in seen.schedules] == ["c", "a", "b"]
        assert (seen.now, seen.next_at) == (after(5), None)

    def test_pages_of_what_is_due_follow_each_other(self, schedules: Schedules) -> None:
        for key, due in (("b", 5), ("a", 5), ("c", 1)):
            put(schedules, schedule(key), due=due)
        page = schedules.due(2, now=after(9)).schedules
        assert [r.key for r in page] == ["c", "a"]
        place = (after(5), "a")
        assert [r.key for r in schedules.due(2, after=place, now=after(9)).schedules] == ["b"]

    @pytest.mark.parametrize(("due", "next_at"), [(50, 50), (None, None)])
    def test_when_nothing_is_due_it_is_told_when_to_look_next(
        self, schedules: Schedules, due: float | None, next_at: float | None
    ) -> None:
        put(schedules, schedule(), due=due)
        seen = schedules.due(10, now=after(49.999))
        assert seen.schedules == []
        assert seen.next_at == (None if next_at is None else after(next_at))

    def test_without_a_time_given_the_stores_own_clock_counts(
        self, store: Store, schedules: Schedules
    ) -> None:
        now = store.enqueue([])
        assert now <= schedules.clock() <= now + timedelta(minutes=5)
        for key, due_at in (("past", now - timedelta(days=1)), ("future", now + timedelta(days=1))):
            schedules.put([Proposal(schedule=schedule(key), due_at=due_at, look_at=due_at)])
        seen = schedules.due(10)
        assert [r.key for r in seen.schedules] == ["past"]
        assert now <= seen.now <= now + timedelta(minutes=5)
        done = schedules.advance([advance(seen.schedules[0])])
        assert now <= done.at <= now + timedelta(minutes=5)

    # --- Firing ---

    def test_a_fire_moves_the_schedule_and_enqueues_its_job(self, store: Store, schedules: Schedules) -> None:
        (found,) = put(schedules, schedule())
        fired = fire(10)
        done = schedules.advance([advance(found, fired)], now=after(11))
        job = job_of(fired)
        assert (done.at, done.keys, done.jobs) == (after(11), ["nightly"], [job.id])
        assert record(store, job.id).state is State.READY
        (moved,) = schedules.get(["nightly"])
        assert (moved.due_at, moved.fires, moved.last_due_at, moved.last_job) == (
            *(after(70), 1, after(10)),
            job.id,
        )
        assert schedules.history(10) == [
            FireRecord(key="nightly", due_at=after(10), at=after(11), outcome=Fired.ENQUEUED, job=job.id)
        ]
        assert due_keys(schedules, 11) == []

    def test_the_jobs_of_fires_are_counted_as_enqueued_once(
        self, schedules: Schedules, inspector: Inspector
    ) -> None:
        found = put(schedules, schedule("a"), schedule("b"))
        advances = [advance(each, fire(10, task="shop.report")) for each in found]
        for _ in range(2):
            schedules.advance(advances, now=after(61))
        assert inspector.totals() == [Total(queue="default", task="shop.report", enqueued=2)]
        assert [tally.minute for tally in inspector.tallies(NOON)] == [after(60)]

    def test_a_fired_job_is_stored_as_an_enqueued_one(self, store: Store, schedules: Schedules) -> None:
        fields = {name: value for name, value in EVERYTHING.items() if name not in ("words", "description")}
        (found,) = put(schedules, schedule())
        plain, fired = new_job(**fields), fire(10, **fields)
        later, fired_later = new_job(run_after=after(99)), fire(11, run_after=after(99))
        store.enqueue([plain, later], now=after(11))
        schedules.advance([advance(found, fired, fired_later)], now=after(11))
        for enqueued, other in ((plain, fired), (later, fired_later)):
            assert record(store, job_of(other).id) == replace(record(store, enqueued.id), id=job_of(other).id)

    def test_an_advance_of_what_has_changed_does_nothing(self, store: Store, schedules: Schedules) -> None:
        (found, other) = put(schedules, schedule(), schedule("other"))
        first, late, beside = fire(10), fire(10), fire(10)
        assert schedules.advance([advance(found, first)], now=after(10)).keys == ["nightly"]
        done = schedules.advance([advance(found, late), advance(other, beside)], now=after(11))
        assert (done.keys, done.jobs) == (["other"], [job_of(beside).id])
        assert store.get([job_of(late).id]) == []

    @pytest.mark.parametrize("change", ["disable", "remove", "rule", "unknown"])
    def test_whatever_happens_to_a_schedule_stops_an_advance_that_was_decided_before(
        self, store: Store, schedules: Schedules, change: str
    ) -> None:
        (found,) = put(schedules, schedule())
        match change:
            case "disable":
                schedules.disable(["nightly"])
            case "remove":
                schedules.remove(["nightly"])
                put(schedules, schedule())
            case "rule":
                put(schedules, schedule(rule="r2"))
            case "unknown":
                schedules.remove(["nightly"])
        fired = fire(10)
        done = schedules.advance([advance(found, fired)], now=after(10))
        assert (done.keys, done.jobs, store.get([job_of(fired).id])) == ([], [], [])
        assert schedules.history(10) == []

    def test_a_due_time_that_was_fired_is_never_fired_again_not_even_by_a_new_schedule(
        self, store: Store, schedules: Schedules
    ) -> None:
        (found,) = put(schedules, schedule())
        first = fire(10)
        schedules.advance([advance(found, first)], now=after(10))
        schedules.remove(["nightly"])
        (anew,) = put(schedules, schedule())
        again, fresh = fire(10), fire(20)
        done = schedules.advance([advance(anew, again, fresh)], now=after(20))
        assert (done.keys, done.jobs) == (["nightly"], [job_of(fresh).id])
        assert store.get([job_of(again).id]) == []
        assert [f.job for f in schedules.history(10)] == [job_of(fresh).id, job_of(first).id]

    def test_what_enqueues_nothing_is_recorded_with_its_reason(self, schedules: Schedules) -> None:
        (found,) = put(schedules, schedule())
        missed = Fire(due_at=after(10), outcome=Fired.MISSED, reason="3 due times")
        done = schedules.advance([advance(found, missed)], now=after(60))
        assert (done.keys, done.jobs) == (["nightly"], [])
        (moved,) = schedules.get(["nightly"])
        assert (moved.fires, moved.last_due_at, moved.last_job) == (0, None, None)
        (seen,) = schedules.history(1)
        assert (seen.outcome, seen.job, seen.reason) == (Fired.MISSED, None, "3 due times")

    def test_a_fire_by_hand_counts_for_no_due_time(self, store: Store, schedules: Schedules) -> None:
        (found,) = put(schedules, schedule())
        job = new_job()
        by_hand = Fire(due_at=after(3), outcome=Fired.BY_HAND, job=job)
        assert schedules.advance([advance(found, by_hand, to=10)], now=after(3)).jobs == [job.id]
        (moved,) = schedules.get(["nightly"])
        assert (moved.due_at, moved.fires, moved.last_due_at, moved.last_job) == (after(10), 0, None, job.id)

    def test_a_schedule_without_another_due_time_is_never_looked_at_again(self, schedules: Schedules) -> None:
        (found,) = put(schedules, schedule())
        schedules.advance([advance(found, fire(10), to=None)], now=after(10))
        seen = schedules.due(10, now=after(1e8))
        assert (seen.schedules, seen.next_at) == ([], None)

    def test_many_schedules_fire_as_one_batch(self, store: Store, schedules: Schedules) -> None:
        found = put(schedules, *(schedule(f"k{n:04}") for n in range(700)))
        fires = {r.key: fire(10) for r in found}
        done = schedules.advance([advance(r, fires[r.key]) for r in found], now=after(10))
        assert sorted(done.keys) == sorted(fires)
        assert set(done.jobs) == {job_of(f).id for f in fires.values()}
        assert len(store.get(done.jobs)) == 700

    # --- Enabling ---

    def test_a_disabled_schedule_is_never_due_and_stays_disabled_when_it_is_put_again(
        self, schedules: Schedules
    ) -> None:
        put(schedules, schedule())
        assert schedules.disable(["nightly", "unknown"]) == ["nightly"]
        assert schedules.disable(["nightly"]) == []
        (found,) = put(schedules, schedule(rule="r2"))
        assert (found.enabled, found.due_at, found.look_at) == (False, None, None)
        assert due_keys(schedules, 1e6) == []

    def test_an_enabled_schedule_goes_on_from_the_time_given(self, schedules: Schedules) -> None:
        put(schedules, schedule())
        assert not schedules.enable("nightly", after(1), after(1))
        assert not schedules.enable("unknown", after(1), after(1))
        schedules.disable(["nightly"])
        assert schedules.enable("nightly", after(100), after(101))
        (found,) = schedules.get(["nightly"])
        assert (found.enabled, found.due_at, found.look_at) == (True, after(100), after(101))

    # --- Static ones ---

    def test_a_static_schedule_is_not_removed(self, schedules: Schedules) -> None:
        before = put(schedules, schedule("static", static=True), schedule("dynamic"))
        assert schedules.remove(["static", "dynamic", "unknown"]) == ["dynamic"]
        assert schedules.get(["static"]) == [before[0]]

    def test_an_orphaned_schedule_stays_visible_and_stops(self, schedules: Schedules) -> None:
        (found,) = put(schedules, schedule(static=True))
        assert schedules.orphan([("nightly", found.declared_at), ("unknown", NOON)]) == ["nightly"]
        (stopped,) = schedules.listed(10)
        assert (stopped.orphaned, stopped.due_at, stopped.look_at) == (True, None, None)
        assert due_keys(schedules, 1e6) == []
        assert schedules.advance([advance(found, fire(10))], now=after(10)).jobs == []
        assert schedules.declare(["nightly"], now=after(10)) == []
        assert schedules.orphan([("nightly", found.declared_at)]) == []

    def test_what_was_declared_since_is_not_orphaned(self, schedules: Schedules) -> None:
        (found,) = put(schedules, schedule(static=True))
        assert schedules.declare(["nightly", "unknown"], now=after(5)) == ["nightly"]
        assert schedules.orphan([("nightly", found.declared_at)]) == []
        assert schedules.get(["nightly"]) == [replace(found, declared_at=after(5))]

    def test_a_dynamic_schedule_needs_no_declaration(self, schedules: Schedules) -> None:
        (found,) = put(schedules, schedule())
        assert schedules.declare(["nightly"], now=after(5)) == []
        assert schedules.orphan([("nightly", found.declared_at)]) == []

    @pytest.mark.parametrize("static", [True, False])
    def test_an_orphaned_key_can_be_put_again_and_begins_anew(
        self, schedules: Schedules, static: bool
    ) -> None:
        (found,) = put(schedules, schedule(static=True))
        schedules.orphan([("nightly", found.declared_at)])
        (revived,) = put(schedules, schedule(static=static), due=500, now=after(400))
        assert (revived.orphaned, revived.due_at, revived.schedule.static) == (False, after(500), static)

    def test_an_orphaned_schedule_can_be_removed(self, schedules: Schedules) -> None:
        (found,) = put(schedules, schedule(static=True))
        schedules.orphan([("nightly", found.declared_at)])
        assert schedules.remove(["nightly"]) == ["nightly"]
        assert schedules.listed(10) == []

    # --- The history ---

    def test_the_history_is_read_by_schedule_and_in_pages(self, schedules: Schedules) -> None:
        for key, times in (("a", (1, 2, 3)), ("b", (2.5,))):
            (found,) = put(schedules, schedule(key))
            schedules.advance([advance(found, *(fire(at) for at in times))], now=after(5))
        assert [(f.key, f.due_at) for f in schedules.history(10)] == [
            ("a", after(3)),
            ("b", after(2.5)),
            ("a", after(2)),
            ("a", after(1)),
        ]
        assert [f.due_at for f in schedules.history(1, key="a", before=after(3))] == [after(2)]

    def test_old_fires_are_pruned_and_the_schedule_stays(self, schedules: Schedules) -> None:
        for key, at in (("a", 0), ("b", 0), ("c", 50)):
            (found,) = put(schedules, schedule(key))
            schedules.advance([advance(found, fire(at))], now=after(at))
        assert schedules.prune(100, 10, now=after(99.9)) == 0
        assert schedules.prune(100, 10, key="c", now=after(100)) == 0
        assert schedules.prune(100, 1, now=after(100)) == 1
        assert schedules.prune(100, 10, now=after(100)) == 1
        assert [f.key for f in schedules.history(10)] == ["c"]
        assert [r.fires for r in schedules.listed(10)] == [1, 1, 1]

    # --- Races ---

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
