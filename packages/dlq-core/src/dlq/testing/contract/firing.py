"""``Schedules``: what is due, what fires, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.store.schedules import Fire, Fired, FireRecord, Proposal, Schedules
from dlq.store.tallies import Total
from dlq.testing.contract.builders import after, new_job, record
from dlq.testing.contract.schedule_builders import EVERYTHING, advance, due_keys, fire, job_of, put, schedule

__all__ = ["Firing"]


class Firing:
    """Each due time once."""

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
        now = store.enqueue([]).at
        assert now <= schedules.clock() <= now + timedelta(minutes=5)
        for key, due_at in (("past", now - timedelta(days=1)), ("future", now + timedelta(days=1))):
            schedules.put([Proposal(schedule=schedule(key), due_at=due_at, look_at=due_at)])
        seen = schedules.due(10)
        assert [r.key for r in seen.schedules] == ["past"]
        assert now <= seen.now <= now + timedelta(minutes=5)
        done = schedules.advance([advance(seen.schedules[0])])
        assert now <= done.at <= now + timedelta(minutes=5)

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
        assert [tally.minute for tally in inspector.tallies(after(0))] == [after(60)]

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
