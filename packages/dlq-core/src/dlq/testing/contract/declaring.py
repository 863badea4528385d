"""``Schedules``: what is put, who may change or remove it, and what stops it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlq.errors import StoreRefused
from dlq.store.schedules import Proposal, ScheduleRecord, Schedules
from dlq.testing.contract.builders import NOON, MakeStore, after
from dlq.testing.contract.schedule_builders import (
    EVERYTHING,
    MakeSchedules,
    advance,
    due_keys,
    fire,
    job_of,
    put,
    schedule,
)

__all__ = ["Declaring"]


class Declaring:
    """Putting, enabling, removing, orphaning."""

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
