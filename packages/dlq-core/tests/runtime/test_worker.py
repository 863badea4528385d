from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest

from dlq import Counted, MemoryBackend, State, StoreNotReady, StoreUnavailable
from dlq.conf import BackendOptions, Delivery, WorkerPool
from dlq.context import Notebook
from dlq.job import Claim, Failure, Outcome
from dlq.runtime.batching import MOST, WINDOW
from dlq.runtime.executor import Executor
from dlq.runtime.page import Gate, Page
from dlq.runtime.worker import FLUSH_WITHIN, STUCK_AFTER, UNTOLD_POLLS, Worker
from dlq.runtime.workload import Assignment, Workload
from dlq.selectors import Selector, broadcast_queue
from dlq.store import MemoryInspector
from dlq.testing.contract.builders import (
    FAILURE,
    add,
    add_many,
    claim,
    claim_ids,
    record,
    register,
    rescue,
    state_of,
)
from dlq.workers import Order, RunnerInfo, WorkerInfo

Threads = Callable[..., threading.Thread]

RUNNER = RunnerInfo(id="runner-1", host="host-1", pid=100)
POLL = 1.0
LATE = 30.0
"""Seconds that no test waits."""


class HandExecutor(Executor):
    """Runs nothing: the test starts and finishes jobs by hand."""

    next_ring: float | None = None
    rung = 0
    cancelled: tuple[UUID, int, str] | None = None

    def serve(self) -> None: ...

    def ring(self) -> float | None:
        self.rung += 1
        return self.next_ring

    def cancel(self, id: UUID, token: int, reason: str) -> None:
        self.cancelled = (id, token, reason)


class Rig:
    """A worker that the test drives step by step."""

    def __init__(self, store: Any, queues: str, slots: int, told: bool = False, **options: Any) -> None:
        pool_options = {
            name: int(options.pop(name)) for name in ("max_jobs", "max_memory") if name in options
        }
        self.store = store
        self.page = Page(slots)
        self.workload = Workload(slots, self.page)
        self.executor = HandExecutor(self.workload, self.page, MemoryBackend("default", {}), 5.0)
        self.supervised = 0
        self.on_turn: Callable[[], object] = lambda: None
        self.worker = Worker(
            WorkerInfo(id="worker-1", runner=RUNNER.id, pid=101, queues=queues, slots=slots, kind="process"),
            WorkerPool(selector=Selector(queues), threads=slots, **pool_options),
            store,
            BackendOptions(**{"poll_interval": POLL, **options}),
            self.workload,
            self.executor,
            supervise=self._supervise,
            told=told,
        )

    def _supervise(self) -> None:
        self.supervised += 1
        self.on_turn()

    def step(self) -> float:
        """One step, as ``run`` repeats it; the seconds until the next."""
        return self.worker._try_step()

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.step()

    def start(self) -> list[Assignment]:
        """Start whatever may start."""
        started = []
        while (assignment := self.workload.take_now()) is not None:
            started.append(assignment)
        return started

    def finish(self, *started: Assignment, seconds: float = 0.5, outcome: Any = None) -> None:
        for assignment in started:
            made = outcome or (lambda claim: Outcome.succeeded(claim, "null", seconds))
            self.workload.done(assignment.claim, made(assignment.claim), seconds)

    def work(self, seconds: float = 0.5) -> list[UUID]:
        """Step, then run what has come; the ids in their order."""
        self.step()
        started = self.start()
        self.finish(*started, seconds=seconds)
        return [assignment.claim.id for assignment in started]

    def measure(self, seconds: float) -> None:
        """Let the worker believe that jobs take so long."""
        self.worker._pace.observe([seconds] * 30)

    @property
    def waiting(self) -> int:
        return self.workload.counts()[0]


@pytest.fixture
def rig(store: Any, clock: Any) -> Callable[..., Rig]:
    """Makes a worker of a registered runner."""

    def make(queues: str = "default", slots: int = 1, **options: Any) -> Rig:
        store.register_runner(RUNNER)
        made = Rig(store, queues, slots, **options)
        store.asked()
        return made

    return make


def states(store: Any, ids: Sequence[UUID]) -> list[State]:
    return [state_of(store, id) for id in ids]


# --- How much it claims ---


@pytest.mark.parametrize("slots", [1, 4])
def test_a_worker_that_has_measured_nothing_claims_what_can_start_at_once(
    rig: Any, store: Any, slots: int
) -> None:
    jobs, worker = add_many(store, 10), rig(slots=slots)
    worker.step()
    assert states(store, jobs).count(State.RUNNING) == slots
    assert len(worker.start()) == slots


def test_behind_short_jobs_it_claims_what_starts_within_the_window(rig: Any, store: Any) -> None:
    worker = rig()
    worker.measure(0.001)
    add_many(store, 1000)
    worker.step()
    worker.step()
    waiting, running, _ = worker.workload.counts()
    assert 1 < waiting + running <= 1 + WINDOW / 0.001


@pytest.mark.parametrize("slots", [1, 3])
def test_at_most_once_it_never_claims_beyond_its_free_slots(rig: Any, store: Any, slots: int) -> None:
    ids = add_many(store, 50)
    worker = rig("default", slots, delivery=Delivery.AT_MOST_ONCE)
    worker.measure(0.0001)
    worker.step()
    assert len(store.held("worker-1", 50)) == slots
    first = worker.start()
    worker.steps(3)
    assert len(store.held("worker-1", 50)) == len(first) == slots
    worker.finish(first[0], seconds=0.0001)
    worker.steps(3)
    assert [found.id for found in store.held("worker-1", 50)] == ids[1 : slots + 1]


def test_behind_long_jobs_it_claims_nothing(rig: Any, store: Any) -> None:
    worker = rig()
    worker.measure(0.5)
    add_many(store, 10)
    worker.step()
    assert len(worker.start()) == 1
    worker.steps(5)
    assert worker.waiting == 0


def test_one_exchange_never_claims_more_than_the_most(rig: Any, store: Any) -> None:
    worker = rig()
    worker.measure(0.0)
    jobs = add_many(store, 3 * MOST)
    worker.step()
    assert states(store, jobs).count(State.RUNNING) == MOST


def test_a_full_worker_asks_the_store_nothing(rig: Any, store: Any, clock: Any) -> None:
    worker = rig()
    add_many(store, 3)
    worker.step()
    worker.start()
    store.asked()
    for _ in range(10):
        clock.advance(POLL)
        worker.step()
    assert store.asked() == []


def test_outcomes_go_and_claims_come_in_one_exchange(rig: Any, store: Any) -> None:
    jobs, worker = add_many(store, 3), rig()
    worker.work()
    store.asked()
    worker.step()
    assert store.asked() == ["exchange"]
    assert states(store, jobs) == [State.SUCCEEDED, State.RUNNING, State.READY]


def test_claims_start_in_the_order_of_the_store(rig: Any, store: Any) -> None:
    low, high, normal = add(store, priority=-5), add(store, priority=5), add(store)
    assert rig(slots=3).work() == [high, normal, low]


# --- Which queues ---


def test_a_listed_queue_wins_over_those_after_it(rig: Any, store: Any) -> None:
    later, first = add_many(store, 2, queue="later"), add_many(store, 3, queue="first")
    worker = rig("first,later")
    assert [worker.work()[0] for _ in range(5)] == [*first, *later]


def test_inside_a_wildcard_queues_take_turns(rig: Any, store: Any) -> None:
    jobs = {queue: add_many(store, 4, queue=queue) for queue in ("a", "b")}
    worker = rig("*")
    taken = [worker.work()[0] for _ in range(8)]
    turns = ["a" if id in jobs["a"] else "b" for id in taken]
    assert turns in (["a", "b"] * 4, ["b", "a"] * 4)


def test_queues_that_are_not_its_own_are_left_alone(rig: Any, store: Any) -> None:
    excluded, other = add(store, queue="mail-bulk"), add(store, queue="other")
    own = add(store, queue="mail-now")
    worker = rig("mail*,!mail-bulk")
    assert worker.work() == [own]
    assert worker.work() == []
    assert states(store, [excluded, other]) == [State.READY, State.READY]


def test_when_its_queues_are_drained_a_worker_soon_looks_at_the_others(
    rig: Any, store: Any, clock: Any
) -> None:
    add(store, queue="a")
    worker = rig("*", slots=2)
    worker.step()
    (started,) = worker.start()
    late = add(store, queue="b")
    clock.advance(STUCK_AFTER)
    worker.finish(started)
    worker.step()
    assert [assignment.claim.id for assignment in worker.start()] == [late]


def test_looking_for_other_queues_is_no_storm(rig: Any, store: Any, clock: Any) -> None:
    add_many(store, 50, queue="a")
    worker = rig("*", slots=2)
    for _ in range(200):
        clock.advance(0.001)
        worker.work(0.001)
    assert store.asked().count("waiting") <= 4


# --- An idle worker ---


@pytest.mark.parametrize(
    ("queues", "verbs"),
    [("default", ["exchange"]), ("a,b,c", ["exchange"]), ("*", ["waiting"]), ("a*,b*", ["waiting"])],
)
def test_an_idle_worker_asks_one_question_in_each_interval(
    rig: Any, store: Any, clock: Any, queues: str, verbs: list[str]
) -> None:
    worker = rig(queues)
    assert 0 < worker.step() <= POLL
    store.asked()
    for _ in range(5):
        wait = worker.step()
        assert store.asked() == []
        clock.advance(wait)
        worker.step()
        assert store.asked() == verbs


def test_idle_workers_do_not_ask_in_step_with_each_other(rig: Any, store: Any, clock: Any) -> None:
    worker, waits = rig(), []
    for _ in range(50):
        waits.append(worker.step())
        clock.advance(POLL)
    assert all(0.75 * POLL <= wait <= POLL for wait in waits)
    assert len(set(waits)) > 25


@pytest.mark.parametrize("queues", ["default", "*"])
def test_a_job_that_comes_while_the_worker_idles_starts_within_an_interval(
    rig: Any, store: Any, clock: Any, queues: str
) -> None:
    worker = rig(queues)
    wait = worker.step()
    job = add(store)
    clock.advance(wait)
    assert worker.work() == [job]


# --- Outcomes ---


def test_an_outcome_waits_a_few_milliseconds_for_others(rig: Any, store: Any) -> None:
    worker = rig()
    worker.measure(0.001)
    add_many(store, 100)
    worker.step()
    worker.finish(*worker.start())
    assert worker.worker._patience() == FLUSH_WITHIN


def test_every_kind_of_outcome_reaches_the_store(rig: Any, store: Any) -> None:
    makers: list[Callable[[Claim], Outcome]] = [
        lambda claim: Outcome.succeeded(claim, '"done"', 1.0),
        lambda claim: Outcome.failed(claim, FAILURE, 1.0),
        lambda claim: Outcome.retry(claim, FAILURE, 60.0, 1.0),
        Outcome.parked,
    ]
    jobs, worker = add_many(store, len(makers)), rig(slots=len(makers))
    worker.step()
    for started, make in zip(worker.start(), makers, strict=True):
        worker.finish(started, outcome=make)
    worker.step()
    assert states(store, jobs) == [State.SUCCEEDED, State.FAILED, State.SCHEDULED, State.BLOCKED]


def test_an_outcome_that_came_too_late_is_told_in_the_log_and_dropped(
    rig: Any, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    job, worker = add(store), rig()
    worker.step()
    started = worker.start()
    store.unregister_worker("worker-1")
    rescue(store)
    worker.finish(*started)
    worker.step()
    assert (
        f"Job {job} was taken from worker worker-1; its outcome here counts for nothing." in caplog.messages
    )
    assert worker.workload.counts()[2] == 0
    assert (state_of(store, job), record(store, job).interruptions) == (State.READY, 1)


def test_what_has_run_stays_on_the_page_until_the_store_knows_it(rig: Any, store: Any) -> None:
    add(store)
    worker = rig()
    worker.step()
    (ended,) = worker.start()
    worker.page.finish(worker.page.start(ended.claim))
    worker.finish(ended)
    store.fail("exchange")
    worker.step()
    assert worker.page.ended() == [(ended.claim.id, ended.claim.token)]
    worker.step()
    assert worker.page.ended() == []


def test_the_history_of_a_job_comes_with_it_where_there_is_one(rig: Any, store: Any) -> None:
    tried, fresh = add(store, priority=5, max_attempts=5), add(store)
    worker = rig(slots=2)
    worker.step()
    worker.finish(worker.start()[0], outcome=lambda claim: Outcome.retry(claim, FAILURE, 0.0, 1.0))
    store.asked()
    worker.step()
    (again,) = worker.start()
    assert store.asked() == ["exchange", "get"]
    assert (again.claim.id, [attempt.failure for attempt in again.history]) == (tried, [FAILURE])
    assert state_of(store, fresh) is State.RUNNING


def test_a_history_that_cannot_be_read_holds_no_job_up(
    rig: Any, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    add(store, max_attempts=5)
    worker = rig()
    worker.step()
    worker.finish(*worker.start(), outcome=lambda claim: Outcome.retry(claim, FAILURE, 0.0, 1.0))
    store.fail("get")
    worker.step()
    (again,) = worker.start()
    assert (again.claim.attempts, again.history) == (1, ())
    assert "The history of 1 jobs cannot be read: the store is away" in caplog.messages


# --- Held up by a long job ---


@pytest.fixture
def held_up(rig: Any, store: Any, clock: Any) -> Rig:
    """A worker that expected short jobs, and runs a long one, with others waiting behind it."""
    worker: Rig = rig()
    worker.measure(0.001)
    add_many(store, 100)
    worker.step()
    worker.workload.take_now()
    assert worker.waiting > 0
    clock.advance(STUCK_AFTER + 0.001)
    return worker


def test_a_worker_looks_in_time_after_those_that_wait(rig: Any, store: Any) -> None:
    worker = rig()
    worker.measure(0.001)
    add_many(store, 100)
    worker.step()
    worker.start()
    assert worker.step() == STUCK_AFTER


def test_what_waits_behind_a_long_job_is_handed_back_for_others(held_up: Rig, store: Any) -> None:
    held_up.step()
    assert held_up.waiting == 0
    other = register(store, "worker-2", "runner-2")
    assert len(claim_ids(store, other)) == 99
    assert {record(store, id).attempts for id in claim_ids(store, other)} <= {0}


def test_a_worker_that_is_held_up_claims_nothing_to_wait_there(held_up: Rig, store: Any, clock: Any) -> None:
    for _ in range(50):
        clock.advance(held_up.step())
        assert held_up.waiting == 0
    inspector = MemoryInspector(store)
    assert inspector.counts()[0].states[State.RUNNING] == 1


def test_a_worker_that_is_held_up_does_not_spin(held_up: Rig, store: Any, clock: Any) -> None:
    for _ in range(5):
        assert held_up.step() > 0
        clock.advance(0.01)


def test_when_the_long_job_ends_the_worker_goes_on(held_up: Rig, store: Any, clock: Any) -> None:
    held_up.step()
    ((_, claim),) = held_up.workload._running.items()
    clock.advance(10.0)
    held_up.workload.done(claim, Outcome.succeeded(claim, "null", 10.0), 10.0)
    assert len(held_up.work()) == 1


def test_claims_that_have_just_come_are_not_handed_back(rig: Any, store: Any, clock: Any) -> None:
    worker = rig(slots=2)
    clock.advance(3600)
    job = add(store)
    worker.step()
    worker.step()
    assert record(store, job).token == 1
    assert worker.waiting == 1


def test_beside_a_suspect_that_runs_it_claims_nothing(rig: Any, store: Any, clock: Any) -> None:
    worker, suspect = rig(slots=4), add(store)
    claim_ids(store, register(store, "worker-0", "runner-0"))
    store.unregister_worker("worker-0")
    rescue(store)
    worker.step()
    assert [assignment.claim.id for assignment in worker.start()] == [suspect]
    other = add(store)
    for _ in range(5):
        clock.advance(worker.step() + POLL)
    assert record(store, other).token == 0


def test_a_suspect_that_cannot_run_alone_here_is_left_to_others(rig: Any, store: Any, clock: Any) -> None:
    long, suspect = add(store), add(store)
    worker = rig(slots=2)
    claimer = register(store, "worker-0", "runner-0")
    claim_ids(store, claimer)
    store.exchange(
        claimer, [Outcome.handed_back(c) for c in store.held("worker-0", 9) if c.id == long], [], 0
    )
    store.unregister_worker("worker-0")
    rescue(store)
    worker.step()
    assert [assignment.claim.id for assignment in worker.start()] == [long]
    until = clock.now + 10 * POLL
    while clock.now < until:
        clock.advance(worker.step())
    assert record(store, suspect).token <= 2 + 10 * POLL / (0.75 * POLL + STUCK_AFTER)
    assert record(store, suspect).interruptions == 1


# --- Outages ---


@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreNotReady("run migrate")], ids=repr)
def test_outcomes_outlast_an_outage(rig: Any, store: Any, error: Exception) -> None:
    jobs, worker = add_many(store, 2), rig()
    worker.work()
    for _ in range(20):
        store.fail("exchange", error)
        worker.step()
    assert worker.workload.counts()[2] == 1
    worker.step()
    assert states(store, jobs) == [State.SUCCEEDED, State.RUNNING]


def test_in_an_outage_a_worker_waits_longer_and_longer(rig: Any, store: Any) -> None:
    worker = rig(heartbeat_interval=5.0)
    store.is_away = True
    waits = [worker.step() for _ in range(12)]
    assert 0.05 <= waits[0] <= 0.1
    assert 0.5 <= waits[-1] <= 1.0
    assert all(wait <= 1.0 for wait in waits)


def test_jobs_go_on_in_an_outage_and_all_of_them_are_settled(rig: Any, store: Any) -> None:
    jobs, worker = add_many(store, 3), rig(slots=3)
    worker.step()
    started = worker.start()
    store.is_away = True
    for assignment in started:
        worker.finish(assignment)
        worker.step()
    store.is_away = False
    worker.step()
    assert states(store, jobs) == [State.SUCCEEDED] * 3
    assert {record(store, id).attempts for id in jobs} == {1}


def test_a_worker_starts_before_its_store_does(rig: Any, store: Any) -> None:
    job, worker = add(store), rig()
    store.is_away = True
    worker.steps(3)
    store.is_away = False
    assert worker.work() == [job]


def test_timeouts_are_rung_in_an_outage_too(rig: Any, store: Any) -> None:
    worker = rig()
    store.is_away = True
    worker.steps(8)
    rung = worker.executor.rung
    worker.executor.next_ring = 0.03
    assert worker.step() <= 0.03
    assert worker.executor.rung > rung


def test_the_next_timeout_ends_a_wait(rig: Any, store: Any) -> None:
    worker = rig()
    worker.step()
    worker.executor.next_ring = 0.03
    assert worker.step() == 0.03


# --- Lost replies ---


def test_claims_whose_answer_was_lost_go_back_and_run_once(rig: Any, store: Any) -> None:
    jobs, worker = add_many(store, 4), rig(slots=2)
    worker.step()
    finished, running = worker.start()
    worker.finish(finished)
    store.lose_reply("exchange")
    worker.step()
    assert states(store, jobs) == [State.SUCCEEDED, State.RUNNING, State.RUNNING, State.READY]
    assert [claim.id for claim in store.held("worker-1", 9)] == jobs[1:3]
    worker.step()
    (started,) = worker.start()
    assert started.claim.id == jobs[2]
    worker.finish(running, started)
    assert worker.work() == jobs[3:]
    worker.step()
    assert states(store, jobs) == [State.SUCCEEDED] * 4
    assert [(record(store, id).attempts, record(store, id).interruptions) for id in jobs] == [(1, 0)] * 4


def test_the_first_exchange_may_lose_its_answer(rig: Any, store: Any) -> None:
    jobs, worker = add_many(store, 2), rig(slots=2)
    store.lose_reply("exchange")
    worker.step()
    assert worker.workload.held() == set()
    assert worker.work() == jobs


def test_an_outcome_whose_answer_was_lost_counts_once_and_is_not_called_stale(
    rig: Any, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    job, worker = add(store, max_attempts=5), rig()
    worker.step()
    worker.finish(*worker.start(), outcome=lambda claim: Outcome.retry(claim, FAILURE, 60.0, 1.0))
    store.lose_reply("exchange")
    worker.step()
    worker.step()
    assert (record(store, job).attempts, len(record(store, job).history)) == (1, 1)
    assert worker.workload.counts() == (0, 0, 0)
    assert "counts for nothing" not in caplog.text


def test_after_a_lost_reply_the_first_word_is_reconciliation(rig: Any, store: Any, clock: Any) -> None:
    worker = rig()
    worker.step()
    add(store)
    store.lose_reply("exchange")
    clock.advance(POLL)
    worker.step()
    store.asked()
    worker.step()
    assert store.asked() == ["reconcile", "exchange"]


@pytest.mark.parametrize("verb", ["reconcile", "exchange"])
@pytest.mark.parametrize("lost", [True, False], ids=["answer lost", "not reached"])
def test_failures_on_the_way_back_strand_nothing(rig: Any, store: Any, verb: str, lost: bool) -> None:
    jobs, worker = add_many(store, 3), rig(slots=3)
    store.lose_reply("exchange")
    worker.step()
    (store.lose_reply if lost else store.fail)(verb)
    worker.step()
    assert worker.work() == jobs
    worker.step()
    assert states(store, jobs) == [State.SUCCEEDED] * 3


def test_what_runs_is_not_taken_away_by_a_reconciliation(rig: Any, store: Any) -> None:
    jobs, worker = add_many(store, 2), rig(slots=2)
    worker.step()
    started = worker.start()
    worker.finish(started[0])
    store.fail("exchange")
    worker.step()
    worker.step()
    assert states(store, jobs) == [State.SUCCEEDED, State.RUNNING]
    worker.finish(started[1])
    worker.step()
    assert [record(store, id).token for id in jobs] == [1, 1]


def test_an_exchange_that_the_store_finishes_late_gives_a_reconciled_worker_nothing(
    rig: Any, store: Any, clock: Any
) -> None:
    """The store was still working on it when the worker gave up on the answer."""
    worker = rig()
    worker.step()
    stalled = worker.worker._ref
    store.fail("exchange")
    clock.advance(POLL)
    worker.steps(2)
    job = add(store)
    assert store.exchange(stalled, [], ["default"], 1).claims == []
    assert state_of(store, job) is State.READY


# --- Registration ---


def test_a_worker_registers_before_it_claims(rig: Any, store: Any) -> None:
    rig().step()
    assert store.asked() == ["dedicate", "register_worker", "exchange"]
    ((runner,),) = (MemoryInspector(store).runners(),)
    (worker,) = runner.workers
    assert (worker.id, worker.queues, worker.slots, worker.kind) == ("worker-1", "default", 1, "process")


def test_an_unregistered_worker_registers_again_and_goes_on(rig: Any, store: Any, clock: Any) -> None:
    worker = rig()
    worker.step()
    store.unregister_worker("worker-1")
    job = add(store)
    clock.advance(POLL)
    assert worker.work() == []
    assert worker.work() == [job]


def test_outcomes_of_an_unregistered_worker_are_settled(rig: Any, store: Any) -> None:
    job, worker = add(store), rig()
    worker.step()
    store.unregister_worker("worker-1")
    worker.finish(*worker.start())
    worker.step()
    assert state_of(store, job) is State.SUCCEEDED


def test_a_worker_of_an_unknown_runner_waits_until_it_is_known(rig: Any, store: Any, clock: Any) -> None:
    worker = rig()
    worker.step()
    store.retire(RUNNER.id)
    job = add(store)
    for _ in range(5):
        clock.advance(POLL)
        assert worker.work() == []
    store.register_runner(RUNNER)
    assert worker.work() == [job]


def test_a_lost_answer_to_a_registration_is_harmless(rig: Any, store: Any) -> None:
    job, worker = add(store), rig()
    store.lose_reply("register_worker")
    worker.step()
    assert worker.work() == [job]


def test_a_worker_that_is_unknown_when_it_reconciles_registers_again(rig: Any, store: Any) -> None:
    jobs, worker = add_many(store, 2), rig()
    store.lose_reply("exchange")
    worker.step()
    store.unregister_worker("worker-1")
    worker.steps(2)
    assert worker.work() == jobs[:1]
    assert rescue(store) == []
    assert state_of(store, jobs[1]) is State.READY


# --- Refused outcomes ---


@pytest.fixture
def with_poison(rig: Any, store: Any) -> tuple[Rig, list[UUID]]:
    """Three jobs have finished, and the store refuses the result of the second."""
    jobs, worker = add_many(store, 3), rig(slots=3)
    worker.step()
    for started, result in zip(worker.start(), ['"a"', '"poison"', '"c"'], strict=True):
        worker.finish(started, outcome=lambda claim, result=result: Outcome.succeeded(claim, result, 0.5))
    store.refuses = lambda outcome: outcome.result == '"poison"'
    return worker, jobs


def test_a_refused_outcome_fails_that_job_alone(
    with_poison: tuple[Rig, list[UUID]], store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    worker, jobs = with_poison
    worker.step()
    assert states(store, jobs) == [State.SUCCEEDED, State.FAILED, State.SUCCEEDED]
    (attempt,) = record(store, jobs[1]).history
    assert attempt.failure.exception == "dlq.errors.StoreRefused"
    assert attempt.counted is Counted.ATTEMPT
    assert (
        f"The outcome of job {jobs[1]} was refused, so it failed: this text cannot be stored"
        in caplog.messages
    )


def test_after_a_refused_outcome_the_worker_goes_on_at_once(
    with_poison: tuple[Rig, list[UUID]], store: Any
) -> None:
    worker, _ = with_poison
    later = add(store)
    worker.step()
    assert [assignment.claim.id for assignment in worker.start()] == [later]


def test_an_outage_in_the_middle_of_a_refusal_loses_nothing(
    with_poison: tuple[Rig, list[UUID]], store: Any
) -> None:
    worker, jobs = with_poison
    for verb in ("fail", "lose_reply"):
        store.meanwhile["exchange"] = lambda verb=verb: getattr(store, verb)("exchange")
        worker.step()
    worker.step()
    assert states(store, jobs) == [State.SUCCEEDED, State.FAILED, State.SUCCEEDED]
    assert [record(store, id).attempts for id in jobs] == [1, 1, 1]


# --- Stopping ---


def test_a_stopping_worker_hands_back_what_has_not_started(rig: Any, store: Any) -> None:
    worker = rig()
    worker.measure(0.001)
    jobs = add_many(store, 10)
    worker.step()
    (running,) = worker.start()
    worker.worker.stop()
    worker.step()
    assert states(store, jobs) == [State.RUNNING] + [State.READY] * 9
    assert {(record(store, id).attempts, record(store, id).interruptions) for id in jobs} == {(0, 0)}
    other = register(store, "worker-2", "runner-2")
    assert claim_ids(store, other) == jobs[1:]
    worker.finish(running)
    worker.step()
    assert state_of(store, jobs[0]) is State.SUCCEEDED


def test_a_stopping_worker_claims_nothing_more(rig: Any, store: Any) -> None:
    jobs, worker = add_many(store, 2), rig()
    worker.step()
    worker.finish(*worker.start())
    worker.worker.stop()
    worker.steps(3)
    assert states(store, jobs) == [State.SUCCEEDED, State.READY]


@pytest.fixture
def live(store: Any, in_thread: Threads) -> Callable[..., Rig]:
    """Makes a worker whose control thread runs, on the real clock."""
    rigs = []

    def make(poll_interval: float = 0.05) -> Rig:
        store.register_runner(RUNNER)
        rig = Rig(
            store, "default", 1, poll_interval=poll_interval, heartbeat_interval=0.05, alive_threshold=1.0
        )
        rig.thread = in_thread(rig.worker.run)  # type: ignore[attr-defined]
        rigs.append(rig)
        return rig

    yield make
    for rig in rigs:
        rig.worker.stop()


def ended(rig: Any) -> bool:
    rig.thread.join(LATE / 3)
    return not rig.thread.is_alive()


def test_an_idle_worker_stops_at_once_and_leaves(live: Any, store: Any) -> None:
    worker = live()
    worker.worker.stop()
    assert ended(worker)
    assert worker.workload.closed
    (runner,) = MemoryInspector(store).runners()
    assert runner.workers == []
    assert worker.supervised >= 1


def test_a_worker_stops_at_once_however_rarely_it_looks_for_jobs(live: Any, store: Any) -> None:
    asked = threading.Event()
    store.meanwhile["exchange"] = asked.set
    worker = live(poll_interval=3600)
    assert asked.wait(LATE)
    worker.worker.stop()
    assert ended(worker)


def test_a_worker_stops_when_what_it_runs_is_settled(live: Any, store: Any) -> None:
    jobs, worker = add_many(store, 2), live()
    running = worker.workload.take()
    worker.worker.stop()
    worker.worker.stop()
    worker.thread.join(0.05)
    assert worker.thread.is_alive()
    worker.finish(running)
    assert ended(worker)
    assert states(store, jobs) == [State.SUCCEEDED, State.READY]


def test_a_worker_does_not_stop_before_an_outage_is_over(live: Any, store: Any) -> None:
    job, worker = add(store), live()
    running = worker.workload.take()
    store.is_away = True
    worker.finish(running)
    worker.worker.stop()
    worker.thread.join(0.1)
    assert worker.thread.is_alive()
    store.is_away = False
    assert ended(worker)
    assert state_of(store, job) is State.SUCCEEDED


def test_a_worker_does_not_stop_before_a_lost_reply_is_put_right(rig: Any, store: Any) -> None:
    job, worker = add(store), rig()

    def stop_in_an_outage() -> None:
        worker.worker.stop()
        store.fail("reconcile")

    turns = iter([lambda: store.lose_reply("exchange"), stop_in_an_outage])
    worker.on_turn = lambda: next(turns, lambda: None)()
    worker.workload.wait = lambda timeout: None
    worker.worker.run()
    assert (state_of(store, job), record(store, job).token) == (State.READY, 1)


def test_a_worker_ends_even_if_it_cannot_say_goodbye(
    live: Any, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="dlq.worker")
    worker = live()
    store.fail("unregister_worker")
    worker.worker.stop()
    assert ended(worker)
    assert "worker-1 left without a word to the store: the store is away" in caplog.messages


def test_every_turn_of_the_loop_is_supervised(live: Any) -> None:
    worker = live()
    for _ in range(3):
        seen = worker.supervised
        worker.workload.wake()
        for _ in range(1000):
            if worker.supervised > seen:
                break
            worker.thread.join(0.001)
        assert worker.supervised > seen


# --- What a worker is told ---


def test_a_worker_that_is_told_looks_for_itself_only_rarely(rig: Any, store: Any, clock: Any) -> None:
    made = rig("*", told=True)
    began = clock.now
    while clock.now < began + 100 * POLL:
        clock.advance(made.step())
    assert store.asked().count("waiting") <= 100 / UNTOLD_POLLS / 0.75 + 1


def test_a_hint_is_followed_at_once(rig: Any, store: Any) -> None:
    made = rig("mail*", told=True)
    made.steps(3)
    job = add(store, queue="mail-bulk")
    store.asked()
    made.worker.hear({"ready": ["mail-bulk"], "paused": []})
    assert made.work() == [job]
    assert store.asked() == ["exchange"]


def test_a_hint_about_queues_of_others_is_none(rig: Any, store: Any) -> None:
    made = rig("mail", told=True)
    made.steps(3)
    store.asked()
    made.worker.hear({"ready": ["other"], "paused": []})
    made.step()
    assert store.asked() == []


def test_a_word_about_a_queue_is_followed_by_a_claim_without_a_look(rig: Any, store: Any, clock: Any) -> None:
    made = rig("mail*", told=True)
    made.steps(3)
    clock.advance(10 * POLL)
    job = add(store, queue="mail-bulk")
    store.asked()
    made.worker.hear({"said": ["other", "mail-bulk"]})
    assert made.work() == [job]
    assert store.asked() == ["exchange"]


def test_a_word_about_queues_of_others_is_none(rig: Any, store: Any) -> None:
    made = rig("mail", told=True)
    made.steps(3)
    store.asked()
    made.worker.hear({"said": ["other"]})
    made.step()
    assert store.asked() == []


def test_a_word_says_nothing_of_other_queues(rig: Any, store: Any) -> None:
    made = rig("*", told=True)
    made.steps(3)
    jobs = [add(store, queue=queue) for queue in ("a", "b")]
    made.worker.hear({"ready": ["a"], "paused": []})
    made.worker.hear({"said": ["b"]})
    assert sorted(made.work() + made.work()) == sorted(jobs)


def test_a_word_about_a_queue_that_is_known_to_be_paused_is_none(rig: Any, store: Any) -> None:
    made = rig("mail", told=True)
    made.steps(3)
    store.asked()
    made.worker.hear({"ready": [], "paused": ["mail"]})
    made.worker.hear({"said": ["mail"]})
    made.step()
    assert store.asked() == []


def test_claims_show_that_a_queue_is_not_paused_any_more(rig: Any, store: Any) -> None:
    made = rig("a", slots=1)
    made.measure(0.001)
    jobs = add_many(store, 3, queue="a")
    made.worker.hear({"ready": [], "paused": ["a"]})
    made.step()
    made.start()
    made.step()
    assert [state_of(store, id) for id in jobs] == [State.RUNNING] * 3


def test_jobs_for_this_runner_alone_come_before_the_others(rig: Any, store: Any) -> None:
    made = rig("mail", told=True)
    made.steps(3)
    add(store, queue="mail")
    own = add(store, queue=broadcast_queue(RUNNER.id))
    made.worker.hear({"ready": [broadcast_queue(RUNNER.id), "mail"], "paused": []})
    assert made.work() == [own]


def test_claims_of_a_queue_that_was_paused_go_back(rig: Any, store: Any, clock: Any) -> None:
    made = rig("a,b", slots=1)
    made.measure(0.001)
    jobs = [add(store, queue=queue) for queue in ("a", "a", "a", "b")]
    made.step()
    (running,) = made.start()
    store.pause("a")
    made.worker.hear({"ready": [], "paused": ["a"]})
    made.step()
    assert [state_of(store, id) for id in jobs] == [State.RUNNING, State.READY, State.READY, State.RUNNING]
    assert [record(store, id).interruptions for id in jobs] == [0] * 4
    made.finish(running)
    assert made.work() == [jobs[3]]


def test_a_quiet_worker_claims_nothing_and_hands_back_what_waits(rig: Any, store: Any, clock: Any) -> None:
    made = rig(slots=1)
    made.measure(0.001)
    jobs = add_many(store, 3)
    made.step()
    (running,) = made.start()
    number = store.instruct("worker-1", Order.QUIET)
    made.worker.hear({"order": "quiet", "number": number})
    made.finish(running)
    made.step()
    clock.advance(10 * POLL)
    made.step()
    assert [state_of(store, id) for id in jobs] == [State.SUCCEEDED, State.READY, State.READY]
    made.worker.hear({"order": "work", "number": number + 1})
    clock.advance(10 * POLL)
    assert made.work() == [jobs[1], jobs[2]][: made.workload.slots]


def test_an_order_is_confirmed_once_the_store_answers(rig: Any, store: Any) -> None:
    made = rig()
    made.step()
    number = store.instruct("worker-1", Order.PING)
    made.worker.hear({"order": "work", "number": number})
    store.fail("heed")
    made.step()
    made.step()
    ((seen,),) = [runner.workers for runner in MemoryInspector(store).runners()]
    assert (seen.heeded, seen.instructed) == (number, number)
    store.asked()
    made.step()
    assert "heed" not in store.asked()


def test_a_worker_told_to_stop_ends(rig: Any, store: Any) -> None:
    made = rig()
    made.step()
    made.worker.hear({"order": "stop", "number": store.instruct("worker-1", Order.STOP)})
    made.step()
    assert made.worker.is_stopping
    assert not made.worker.is_worn


def test_a_cancellation_reaches_the_executor(rig: Any, store: Any) -> None:
    made, id = rig(), add(store)
    made.worker.hear({"cancel": str(id), "token": 7, "reason": "not needed"})
    made.step()
    assert made.executor.cancelled == (id, 7, "not needed")


# --- Wear ---


def test_a_worker_claims_no_more_jobs_than_it_may_run(rig: Any, store: Any) -> None:
    made = rig(slots=4, max_jobs=6)
    made.measure(0.0001)
    add_many(store, 50)
    made.step()
    assert sum(made.workload.counts()[:2]) == 6


def test_a_job_that_ends_while_its_worker_counts_is_counted(
    rig: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rig(slots=2, max_jobs=3)
    add_many(store, 5)
    made.step()
    first, second = made.start()
    made.finish(first)
    collect = made.workload.collect

    def collected_just_before_the_second_ends() -> Any:
        collected = collect()
        monkeypatch.undo()
        made.finish(second)
        return collected

    monkeypatch.setattr(made.workload, "collect", collected_just_before_the_second_ends)
    made.step()
    assert len(made.start()) == 1


def test_a_worker_that_has_run_its_jobs_ends_to_be_replaced(rig: Any, store: Any) -> None:
    made = rig(max_jobs=2)
    add_many(store, 5)
    assert len(made.work()) == 1
    assert not made.worker.is_worn
    assert len(made.work()) == 1
    made.step()
    assert made.worker.is_worn
    assert made.worker.is_stopping
    assert made.work() == []


def test_a_worker_that_holds_too_much_memory_ends_when_its_job_has(
    rig: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [100]
    monkeypatch.setattr("dlq.runtime.wear.resident_memory", lambda pid: held[0] * 1024 * 1024)
    made = rig(max_memory=100)
    add_many(store, 5)
    made.work()
    made.step()
    assert not made.worker.is_worn
    held[0] = 101
    made.finish(*made.start())
    made.step()
    assert made.worker.is_worn


# --- Notes ---


def test_what_a_job_says_reaches_the_store_before_its_outcome(rig: Any, store: Any, clock: Any) -> None:
    made, id = rig(), add(store)
    made.step()
    (running,) = made.start()
    notebook = Notebook(running.claim.id, running.claim.token, running.claim.metadata)
    notebook.listen(made.workload.noted)
    notebook.write(progress=0.5, message="half of it")
    made.finish(running)
    store.asked()
    made.step()
    calls = store.asked()
    assert calls.index("annotate") < calls.index("exchange")
    assert (record(store, id).progress, record(store, id).message) == (0.5, "half of it")
    assert state_of(store, id) is State.SUCCEEDED


def test_notes_outlast_an_outage(rig: Any, store: Any, clock: Any) -> None:
    made, id = rig(), add(store)
    made.step()
    (running,) = made.start()
    notebook = Notebook(running.claim.id, running.claim.token, running.claim.metadata)
    notebook.listen(made.workload.noted)
    notebook.write(progress=0.5, message="half of it")
    made.finish(running)
    store.is_away = True
    made.steps(3)
    store.is_away = False
    made.steps(2)
    assert (record(store, id).progress, state_of(store, id)) == (0.5, State.SUCCEEDED)


# --- Alone in the runner ---


def lose_runner_of(store: Any, id: UUID) -> None:
    """Have this job, which must come next, be interrupted by the loss of a runner."""
    claimer = register(store, "worker-9", "runner-9")
    (held,) = claim(store, claimer, 1)
    assert held.id == id
    lost = Failure(exception="dlq.errors.RunnerLost", traceback="")
    store.exchange(claimer, [Outcome.interrupted(held, lost)], [], 0)
    store.retire("runner-9")


def test_a_suspect_of_a_lost_runner_starts_when_the_parent_says_so(rig: Any, store: Any) -> None:
    made, id = rig(slots=2), add(store)
    lose_runner_of(store, id)
    made.step()
    assert made.start() == []
    assert made.page.asks
    made.page.gate = Gate.GRANTED
    assert made.work() == [id]
    made.step()
    assert state_of(store, id) is State.SUCCEEDED
    assert not made.page.asks


def test_a_suspect_that_cannot_be_alone_in_time_is_put_off_uncounted(rig: Any, store: Any) -> None:
    made, id = rig(), add(store)
    lose_runner_of(store, id)
    made.step()
    made.page.gate = Gate.REFUSED
    made.step()
    job = record(store, id)
    assert (job.state, job.attempts, job.interruptions) == (State.SCHEDULED, 0, 1)
    assert not made.page.asks


def test_a_worker_that_is_held_hands_back_what_has_not_started_and_claims_nothing(
    rig: Any, store: Any
) -> None:
    made = rig()
    running = add(store)
    made.step()
    (started,) = made.start()
    made.page.gate = Gate.HELD
    waiting = add(store)
    made.finish(started)
    made.step()
    made.step()
    assert made.page.is_quiet
    assert [state_of(store, id) for id in (running, waiting)] == [State.SUCCEEDED, State.READY]


@pytest.mark.parametrize("how", ["stop", "quiet"])
def test_a_worker_that_claims_no_more_hands_back_what_waits_to_be_alone(
    rig: Any, store: Any, how: str
) -> None:
    made, id = rig(), add(store)
    lose_runner_of(store, id)
    made.step()
    if how == "stop":
        made.worker.stop()
    else:
        made.worker.hear({"order": "quiet", "number": 1})
    made.step()
    assert state_of(store, id) is State.READY
    assert not made.page.asks
