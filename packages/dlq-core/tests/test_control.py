import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from pytest_django import Settings

from dlq import MemoryBackend, PayloadError, State, UnknownTask, task
from dlq.control import (
    cancel_jobs,
    copy_job,
    discard_jobs,
    instruct,
    job_record,
    prune_jobs,
    retry_jobs,
    running_jobs,
    wait_until_heeded,
    workers,
)
from dlq.errors import UndiscardableError
from dlq.ids import new_job_id
from dlq.job import Outcome
from dlq.store import JobFilter
from dlq.testing.contract.builders import (
    FAILURE,
    NOON,
    add,
    add_many,
    claim,
    claim_one,
    record,
    register,
    runner_info,
    settle,
    state_of,
    worker_info,
)
from dlq.workers import Instruction, Order

from .stored import stored

FAR = datetime(2999, 1, 1, tzinfo=UTC)


@task(queue="email", priority=3, max_attempts=4)
def send(to: str, *, subject: str = "") -> None: ...


@pytest.fixture
def one_of_each(memory: MemoryBackend) -> dict[State, UUID]:
    """A job in each state that one can be in without its task being unknown, and one that is parked."""
    store, worker = memory.store, register(memory.store)
    jobs: dict[State, UUID] = {}
    ends: list[tuple[State, Callable[[Any], Outcome]]] = [
        (State.SUCCEEDED, lambda claimed: Outcome.succeeded(claimed, "1", 1.0)),
        (State.FAILED, lambda claimed: Outcome.failed(claimed, FAILURE)),
        (State.CANCELLED, lambda claimed: Outcome.cancelled(claimed, "by the task")),
        (State.BLOCKED, Outcome.parked),
    ]
    for state, outcome in ends:
        jobs[state] = add(store)
        settle(store, worker, outcome(claim_one(store, worker)))
    jobs[State.RUNNING] = add(store)
    claim_one(store, worker)
    jobs[State.SCHEDULED] = add(store, run_after=FAR)
    jobs[State.READY] = add(store)
    assert {id: state_of(store, id) for id in jobs.values()} == {id: state for state, id in jobs.items()}
    return jobs


def states(memory: MemoryBackend, jobs: dict[State, UUID]) -> dict[State, State]:
    """What has become of the jobs, by the state in which they were; those that did not change are left out."""
    now = {was: state_of(memory.store, id) for was, id in jobs.items()}
    return {was: state for was, state in now.items() if was is not state}


CHANGES: dict[str, tuple[Callable[..., Any], dict[State, State], Any]] = {
    "retry": (retry_jobs, {State.FAILED: State.READY, State.CANCELLED: State.READY}, 2),
    "discard": (
        discard_jobs,
        dict.fromkeys([State.FAILED, State.SCHEDULED, State.BLOCKED, State.READY], State.CANCELLED),
        4,
    ),
    "cancel": (
        cancel_jobs,
        dict.fromkeys([State.SCHEDULED, State.BLOCKED, State.READY], State.CANCELLED),
        (3, 1),
    ),
}
each_change = pytest.mark.parametrize(("act", "changed", "counted"), CHANGES.values(), ids=CHANGES)
each_action = pytest.mark.parametrize("act", [retry_jobs, discard_jobs, cancel_jobs])


@each_change
def test_a_filter_reaches_the_states_for_which_the_action_is_meant(
    memory: MemoryBackend,
    one_of_each: dict[State, UUID],
    act: Callable[..., Any],
    changed: dict[State, State],
    counted: Any,
) -> None:
    assert act(JobFilter()) == counted
    assert states(memory, one_of_each) == changed


@each_change
def test_named_jobs_are_changed_one_by_one_in_the_same_states(
    memory: MemoryBackend,
    one_of_each: dict[State, UUID],
    act: Callable[..., Any],
    changed: dict[State, State],
    counted: Any,
) -> None:
    for was, id in one_of_each.items():
        if not (act is discard_jobs and was is State.RUNNING):
            act(id)
    assert states(memory, one_of_each) == changed


def test_a_running_job_that_is_named_cannot_be_discarded(
    memory: MemoryBackend, one_of_each: dict[State, UUID]
) -> None:
    with pytest.raises(UndiscardableError, match=f"{one_of_each[State.RUNNING]}. Cancel it instead"):
        discard_jobs(one_of_each.values())
    assert states(memory, one_of_each) == {}


def test_a_running_job_is_asked_to_stop_with_the_reason(
    memory: MemoryBackend, one_of_each: dict[State, UUID]
) -> None:
    assert cancel_jobs(one_of_each[State.RUNNING], reason="too old") == (0, 1)
    (asked,) = memory.store.look("runner-1", 10, now=NOON).cancellations
    assert (asked.id, asked.reason) == (one_of_each[State.RUNNING], "too old")


@pytest.mark.parametrize(("act", "reason"), [(discard_jobs, "discarded"), (cancel_jobs, "cancelled")])
def test_the_reason_stays_with_the_job(memory: MemoryBackend, act: Callable[..., Any], reason: str) -> None:
    plain, told = add_many(memory.store, 2)
    act(plain)
    act(told, reason="spam")
    assert [record(memory.store, id).reason for id in (plain, told)] == [reason, "spam"]


NAMES: dict[str, Callable[[UUID], Any]] = {
    "text": str,
    "UUID": lambda id: id,
    "hex": lambda id: id.hex,
    "several": lambda id: [id],
    "the same twice": lambda id: (id, str(id)),
    "generator": lambda id: (name for name in [id]),
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_jobs_are_named_by_ids(memory: MemoryBackend, name: Callable[[UUID], Any]) -> None:
    id = add(memory.store)
    assert discard_jobs(name(id)) == 1
    assert state_of(memory.store, id) is State.CANCELLED


def test_a_result_says_which_backend_has_the_job(settings: Settings, memory: MemoryBackend) -> None:
    settings.TASKS = {alias: {"BACKEND": "dlq.MemoryBackend"} for alias in ("default", "other")}
    here, there = send.enqueue("ann"), send.using(backend="other").enqueue("bob")
    assert discard_jobs([here, there]) == 2
    for result in (here, there):
        result.refresh()
        assert result.state is State.CANCELLED
    with pytest.raises(TaskResultDoesNotExist, match=f"backend 'default' has no job {there.id}"):
        discard_jobs(there.id)
    assert retry_jobs(there.id, backend="other") == 1


@each_action
@pytest.mark.parametrize("unknown", [str(new_job_id()), new_job_id(), "no-uuid", "", 7, None])
def test_an_unknown_id_is_an_error_and_nothing_was_changed(
    memory: MemoryBackend, act: Callable[..., Any], unknown: Any
) -> None:
    ready = add(memory.store)
    with pytest.raises(TaskResultDoesNotExist, match=r"has no job|is not the id of a job: ids are UUIDs"):
        act([ready, unknown])
    assert state_of(memory.store, ready) is State.READY


@each_action
def test_no_jobs_at_all_are_no_error(memory: MemoryBackend, act: Callable[..., Any]) -> None:
    add(memory.store)
    assert act([]) in (0, (0, 0))
    assert stored(memory)[0].state is State.READY


def test_a_filter_chooses_by_state_queue_and_task(memory: MemoryBackend) -> None:
    jobs = {
        (queue, of): add(memory.store, queue=queue, task=of)
        for queue in ("email", "sms")
        for of in ("a.b", "c.d")
    }
    assert discard_jobs(JobFilter(queues={"email"}, tasks={"a.b"})) == 1
    assert discard_jobs(JobFilter(states={State.SCHEDULED, State.RUNNING})) == 0
    assert [key for key, id in jobs.items() if state_of(memory.store, id) is State.CANCELLED] == [
        ("email", "a.b")
    ]


@pytest.mark.parametrize("by_name", [True, False])
def test_many_jobs_are_changed_in_batches_that_are_reported(memory: MemoryBackend, by_name: bool) -> None:
    ids, told = add_many(memory.store, 1203), list[int]()
    assert discard_jobs(ids if by_name else JobFilter(), progress=told.append) == 1203
    assert told == [500, 500, 203]
    told.clear()
    assert retry_jobs(ids if by_name else JobFilter(), progress=told.append) == 1203
    assert told == [500, 500, 203]


def test_a_job_that_fails_again_meanwhile_is_retried_once(memory: MemoryBackend) -> None:
    worker = register(memory.store)
    add_many(memory.store, 501)
    settle(memory.store, worker, *(Outcome.failed(c, FAILURE) for c in claim(memory.store, worker, 501)))

    def fail_again(count: int) -> None:
        settle(memory.store, worker, *(Outcome.failed(c, FAILURE) for c in claim(memory.store, worker, 501)))

    assert retry_jobs(JobFilter(), progress=fail_again) == 501


# --- Copies ---


def test_a_copy_has_the_arguments_and_options_of_the_job(memory: MemoryBackend) -> None:
    options = {"run_after": FAR, "timeout": 7, "metadata": {"by": "me"}, "expires_after": 60}
    original = send.using(queue="bulk", **options).enqueue("ann", subject="hi")
    first, second = job_record(original), job_record(copy_job(original))
    assert second.id != first.id
    for name in (
        "task",
        "queue",
        "priority",
        "payload",
        "run_after",
        "max_attempts",
        "overrides",
        "metadata",
    ):
        assert getattr(second, name) == getattr(first, name), name
    assert (first.queue, first.run_after, first.max_attempts) == ("bulk", FAR, 4)


def test_a_copy_may_wait_as_long_as_the_job_could(memory: MemoryBackend) -> None:
    id = add(memory.store, task=send.module_path, payload='[["ann"],{}]', expires_after=90.0)
    copy = job_record(copy_job(id))
    assert copy.expires_at == copy.enqueued_at + timedelta(seconds=90)


def test_a_copy_takes_other_arguments_and_options(memory: MemoryBackend) -> None:
    original = send.enqueue("ann", subject="hi")
    edited = job_record(copy_job(original.id, ["bob"], queue="other", priority=9))
    assert json.loads(edited.payload) == [["bob"], {"subject": "hi"}]
    assert (edited.queue, edited.priority) == ("other", 9)
    bare = job_record(copy_job(UUID(original.id), kwargs={}))
    assert json.loads(bare.payload) == [["ann"], {}]


@task(version=2, upcast=lambda version, args, kwargs: ([*args, version], kwargs))
def greet(name: str, since: int) -> None: ...


def test_a_copy_has_arguments_of_today_s_version(memory: MemoryBackend) -> None:
    old = add(memory.store, task=greet.module_path, payload='[["ann"],{}]')
    copy = job_record(copy_job(old))
    assert (json.loads(copy.payload), copy.overrides) == ([["ann", 1], {}], '{"version": 2}')
    again = job_record(copy_job(copy.id))
    assert json.loads(again.payload) == [["ann", 1], {}]


def _failed(memory: MemoryBackend, **fields: Any) -> UUID:
    worker = register(memory.store)
    id = add(memory.store, **fields)
    settle(memory.store, worker, Outcome.failed(claim_one(memory.store, worker), FAILURE))
    return id


def test_failed_jobs_are_retried_with_edited_arguments(memory: MemoryBackend) -> None:
    ids = [_failed(memory, task=greet.module_path, payload=f'[["{name}"],{{}}]') for name in ("ann", "bob")]
    chosen = JobFilter(states={State.FAILED}, tasks={greet.module_path})
    assert retry_jobs(chosen, edit=lambda args, kwargs: ([args[0].title(), args[1]], kwargs)) == 2
    jobs = [record(memory.store, id) for id in ids]
    assert [json.loads(job.payload) for job in jobs] == [[["Ann", 1], {}], [["Bob", 1], {}]]
    assert [(job.state, job.overrides) for job in jobs] == [(State.READY, '{"version": 2}')] * 2


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (lambda args, kwargs: ([{1}], kwargs), PayloadError),
        (lambda args, kwargs: 1 / 0, ZeroDivisionError),
    ],
)
def test_an_edit_that_cannot_be_changes_nothing(memory: MemoryBackend, edit: Any, error: Any) -> None:
    id = _failed(memory, task=send.module_path)
    before = record(memory.store, id)
    with pytest.raises(error):
        retry_jobs(id, edit=edit)
    assert record(memory.store, id) == before


def test_a_finished_job_can_be_copied_and_stays(memory: MemoryBackend) -> None:
    result = send.enqueue("ann")
    discard_jobs(result)
    assert copy_job(result).state is State.READY
    assert job_record(result).state is State.CANCELLED


def test_a_copy_stays_on_the_backend_of_the_job(settings: Settings, memory: MemoryBackend) -> None:
    settings.TASKS = {alias: {"BACKEND": "dlq.MemoryBackend"} for alias in ("default", "other")}
    copy = copy_job(send.using(backend="other").enqueue("ann"))
    assert copy.backend == "other"
    assert copy_job(copy.id, backend="other").backend == "other"
    with pytest.raises(TaskResultDoesNotExist):
        copy_job(copy.id)


REFUSED_COPIES: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "arguments that JSON does not have": ({"args": [{1}]}, PayloadError),
    "unknown option": ({"typo": 1}, TypeError),
    "wrong option": ({"priority": 1000}, InvalidTask),
}


@pytest.mark.parametrize(("given", "error"), REFUSED_COPIES.values(), ids=REFUSED_COPIES)
def test_a_copy_that_cannot_be_is_refused(
    memory: MemoryBackend, given: dict[str, Any], error: type[Exception]
) -> None:
    result = send.enqueue("ann")
    with pytest.raises(error):
        copy_job(result, **given)
    assert len(stored(memory)) == 1


def test_a_job_of_an_unknown_task_cannot_be_copied_but_can_be_read(memory: MemoryBackend) -> None:
    id = add(memory.store, task="gone.tasks.send")
    with pytest.raises(UnknownTask, match=r"gone\.tasks\.send"):
        copy_job(id)
    assert job_record(str(id)).task == "gone.tasks.send"
    with pytest.raises(TaskResultDoesNotExist):
        job_record(new_job_id())


# --- Pruning ---


def test_pruning_deletes_what_is_old_enough_and_says_how_many(memory: MemoryBackend) -> None:
    worker, told = register(memory.store), list[int]()
    add_many(memory.store, 700)
    settle(memory.store, worker, *(Outcome.succeeded(c, "1", 1.0) for c in claim(memory.store, worker, 700)))
    recent = add(memory.store)
    settle(
        memory.store,
        worker,
        Outcome.succeeded(claim_one(memory.store, worker), "1", 1.0),
        now=datetime.now(UTC),
    )
    assert prune_jobs(State.FAILED, 60) == 0
    assert prune_jobs(State.SUCCEEDED, None) == 0
    assert prune_jobs(State.SUCCEEDED, 60, task="another.task") == 0
    assert prune_jobs(State.SUCCEEDED, 60, progress=told.append) == 700
    assert told == [500, 200]
    assert [job.id for job in stored(memory)] == [recent]


@pytest.mark.parametrize("state", [State.READY, State.RUNNING, State.SCHEDULED, State.BLOCKED])
def test_only_finished_jobs_can_be_pruned(memory: MemoryBackend, state: State) -> None:
    with pytest.raises(ValueError, match=f"A job that is {state.label} has not finished"):
        prune_jobs(state, 0)


# --- Workers ---


@pytest.fixture
def three(memory: MemoryBackend) -> MemoryBackend:
    """Two workers of one runner, and one of another."""
    for runner, worker in (("r1", "r1/a"), ("r1", "r1/b"), ("r2", "r2/a")):
        memory.store.register_runner(runner_info(runner), now=NOON)
        memory.store.register_worker(worker_info(worker, runner), now=NOON)
    return memory


def test_workers_are_those_of_all_runners(three: MemoryBackend) -> None:
    assert [(worker.id, worker.runner) for worker in workers()] == [
        ("r1/a", "r1"),
        ("r1/b", "r1"),
        ("r2/a", "r2"),
    ]


@pytest.mark.parametrize(
    ("targets", "meant"),
    [
        ("r1/a", ["r1/a"]),
        ("r1", ["r1/a", "r1/b"]),
        (["r2", "r1/b", "r2/a"], ["r1/b", "r2/a"]),
        ("nobody", []),
        ([], []),
    ],
)
def test_a_worker_or_all_workers_of_a_runner_can_be_told(
    three: MemoryBackend, targets: str | list[str], meant: list[str]
) -> None:
    told = instruct(targets, Order.QUIET)
    assert [given.worker for given in told] == meant
    orders = {worker.id: worker.order for worker in workers()}
    assert {id for id, order in orders.items() if order is Order.QUIET} == set(meant)


def test_waiting_ends_when_all_have_confirmed(three: MemoryBackend) -> None:
    told = instruct(["r1", "r2"], Order.PING)
    paused: list[float] = []

    def heed(seconds: float) -> None:
        given = told[len(paused)]
        three.store.heed(given.worker, given.number)
        paused.append(seconds)

    assert wait_until_heeded(told, timeout=60, pause=heed) == []
    assert len(paused) == 3


def test_who_has_not_confirmed_in_time_is_named(three: MemoryBackend) -> None:
    first, second = instruct("r1", Order.PING)
    three.store.heed(first.worker, first.number)
    assert wait_until_heeded([first, second], timeout=0) == [second]
    assert wait_until_heeded([Instruction("r1/a", Order.PING, first.number + 1)], timeout=0) != []


@pytest.mark.parametrize(
    ("order", "answered"), [(Order.STOP, True), (Order.PING, False), (Order.QUIET, False)]
)
def test_a_worker_that_has_ended_has_obeyed_an_order_to_stop_and_no_other(
    three: MemoryBackend, order: Order, answered: bool
) -> None:
    told = instruct("r2", order)
    three.store.unregister_worker("r2/a")
    assert (wait_until_heeded(told, timeout=0) == []) is answered


def test_running_jobs_are_listed(memory: MemoryBackend) -> None:
    worker = register(memory.store)
    ids = add_many(memory.store, 600)
    claim(memory.store, worker, 501)
    running = [job.id for job in running_jobs()]
    assert len(running) == 501
    assert running == sorted(running, reverse=True)
    assert set(running) <= set(ids)
