"""``Inspector``: what operators see, and that seeing changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from dlq.job import JobRecord
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector, JobFilter, QueueCounts
from dlq.testing.contract.builders import (
    NOON,
    OUTCOMES,
    add,
    add_many,
    after,
    claim,
    claim_one,
    declare_lost,
    new_job,
    one_of_each,
    record,
    register,
    runner_info,
    settle_one,
    totals,
    worker_info,
)
from dlq.workers import WorkerRef

__all__ = ["Inspecting"]

EVERYTHING = JobFilter()


def _ids(jobs: Sequence[JobRecord]) -> list[UUID]:
    return [job.id for job in jobs]


def _latency(inspector: Inspector, *, at: float) -> float | None:
    (counts,) = inspector.counts(now=after(at))
    return counts.latency


class Inspecting:
    """Listing and counting."""

    # --- counts ---

    def test_an_empty_store_counts_nothing(self, store: Store, inspector: Inspector) -> None:
        assert inspector.counts() == []

    def test_jobs_are_counted_by_queue_and_state(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        add_many(store, 3, queue="b")
        add_many(store, 2, queue="b", run_after=after(60))
        add(store, queue="a", run_after=after(60))
        add(store, queue="C")
        settle_one(store, worker, OUTCOMES["failed"](claim_one(store, worker, queues=["b"])))
        assert inspector.counts(now=after(5)) == [
            QueueCounts(queue="C", states={State.READY: 1}, latency=5.0),
            QueueCounts(queue="a", states={State.SCHEDULED: 1}),
            QueueCounts(queue="b", states={State.SCHEDULED: 2, State.READY: 2, State.FAILED: 1}, latency=5.0),
        ]

    def test_every_state_is_counted(self, store: Store, worker: WorkerRef, inspector: Inspector) -> None:
        one_of_each(store, worker)
        assert totals(inspector) == dict.fromkeys(State, 1)

    def test_a_state_that_was_left_is_not_counted(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        add(store)
        settle_one(store, worker, OUTCOMES["succeeded"](claim_one(store, worker)))
        assert inspector.counts() == [QueueCounts(queue="default", states={State.SUCCEEDED: 1})]
        store.prune(State.SUCCEEDED, 1, 10, now=after(60))
        assert inspector.counts() == []

    @pytest.mark.parametrize(
        ("chosen", "found"),
        [
            (None, ["a", "b", "c", "paused"]),
            (["b"], ["b"]),
            (["paused", "unknown", "c", "a", "c"], ["a", "c", "paused"]),
            (["unknown"], []),
            ([], []),
        ],
    )
    def test_only_the_chosen_queues_are_counted(
        self, store: Store, inspector: Inspector, chosen: list[str] | None, found: list[str]
    ) -> None:
        for name in ("c", "a", "b"):
            add(store, queue=name)
        store.pause("paused", now=NOON)
        store.pause("a", now=NOON)
        assert [counts.queue for counts in inspector.counts(chosen, now=NOON)] == found

    def test_paused_queues_say_until_when(self, store: Store, inspector: Inspector) -> None:
        for name in ("both", "jobs only", "over"):
            add(store, queue=name)
        store.pause("both", after(60), now=NOON)
        store.pause("empty", now=NOON)
        store.pause("empty and over", after(5), now=NOON)
        store.pause("over", after(5), now=NOON)
        ready = {State.READY: 1}
        assert inspector.counts(now=after(5)) == [
            QueueCounts(queue="both", states=ready, latency=5.0, paused=True, paused_until=after(60)),
            QueueCounts(queue="empty", states={}, paused=True),
            QueueCounts(queue="jobs only", states=ready, latency=5.0),
            QueueCounts(queue="over", states=ready, latency=5.0),
        ]
        store.resume("empty")
        assert [counts.queue for counts in inspector.counts(now=after(5))] == ["both", "jobs only", "over"]

    # --- latency ---

    def test_the_latency_is_that_of_the_job_that_has_been_due_for_longest(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        add(store, now=after(1))
        add(store, now=after(2))
        add(store, now=after(3), priority=100)
        assert _latency(inspector, at=10) == 9.0
        assert [found.priority for found in claim(store, worker, 2)] == [100, 0]
        assert _latency(inspector, at=10) == 8.0

    def test_the_latency_counts_from_when_a_job_was_to_run(self, store: Store, inspector: Inspector) -> None:
        add(store, run_after=after(10))
        assert _latency(inspector, at=20) is None
        store.look("nobody", 10, now=after(15))
        assert _latency(inspector, at=20.25) == 10.25

    def test_a_time_before_the_enqueue_is_no_reason_to_have_waited_longer(
        self, store: Store, inspector: Inspector
    ) -> None:
        add(store, run_after=after(-1e6))
        assert _latency(inspector, at=5) == 5.0

    def test_nothing_ready_has_no_latency(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        one_of_each(store, worker)
        latencies = {counts.queue: counts.latency for counts in inspector.counts(now=after(7))}
        assert latencies == {state.label: None for state in State} | {"ready": 7.0}

    def test_a_job_ahead_of_the_clock_has_not_waited(self, store: Store, inspector: Inspector) -> None:
        add(store, now=after(10))
        assert _latency(inspector, at=0) == 0.0

    def test_without_a_time_given_the_latency_counts_by_the_stores_own_clock(
        self, store: Store, inspector: Inspector
    ) -> None:
        store.enqueue([new_job()])
        (counts,) = inspector.counts()
        assert counts.latency is not None
        assert 0 <= counts.latency < 600

    # --- runners ---

    def test_runners_are_listed_with_their_workers_sorted(self, store: Store, inspector: Inspector) -> None:
        store.register_runner(runner_info("b", host="host-b", pid=2), now=NOON)
        store.register_runner(runner_info("a", host="host-a", pid=1), now=after(1))
        workers = [
            worker_info("y", "b", pid=4, queues="mail*,!mail-bulk", slots=8, kind="threads"),
            worker_info("x", "b", pid=3),
            worker_info("z", "a", pid=5, kind="coroutines", slots=100),
        ]
        for worker in workers:
            store.register_worker(worker, now=after(1))
        a, b = inspector.runners(now=after(10))
        assert (a.id, a.host, a.pid, a.beat_age) == ("a", "host-a", 1, 9.0)
        assert (b.id, b.host, b.pid, b.beat_age) == ("b", "host-b", 2, 10.0)
        assert (list(a.workers), list(b.workers)) == ([workers[2]], [workers[1], workers[0]])

    def test_beats_and_their_age_are_shown(self, store: Store, inspector: Inspector) -> None:
        store.register_runner(runner_info("a"), now=NOON)
        beats = [store.beat("a", now=after(at))["a"] for at in (5, 10)]
        (runner,) = inspector.runners(now=after(12.5))
        assert (runner.beat, runner.beat_age) == (beats[-1], 2.5)

    def test_without_a_time_given_the_age_counts_by_the_stores_own_clock(
        self, store: Store, inspector: Inspector
    ) -> None:
        store.register_runner(runner_info("a"))
        store.beat("a")
        (runner,) = inspector.runners()
        assert 0 <= runner.beat_age < 600

    def test_a_beat_ahead_of_the_clock_is_no_seconds_old(self, store: Store, inspector: Inspector) -> None:
        store.register_runner(runner_info("a"), now=after(10))
        (runner,) = inspector.runners(now=NOON)
        assert runner.beat_age == 0.0

    def test_a_runner_that_stands_still_is_listed_until_it_is_declared_lost(
        self, store: Store, inspector: Inspector
    ) -> None:
        register(store, "w", "a")
        (runner,) = inspector.runners(now=after(1e6))
        assert (runner.id, runner.beat_age) == ("a", 1e6)
        declare_lost(store, "a")
        assert [runner.id for runner in inspector.runners(now=after(1e6))] == ["peer"]

    def test_a_worker_is_shown_in_its_incarnation(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        newer = store.reconcile(worker, [])
        ((shown,),) = [runner.workers for runner in inspector.runners(now=NOON)]
        assert (shown.id, shown.incarnation) == (newer.id, newer.incarnation)

    # --- jobs ---

    def test_jobs_are_listed_by_descending_id(self, store: Store, inspector: Inspector) -> None:
        ids = add_many(store, 5) + add_many(store, 5, run_after=after(60))
        assert _ids(inspector.jobs(EVERYTHING, limit=100)) == sorted(ids, reverse=True)

    def test_listed_jobs_are_whole_but_for_their_history(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        ids = one_of_each(store, worker)
        add(store, expires_after=60, metadata='{"a":1}')
        for job in inspector.jobs(EVERYTHING, limit=100):
            assert job == replace(record(store, job.id), history=())
        assert len(record(store, ids[State.FAILED]).history) == 1

    @pytest.mark.parametrize("states", [{State.READY}, {State.FAILED, State.RUNNING}, set(State), set()])
    def test_jobs_are_chosen_by_state(
        self, store: Store, worker: WorkerRef, inspector: Inspector, states: set[State]
    ) -> None:
        ids = one_of_each(store, worker)
        chosen = inspector.jobs(JobFilter(states=states), limit=100)
        assert set(_ids(chosen)) == {ids[state] for state in states}

    def test_jobs_are_chosen_by_queue(self, store: Store, worker: WorkerRef, inspector: Inspector) -> None:
        ids = one_of_each(store, worker)
        chosen = inspector.jobs(JobFilter(queues=["ready", "failed", "unknown"]), limit=100)
        assert set(_ids(chosen)) == {ids[State.READY], ids[State.FAILED]}
        assert _ids(inspector.jobs(JobFilter(queues=[]), limit=100)) == []

    def test_jobs_are_chosen_by_task(self, store: Store, worker: WorkerRef, inspector: Inspector) -> None:
        ids = one_of_each(store, worker)
        chosen = inspector.jobs(JobFilter(tasks=["shop.ready", "shop.cancelled"]), limit=100)
        assert set(_ids(chosen)) == {ids[State.READY], ids[State.CANCELLED]}
        assert _ids(inspector.jobs(JobFilter(tasks=[]), limit=100)) == []

    def test_jobs_are_chosen_by_worker(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef, inspector: Inspector
    ) -> None:
        ids = one_of_each(store, worker)
        add(store)
        others = claim_one(store, other_worker)
        mine = {ids[state] for state in (State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELLED)}
        for chosen, wanted in [
            ([worker.id], mine),
            ([other_worker.id, "stranger"], {others.id}),
            ([worker.id, other_worker.id], {*mine, others.id}),
            ([], set()),
        ]:
            assert set(_ids(inspector.jobs(JobFilter(workers=chosen), limit=100))) == wanted
        running = JobFilter(workers=[worker.id], states=[State.RUNNING])
        assert _ids(inspector.jobs(running, limit=100)) == [ids[State.RUNNING]]

    def test_a_job_must_fit_every_part_of_the_filter(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        ids = one_of_each(store, worker)
        add(store, queue="ready", task="shop.failed")
        names = ["ready", "failed"]
        chosen = JobFilter(states=[State.READY, State.FAILED], queues=names, tasks=["shop.ready"])
        assert _ids(inspector.jobs(chosen, limit=100)) == [ids[State.READY]]
        nothing = JobFilter(states=[State.READY], queues=["failed"])
        assert _ids(inspector.jobs(nothing, limit=100)) == []

    def test_pages_follow_each_other_without_gap_or_repetition(
        self, store: Store, inspector: Inspector
    ) -> None:
        ids = sorted(add_many(store, 7), reverse=True)
        add_many(store, 3, queue="other")
        chosen = JobFilter(queues=["default"])
        before = None
        for page in (ids[:3], ids[3:6], ids[6:]):
            assert _ids(inspector.jobs(chosen, limit=3, before=before)) == page
            before = page[-1]
        assert _ids(inspector.jobs(chosen, limit=3, before=before)) == []

    def test_a_page_follows_one_whose_last_job_is_gone(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        ids = sorted(add_many(store, 3), reverse=True)
        claims = {found.id: found for found in claim(store, worker)}
        assert _ids(inspector.jobs(EVERYTHING, limit=1)) == ids[:1]
        settle_one(store, worker, OUTCOMES["succeeded"](claims[ids[0]]))
        assert store.prune(State.SUCCEEDED, 1, 10, now=after(60)) == 1
        assert _ids(inspector.jobs(EVERYTHING, limit=10, before=ids[0])) == ids[1:]

    # --- No change ---

    def test_reading_changes_nothing(self, store: Store, worker: WorkerRef, inspector: Inspector) -> None:
        ids = list(one_of_each(store, worker).values())
        before = sorted(store.get(ids), key=lambda job: job.id)
        runners = inspector.runners(now=NOON)
        for _ in range(2):
            inspector.counts()
            inspector.counts(["ready"], now=after(1e6))
            inspector.jobs(EVERYTHING, limit=100)
        assert sorted(store.get(ids), key=lambda job: job.id) == before
        assert inspector.runners(now=NOON) == runners
