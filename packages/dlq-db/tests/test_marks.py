"""Where searches begin while a transaction that is held open keeps dead entries at the heads of the indexes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from uuid import UUID

import pytest
from django.db import connections

from dlq.job import Outcome
from dlq.states import State
from dlq.testing.contract.builders import (
    NOON,
    add,
    add_many,
    after,
    claim,
    claim_ids,
    look,
    new_job,
    register,
    settle,
)
from dlq.workers import WorkerRef
from dlq_db.dialects.postgresql import PostgreSQL, Searches
from dlq_db.dialects.postgresql.claiming import Claiming
from dlq_db.dialects.postgresql.marks import LAG, LONGEST_REST, REST, Marks, Past, Rest
from dlq_db.store import DatabaseStore

MANY = 20
"""Entries that a search may read here and still be a quick one."""
READING = 0.01
"""Seconds that each reading of the clock takes, and so each search: 20 times as long the next one rests."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += READING
        return self.now


class TimedStore(DatabaseStore):
    def __init__(self) -> None:
        super().__init__("default", database="postgres")
        self.clock = Clock()

    @cached_property
    def dialect(self) -> PostgreSQL:
        return PostgreSQL(Searches(clock=self.clock, many=MANY))


@pytest.mark.django_db(transaction=True, databases=["postgres"])
class TestBesideATransactionThatIsHeldOpen:
    @pytest.fixture
    def store(self) -> Iterator[TimedStore]:
        """With the plans of runners: what is not read by index is not counted."""
        store = TimedStore()
        store.dedicate()
        yield store
        store.close()

    @pytest.fixture
    def worker(self, store: TimedStore) -> WorkerRef:
        return register(store)

    @pytest.fixture(autouse=True)
    def held(self, worker: WorkerRef) -> Iterator[None]:
        """A transaction that sees, and so keeps, whatever is deleted in a test."""
        holder = connections["postgres"].copy()
        with holder.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT pg_current_xact_id()")
        yield
        holder.close()

    @pytest.fixture
    def walked(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many entries the claims have read, one after the other."""
        seen: list[int] = []
        end = Claiming.end

        def recorded(self: Claiming, *args: object) -> None:
            seen.append(args[4])  # type: ignore[arg-type]
            end(self, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(Claiming, "end", recorded)
        return seen

    def slow_down(self, store: TimedStore, worker: WorkerRef, **fields: object) -> None:
        """Work off jobs until the heads of the indexes are slow, and marks are some way ahead of them."""
        store.clock.now += LAG
        add_many(store, MANY + 1, **fields)
        look(store, now=after(2))
        store.waiting()
        queues = [str(fields.get("queue", "default"))]
        done = [Outcome.succeeded(held, "null", 1.0) for held in claim(store, worker, queues=queues)]
        settle(store, worker, *done)
        store.clock.now += 2 * LAG
        look(store, now=after(2))
        store.waiting()
        claim(store, worker, queues=queues)

    @contextmanager
    def committed_late(self, store: TimedStore, count: int = 1, **fields: object) -> Iterator[list[UUID]]:
        """Jobs that have their places, in a transaction that is committed at the end of the block."""
        jobs = [new_job(**fields) for _ in range(count)]
        late = connections["postgres"].copy()
        late.set_autocommit(False)
        store.dialect.enqueue(late, "default", jobs, NOON)
        yield [job.id for job in jobs]
        late.commit()
        late.close()

    def test_claims_do_not_read_what_is_dead(
        self, store: TimedStore, worker: WorkerRef, walked: list[int]
    ) -> None:
        self.slow_down(store, worker)
        assert walked[-1] > MANY
        new = add(store)
        assert claim_ids(store, worker) == [new]
        assert walked[-1] == 1

    def test_a_job_that_is_committed_late_is_claimed_after_a_while(
        self, store: TimedStore, worker: WorkerRef
    ) -> None:
        with self.committed_late(store) as ids:
            self.slow_down(store, worker)
        assert claim(store, worker) == []
        store.clock.now += REST * READING
        assert claim_ids(store, worker) == ids

    def test_one_search_from_the_head_is_enough_for_many_late_jobs(
        self, store: TimedStore, worker: WorkerRef
    ) -> None:
        with self.committed_late(store, 3) as ids:
            self.slow_down(store, worker)
        store.clock.now += REST * READING
        assert [claim_ids(store, worker, 1) for _ in range(4)] == [*([id] for id in ids), []]

    def test_a_job_that_is_handed_back_is_claimed_again_after_a_while(
        self, store: TimedStore, worker: WorkerRef
    ) -> None:
        self.slow_down(store, worker)
        id = add(store)
        (held,) = claim(store, worker)
        store.clock.now += 2 * LAG
        add_many(store, 1)
        claim(store, worker)
        settle(store, worker, Outcome.handed_back(held))
        store.clock.now += LONGEST_REST
        assert claim_ids(store, worker) == [id]

    def test_what_waits_in_a_paused_queue_does_not_fall_below_a_mark(
        self, store: TimedStore, worker: WorkerRef
    ) -> None:
        self.slow_down(store, worker)
        id = add(store)
        store.pause("default")
        for _ in range(3):
            store.clock.now += LAG / 4
            assert claim(store, worker) == []
        store.resume("default")
        assert claim_ids(store, worker) == [id]

    def test_a_paused_queue_does_not_keep_the_others_from_being_searched_from_the_head(
        self, store: TimedStore, worker: WorkerRef
    ) -> None:
        self.slow_down(store, worker, queue="paused")
        with self.committed_late(store) as ids:
            self.slow_down(store, worker)
        store.pause("paused")
        store.clock.now += LONGEST_REST
        assert claim(store, worker, queues=["paused", "default"]) == []
        assert claim_ids(store, worker, queues=["paused", "default"]) == ids

    def test_a_queue_whose_head_is_slow_leaves_the_others_alone(
        self, store: TimedStore, worker: WorkerRef
    ) -> None:
        with self.committed_late(store, queue="other") as ids:
            self.slow_down(store, worker)
            assert claim(store, worker, queues=["default", "other"]) == []
        assert claim_ids(store, worker, queues=["default", "other"]) == ids

    def test_a_look_sees_a_late_job_and_a_new_queue_after_a_while(
        self, store: TimedStore, worker: WorkerRef
    ) -> None:
        with self.committed_late(store), self.committed_late(store, queue="new"):
            self.slow_down(store, worker)
        assert (look(store).ready, store.waiting()) == ([], [])
        store.clock.now += REST * READING
        assert (look(store).ready, store.waiting()) == (["default", "new"], ["default", "new"])

    def test_a_look_promotes_a_late_job_after_a_while(self, store: TimedStore, worker: WorkerRef) -> None:
        with self.committed_late(store, run_after=after(1)):
            self.slow_down(store, worker, run_after=after(2))
        assert look(store, now=after(10)).promoted == 0
        store.clock.now += REST * READING
        assert look(store, now=after(10)).promoted == 1


@pytest.mark.django_db(transaction=True, databases=["postgres"])
def test_a_job_that_a_prune_has_passed_by_goes_when_the_next_begins_at_the_head() -> None:
    store = TimedStore()
    worker = register(store)
    ids = add_many(store, 3)
    for at, held in enumerate(claim(store, worker)):
        settle(store, worker, Outcome.succeeded(held, "null", 1.0), now=after(at))

    def prune() -> int:
        return store.prune(State.SUCCEEDED, 0.0, 1, now=after(10))

    other = connections["postgres"].copy()
    with other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT id FROM dlq_job WHERE id = %s FOR UPDATE", [ids[0]])
        assert prune() == 1
    other.close()
    assert [prune(), prune()] == [1, 0]
    assert [job.id for job in store.get(ids)] == ids[:1]
    assert [prune(), prune()] == [1, 0]


class TestMarks:
    def test_a_search_that_took_all_passes_every_priority(self) -> None:
        marks = Marks()
        marks.pass_all(7)
        assert str(marks) == "{" + ",".join(["7"] * 201) + "}"

    def test_a_search_that_was_filled_leaves_lower_priorities_as_they_were(self) -> None:
        marks = Marks()
        marks.pass_up_to(99, 5, 7, from_head=False)
        assert str(marks).startswith("{7,5,0,0,")

    def test_a_mark_goes_back_only_for_what_was_found_from_the_head(self) -> None:
        marks = Marks()
        marks.pass_all(7)
        marks.pass_up_to(100, 3, 7, from_head=False)
        assert str(marks).startswith("{7,")
        marks.pass_up_to(100, 3, 7, from_head=True)
        assert str(marks).startswith("{3,7,")

    def test_a_mark_never_passes_what_may_still_be_on_its_way(self) -> None:
        marks = Marks()
        marks.pass_up_to(100, 9, 7, from_head=False)
        assert str(marks).startswith("{7,0,")

    def test_the_past_is_behind_by_the_lag_and_little_more(self) -> None:
        past = Past(0)
        for at in range(100, 300):
            old = past.before(at / 100)
            assert at < 180 or 100 * LAG <= at - old <= 150 * LAG
            past.note(at, at / 100)

    def test_the_past_is_that_of_the_beginning_of_a_search_however_long_it_takes(self) -> None:
        past = Past(0)
        past.note(1, 10.0)
        assert past.before(10.0 + LAG / 2) == 0

    def test_a_search_from_the_head_rests_in_proportion_but_never_for_long(self) -> None:
        rest = Rest()
        assert rest.is_over(0.0)
        rest.take(0.1, 0.0)
        assert (rest.is_over(REST * 0.1 - 0.01), rest.is_over(REST * 0.1)) == (False, True)
        rest.take(1000.0, 0.0)
        assert (rest.is_over(LONGEST_REST - 0.01), rest.is_over(LONGEST_REST)) == (False, True)
