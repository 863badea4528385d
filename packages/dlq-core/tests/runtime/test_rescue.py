from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from django.tasks import TaskResultStatus
from django.tasks.signals import task_finished

from dlq import Counted, MemoryBackend, State, StoreUnavailable, task
from dlq.conf import Delivery
from dlq.job import Claim, NewJob, Outcome
from dlq.runtime.rescue import DeadWorker, rescue_orphans, rescue_worker
from dlq.testing.contract.builders import (
    FAILURE,
    NOON,
    add,
    claim,
    claim_ids,
    new_job,
    record,
    register,
    runner_info,
    state_of,
)
from dlq.workers import WorkerRef

BY = "runner-1"
KILLED = "exited with signal 9 (SIGKILL)"


@task(timeout=30)
def send() -> None: ...


@task(timeout=30, max_attempts=3, backoff=40)
def send_again() -> None: ...


never = threading.Event()


def think_for_ever(exception: BaseException, result: Any) -> float:
    never.wait(60)
    return 0.0


@task(timeout=30, max_attempts=3, backoff=think_for_ever)
def send_some_time() -> None: ...


@task
def send_without_timeout() -> None: ...


@pytest.fixture
def worker(store: Any) -> WorkerRef:
    """A worker of the runner that rescues."""
    return register(store, "worker-1", BY)


@pytest.fixture
def bury(faulty: MemoryBackend, store: Any) -> Callable[..., int]:
    """Rescues worker-1, of which the parent knows what is given."""

    def bury(*started: Claim, **known: Any) -> int:
        held = [(claim.id, claim.token) for claim in started]
        dead = DeadWorker(**{"id": "worker-1", "reason": KILLED, "started": held, **known})
        return rescue_worker(store, faulty, BY, dead)

    return bury


@pytest.fixture
def rescue(faulty: MemoryBackend, store: Any) -> Callable[[], int]:
    """Rescues what lost runners have left behind."""
    return lambda: rescue_orphans(store, faulty, BY, "its runner stopped beating")


def counters(store: Any, id: UUID) -> tuple[State, int, int]:
    found = record(store, id)
    return found.state, found.attempts, found.interruptions


def lose_again(store: Any, id: UUID, times: int) -> None:
    """Interrupt the job that comes next, and which must be this one."""
    claimer = register(store, "worker-0", "runner-0")
    for _ in range(times):
        (held,) = claim(store, claimer, 1)
        assert held.id == id
        store.exchange(claimer, [Outcome.interrupted(held, FAILURE)], [], 0)
    store.retire("runner-0")


# --- A dead child ---


def test_a_job_that_ran_is_interrupted_and_uses_up_no_attempt(
    store: Any, worker: WorkerRef, bury: Any
) -> None:
    id = add(store)
    (held,) = claim(store, worker)
    assert bury(held) == 1
    assert counters(store, id) == (State.READY, 0, 1)
    (attempt,) = record(store, id).history
    assert (attempt.worker, attempt.counted) == ("worker-1", Counted.INTERRUPTION)
    assert attempt.failure.exception == "dlq.errors.WorkerLost"
    assert "Worker worker-1 was lost: exited with signal 9 (SIGKILL)." in attempt.failure.traceback


def test_what_had_not_started_goes_back_uncounted_to_its_place(
    store: Any, worker: WorkerRef, bury: Any
) -> None:
    ids = [add(store) for _ in range(4)]
    held = claim(store, worker)
    later = add(store)
    assert bury(held[0]) == 1
    assert [counters(store, id) for id in ids[1:]] == [(State.READY, 0, 0)] * 3
    assert [record(store, id).history for id in ids[1:]] == [()] * 3
    assert claim_ids(store, register(store, "worker-2", "runner-2")) == [*ids, later]


def test_a_worker_that_died_idle_leaves_nothing_behind(store: Any, worker: WorkerRef, bury: Any) -> None:
    assert bury() == 0
    assert store.exchange(worker, [], ["default"], 1).registered is False


def test_a_job_that_was_settled_before_the_death_stays_settled(
    store: Any, worker: WorkerRef, bury: Any
) -> None:
    id = add(store)
    (held,) = claim(store, worker)
    store.exchange(worker, [Outcome.succeeded(held, "1", 0.1)], [], 0)
    assert bury(held) == 0
    assert counters(store, id) == (State.SUCCEEDED, 1, 0)


def test_nothing_can_come_after_a_burial(store: Any, worker: WorkerRef, bury: Any) -> None:
    """An exchange of the dead worker that the store was still working on."""
    bury()
    add(store)
    assert store.exchange(worker, [], ["default"], 1).claims == []


def test_more_jobs_than_fit_into_one_batch_are_taken_back(
    store: Any, worker: WorkerRef, bury: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlq.runtime.rescue.BATCH", 2)
    ids = [add(store) for _ in range(5)]
    assert bury(*claim(store, worker)) == 5
    assert [counters(store, id) for id in ids] == [(State.READY, 0, 1)] * 5


# --- Worker lost ---


def test_a_job_that_ran_alone_fails_once_the_losses_are_too_many(
    store: Any, worker: WorkerRef, bury: Any, caplog: pytest.LogCaptureFixture
) -> None:
    id = add(store, max_interruptions=2, max_attempts=5)
    lose_again(store, id, 2)
    (held,) = claim(store, worker)
    bury(held)
    assert counters(store, id) == (State.FAILED, 0, 3)
    last = record(store, id).history[-1]
    assert (last.counted, last.failure.exception) == (Counted.INTERRUPTION, "dlq.errors.WorkerLost")
    assert KILLED in last.failure.traceback
    assert any(line.startswith(f"Job {id} shop.tasks.send failed: ") for line in caplog.messages)


def test_up_to_its_limit_a_job_survives_losses(store: Any, worker: WorkerRef, bury: Any) -> None:
    id = add(store, max_interruptions=2)
    lose_again(store, id, 1)
    (held,) = claim(store, worker)
    bury(held)
    assert counters(store, id) == (State.READY, 0, 2)


def test_a_job_that_may_survive_no_loss_fails_of_the_first(store: Any, worker: WorkerRef, bury: Any) -> None:
    id = add(store, max_interruptions=0)
    (held,) = claim(store, worker)
    bury(held)
    assert counters(store, id) == (State.FAILED, 0, 1)


def test_a_job_that_did_not_run_alone_never_fails_of_a_loss(store: Any, worker: WorkerRef, bury: Any) -> None:
    id, other = add(store, max_interruptions=0), add(store, max_interruptions=0)
    bury(*claim(store, worker))
    assert counters(store, id) == (State.READY, 0, 1)
    assert counters(store, other) == (State.READY, 0, 1)


def test_those_that_only_waited_do_not_make_a_job_less_alone(
    store: Any, worker: WorkerRef, bury: Any
) -> None:
    id, waiting = add(store, max_interruptions=0), add(store, max_interruptions=0)
    running, _ = claim(store, worker)
    bury(running)
    assert counters(store, id) == (State.FAILED, 0, 1)
    assert counters(store, waiting) == (State.READY, 0, 0)


# --- Timeouts that ended in a kill ---


def add_real(store: Any, declared: Any, **fields: Any) -> UUID:
    job: NewJob = new_job(task=declared.module_path, **fields)
    store.enqueue([job], now=NOON)
    return job.id


def test_an_overdue_job_is_an_attempt_that_timed_out(store: Any, worker: WorkerRef, bury: Any) -> None:
    id = add_real(store, send)
    (held,) = claim(store, worker)
    bury(held, overdue=id)
    assert counters(store, id) == (State.FAILED, 1, 0)
    (attempt,) = record(store, id).history
    assert (attempt.counted, attempt.failure.exception) == (Counted.ATTEMPT, "dlq.errors.TaskTimeout")
    assert "ignored its timeout, and its worker process was killed." in attempt.failure.traceback


def test_an_overdue_job_is_tried_again_as_its_task_says(store: Any, worker: WorkerRef, bury: Any) -> None:
    id = add_real(store, send_again, max_attempts=3)
    (held,) = claim(store, worker)
    bury(held, overdue=id)
    assert counters(store, id) == (State.SCHEDULED, 1, 0)
    found = record(store, id)
    assert found.due_at is not None
    (attempt,) = found.history
    assert (found.due_at - attempt.finished_at).total_seconds() == 40
    assert (attempt.finished_at - attempt.started_at).total_seconds() == pytest.approx(30, abs=5)


def test_code_that_does_not_say_how_a_job_goes_on_is_not_waited_for(
    store: Any, worker: WorkerRef, bury: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlq.runtime.rescue.ANSWER_WITHIN", 0.01)
    again = add_real(store, send_some_time, max_attempts=3)
    (held,) = claim(store, worker)
    bury(held, overdue=again)
    never.set()
    assert counters(store, again) == (State.SCHEDULED, 1, 0)


def test_neighbours_of_an_overdue_job_go_back_uncounted(store: Any, worker: WorkerRef, bury: Any) -> None:
    overdue, neighbour, waiting = add_real(store, send), add(store), add(store)
    held = claim(store, worker)
    assert bury(*held[:2], overdue=overdue) == 2
    assert [counters(store, id) for id in (neighbour, waiting)] == [(State.READY, 0, 0)] * 2
    assert record(store, neighbour).history == ()


def test_an_overdue_job_that_finished_just_in_time_has_finished(
    store: Any, worker: WorkerRef, bury: Any
) -> None:
    overdue, neighbour = add_real(store, send), add(store)
    first, second = claim(store, worker)
    store.exchange(worker, [Outcome.succeeded(first, "1", 0.1)], [], 0)
    bury(second, overdue=overdue)
    assert counters(store, overdue) == (State.SUCCEEDED, 1, 0)
    assert counters(store, neighbour) == (State.READY, 0, 0)


@pytest.mark.parametrize("path", ["shop.tasks.gone", send_without_timeout.module_path])
def test_an_overdue_job_fails_even_if_its_task_has_changed_since(
    store: Any, worker: WorkerRef, bury: Any, path: str
) -> None:
    id = add(store, task=path)
    (held,) = claim(store, worker)
    bury(held, overdue=id)
    assert counters(store, id) == (State.FAILED, 1, 0)
    assert record(store, id).history[0].failure.exception == "dlq.errors.TaskTimeout"


@pytest.fixture
def finished() -> Iterator[list[TaskResultStatus]]:
    heard: list[TaskResultStatus] = []

    def hear(task_result: Any, **kwargs: Any) -> None:
        heard.append(task_result.status)

    task_finished.connect(hear)
    yield heard
    task_finished.disconnect(hear)


def test_who_listens_hears_that_an_overdue_job_has_failed(
    store: Any, worker: WorkerRef, bury: Any, finished: list[TaskResultStatus]
) -> None:
    id = add_real(store, send)
    bury(*claim(store, worker), overdue=id)
    assert finished == [TaskResultStatus.FAILED]


# --- A deliberate end ---


def test_jobs_of_a_worker_that_was_ended_on_purpose_go_back_uncounted(
    store: Any, worker: WorkerRef, bury: Any
) -> None:
    ids = [add(store, max_interruptions=0), add(store)]
    running, _ = claim(store, worker)
    assert bury(running, deliberate=True) == 1
    assert [counters(store, id) for id in ids] == [(State.READY, 0, 0)] * 2
    assert [record(store, id).history for id in ids] == [(), ()]


# --- Again, and together with others ---


@pytest.mark.parametrize("verb", ["reconcile", "held", "exchange", "unregister_worker"])
@pytest.mark.parametrize("fault", ["fail", "lose_reply"])
def test_a_rescue_may_be_repeated_after_an_error(
    store: Any, worker: WorkerRef, bury: Any, verb: str, fault: str
) -> None:
    ids = [add(store) for _ in range(3)]
    running = claim(store, worker)[:2]
    getattr(store, fault)(verb)
    with pytest.raises(StoreUnavailable):
        bury(*running)
    bury(*running)
    assert [counters(store, id) for id in ids] == [
        (State.READY, 0, 1),
        (State.READY, 0, 1),
        (State.READY, 0, 0),
    ]
    assert [len(record(store, id).history) for id in ids] == [1, 1, 0]
    assert store.held("worker-1", 9) == []


def test_a_repeated_rescue_leaves_what_others_have_claimed_since(
    store: Any, worker: WorkerRef, bury: Any
) -> None:
    id = add(store)
    running = claim(store, worker)
    store.lose_reply("exchange")
    with pytest.raises(StoreUnavailable):
        bury(*running)
    (again,) = claim(store, register(store, "worker-2", BY))
    assert bury(*running) == 0
    assert (state_of(store, id), record(store, id).token) == (State.RUNNING, again.token)


def test_when_a_peer_was_faster_nothing_is_left_to_do(
    store: Any, worker: WorkerRef, bury: Any, rescue: Any
) -> None:
    id = add(store)
    running = claim(store, worker)
    store.retire(BY)
    store.register_runner(runner_info("runner-2"))
    assert bury(*running) == 0
    assert counters(store, id) == (State.RUNNING, 0, 0)
    assert rescue() == 1
    assert counters(store, id) == (State.READY, 0, 1)
    assert bury(*running) == 0
    assert counters(store, id) == (State.READY, 0, 1)


# --- Orphans ---


def orphan(store: Any, count: int = 1, **fields: Any) -> list[UUID]:
    """Jobs that were claimed by workers of a runner that is gone."""
    ids = [add(store, **fields) for _ in range(count)]
    claimer = register(store, "worker-9", "runner-9")
    assert claim_ids(store, claimer) == ids
    store.retire("runner-9")
    return ids


def test_claims_of_a_lost_runner_are_interrupted(store: Any, rescue: Any) -> None:
    ids = orphan(store, 3)
    assert rescue() == 3
    assert [counters(store, id) for id in ids] == [(State.READY, 0, 1)] * 3
    text = record(store, ids[0]).history[0].failure.traceback
    assert "Worker worker-9 was lost: its runner stopped beating." in text


def test_without_orphans_nothing_is_written(store: Any, worker: WorkerRef, rescue: Any) -> None:
    id = add(store)
    claim(store, worker)
    store.asked()
    assert rescue() == 0
    assert store.asked() == ["orphans"]
    assert counters(store, id) == (State.RUNNING, 0, 0)


def test_a_suspect_of_a_lost_runner_ran_alone_in_the_next_and_fails_at_its_limit(
    store: Any, rescue: Any
) -> None:
    (id,) = orphan(store, max_interruptions=1)
    rescue()
    assert claim_ids(store, register(store, "worker-9", "runner-9")) == [id]
    store.retire("runner-9")
    rescue()
    assert counters(store, id) == (State.FAILED, 0, 2)
    failure = record(store, id).history[-1].failure
    assert failure.exception == "dlq.errors.RunnerLost"
    assert "its runner stopped beating" in failure.traceback


def test_one_that_was_alone_in_its_worker_only_may_have_died_of_what_ran_in_another(
    store: Any, rescue: Any
) -> None:
    id = add(store, max_interruptions=1)
    lose_again(store, id, 1)
    assert claim_ids(store, register(store, "worker-9", "runner-9")) == [id]
    store.retire("runner-9")
    rescue()
    assert counters(store, id) == (State.READY, 0, 2)


def test_of_the_others_it_is_not_known_whether_they_ran_alone(store: Any, rescue: Any) -> None:
    (id,) = orphan(store, max_interruptions=0)
    rescue()
    assert counters(store, id) == (State.READY, 0, 1)


def test_more_orphans_than_fit_into_one_batch_are_taken_back(
    store: Any, rescue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlq.runtime.rescue.BATCH", 2)
    ids = orphan(store, 5)
    assert rescue() == 5
    assert [counters(store, id) for id in ids] == [(State.READY, 0, 1)] * 5


def test_peers_that_rescue_at_the_same_time_count_a_loss_once(store: Any, rescue: Any) -> None:
    ids = orphan(store, 3)
    store.meanwhile["orphans"] = rescue
    assert rescue() == 3
    assert [counters(store, id) for id in ids] == [(State.READY, 0, 1)] * 3


def test_a_worker_that_settles_before_its_rescuer_has_settled(store: Any, rescue: Any) -> None:
    id = add(store)
    claimer = register(store, "worker-9", "runner-9")
    (held,) = claim(store, claimer)
    store.retire("runner-9")
    store.meanwhile["orphans"] = lambda: store.exchange(claimer, [Outcome.succeeded(held, "1", 0.1)], [], 0)
    rescue()
    assert counters(store, id) == (State.SUCCEEDED, 1, 0)


@pytest.mark.parametrize("verb", ["orphans", "exchange"])
@pytest.mark.parametrize("fault", ["fail", "lose_reply"])
def test_a_rescue_of_orphans_may_be_repeated_after_an_error(
    store: Any, rescue: Any, verb: str, fault: str
) -> None:
    ids = orphan(store, 2)
    getattr(store, fault)(verb)
    with pytest.raises(StoreUnavailable):
        rescue()
    rescue()
    assert [counters(store, id) for id in ids] == [(State.READY, 0, 1)] * 2


def test_a_job_that_had_ended_and_of_which_the_store_did_not_know_runs_again_uncounted(
    store: Any, worker: WorkerRef, bury: Any
) -> None:
    id = add(store)
    (first,) = claim(store, worker)
    assert bury(ended=[(first.id, first.token)]) == 0
    assert counters(store, id) == (State.READY, 0, 0)


# --- At most once ---


@pytest.fixture
def at_most_once(faulty: MemoryBackend) -> None:
    faulty.config = replace(faulty.config, delivery=Delivery.AT_MOST_ONCE)


@pytest.mark.usefixtures("at_most_once")
class TestAtMostOnce:
    def test_a_job_that_ran_has_failed_and_may_be_retried_by_hand(
        self, store: Any, worker: WorkerRef, bury: Any
    ) -> None:
        id, waiting = add(store, max_interruptions=9, max_attempts=9), add(store)
        running, _ = claim(store, worker)
        assert bury(running) == 1
        assert counters(store, id) == (State.FAILED, 0, 1)
        (attempt,) = record(store, id).history
        assert attempt.failure.exception == "dlq.errors.WorkerLost"
        assert KILLED in attempt.failure.traceback
        assert counters(store, waiting) == (State.READY, 0, 0)
        assert store.retry([id]) == [id]

    def test_so_has_one_that_had_ended_and_of_which_the_store_did_not_know(
        self, store: Any, worker: WorkerRef, bury: Any
    ) -> None:
        ended, waiting = add(store, max_attempts=9), add(store)
        first, _ = claim(store, worker)
        assert bury(ended=[(first.id, first.token)]) == 1
        assert counters(store, ended) == (State.FAILED, 0, 1)
        assert counters(store, waiting) == (State.READY, 0, 0)

    @pytest.mark.parametrize("alone", [True, False])
    def test_so_has_one_whose_runner_was_lost(
        self, store: Any, worker: WorkerRef, rescue: Any, alone: bool
    ) -> None:
        ids = [add(store) for _ in range(1 if alone else 3)]
        claim(store, worker)
        store.retire(BY)
        assert rescue() == len(ids)
        assert [counters(store, id) for id in ids] == [(State.FAILED, 0, 1)] * len(ids)

    def test_so_has_one_that_the_parent_killed_with_its_worker(
        self, store: Any, worker: WorkerRef, bury: Any
    ) -> None:
        id = add(store)
        bury(*claim(store, worker), deliberate=True, reason="was killed when time was up")
        assert counters(store, id) == (State.FAILED, 0, 1)
        assert "was killed when time was up" in record(store, id).history[0].failure.traceback

    def test_a_job_that_was_overdue_has_raised_and_its_neighbours_are_lost(
        self, store: Any, worker: WorkerRef, bury: Any
    ) -> None:
        overdue = add(store, task=send_again.module_path, max_attempts=3)
        neighbour = add(store)
        bury(*claim(store, worker), overdue=overdue)
        assert counters(store, overdue) == (State.SCHEDULED, 1, 0)
        assert counters(store, neighbour) == (State.FAILED, 0, 1)
