import dataclasses
import pickle
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.tasks import Task as DjangoTask
from django.tasks import TaskResultStatus
from django.tasks.base import TaskError
from django.tasks.exceptions import TaskResultDoesNotExist, TaskResultMismatch
from pytest_django import Settings

from dlq import (
    Attempt,
    Counted,
    Exponential,
    Failure,
    MemoryBackend,
    State,
    TaskResult,
    UnknownTask,
    queue_backend,
    task,
)
from dlq.errors import JobNotFinished
from dlq.ids import new_job_id
from dlq.job import Claim, JobRecord, Note, Outcome
from dlq.result import load_task, result_of
from dlq.workers import RunnerInfo, WorkerInfo, WorkerRef

pytestmark = pytest.mark.usefixtures("memory")

pickles = pytest.mark.skipif(
    django.VERSION < (6, 1), reason="tasks and results can be pickled from Django 6.1"
)


@task(queue="math", priority=5)
def add(a: int, b: int = 0) -> int:
    return a + b


@task
def other() -> None: ...


@task(queue="math", timeout=30, max_attempts=3, backoff=Exponential(first=1))
def careful() -> None: ...


NO_TASK = 5


def moment(minute: int) -> datetime:
    return datetime(2030, 1, 1, 12, minute, tzinfo=UTC)


def attempt(
    minute: int,
    exception: str = "builtins.ValueError",
    worker: str = "w1",
    counted: Counted = Counted.ATTEMPT,
) -> Attempt:
    return Attempt(
        worker=worker,
        started_at=moment(minute),
        finished_at=moment(minute) + timedelta(seconds=30),
        counted=counted,
        failure=Failure(exception=exception, traceback=f"Traceback of {minute}\n"),
    )


def interruption(minute: int, worker: str = "w1") -> Attempt:
    return attempt(minute, "dlq.errors.WorkerLost", worker, Counted.INTERRUPTION)


def record(**changes: Any) -> JobRecord:
    job = JobRecord(
        id=new_job_id(),
        state=State.READY,
        task=add.module_path,
        queue="math",
        payload='[[1],{"b":2}]',
        priority=5,
        run_after=None,
        enqueued_at=moment(0),
        due_at=None,
        started_at=None,
        finished_at=None,
        worker=None,
        token=1,
        attempts=0,
        interruptions=0,
        max_attempts=1,
        max_interruptions=3,
        overrides=None,
        result=None,
        history=(),
    )
    return dataclasses.replace(job, **changes)


def read(state: State = State.READY, history: Sequence[Attempt] = (), **changes: Any) -> TaskResult[..., Any]:
    """The result of a job with this record."""
    job = record(
        state=state,
        attempts=sum(entry.counted is Counted.ATTEMPT for entry in history),
        interruptions=sum(entry.counted is Counted.INTERRUPTION for entry in history),
        history=history,
        **changes,
    )
    return result_of(job, "default")


# --- What a result says, state by state ---


@pytest.mark.parametrize("state", [State.SCHEDULED, State.BLOCKED, State.READY])
def test_a_job_that_waits_has_not_started(state: State) -> None:
    result = read(state)
    assert (result.state, result.status, result.is_finished) == (state, TaskResultStatus.READY, False)
    assert (result.enqueued_at, result.started_at, result.last_attempted_at) == (moment(0), None, None)
    assert (result.finished_at, result.errors, result.worker_ids, result.attempts) == (None, [], [], 0)
    assert (result.args, result.kwargs) == ([1], {"b": 2})
    with pytest.raises(ValueError, match="Task has not finished yet"):
        _ = result.return_value


def test_a_running_job_counts_the_attempt_that_is_under_way() -> None:
    result = read(State.RUNNING, started_at=moment(1), worker="w1")
    assert (result.status, result.started_at, result.last_attempted_at) == ("RUNNING", moment(1), moment(1))
    assert (result.worker_ids, result.attempts) == (["w1"], 1)


def test_a_job_that_succeeded_has_its_value() -> None:
    result = read(
        State.SUCCEEDED, started_at=moment(1), finished_at=moment(2), worker="w1", result='{"sum":3}'
    )
    assert (result.status, result.is_finished, result.return_value) == ("SUCCESSFUL", True, {"sum": 3})
    assert (result.started_at, result.finished_at, result.attempts) == (moment(1), moment(2), 1)


def test_a_job_that_waits_for_its_next_attempt_shows_the_last() -> None:
    result = read(State.SCHEDULED, history=[attempt(1), attempt(3, worker="w2")])
    assert (result.started_at, result.last_attempted_at) == (moment(1), moment(3))
    assert (result.worker_ids, result.attempts) == (["w1", "w2"], 2)
    assert [error.traceback for error in result.errors] == ["Traceback of 1\n", "Traceback of 3\n"]


def test_a_job_that_succeeded_at_last_keeps_the_errors_of_its_earlier_attempts() -> None:
    result = read(
        State.SUCCEEDED, [attempt(1)], started_at=moment(5), finished_at=moment(6), worker="w2", result="3"
    )
    assert (result.started_at, result.last_attempted_at) == (moment(1), moment(5))
    assert result.worker_ids == ["w1", "w2"]
    assert [error.exception_class for error in result.errors] == [ValueError]
    assert result.return_value == 3


def test_a_job_that_failed_has_every_attempt_s_error_and_each_attempt_once() -> None:
    history = [attempt(1), attempt(3, "builtins.KeyError", "w2")]
    result = read(State.FAILED, history, started_at=moment(3), finished_at=moment(4), worker="w2")
    assert (result.started_at, result.last_attempted_at, result.finished_at) == (
        moment(1),
        moment(3),
        moment(4),
    )
    assert result.errors == [
        TaskError(exception_class_path="builtins.ValueError", traceback="Traceback of 1\n"),
        TaskError(exception_class_path="builtins.KeyError", traceback="Traceback of 3\n"),
    ]
    assert (result.worker_ids, result.attempts) == (["w1", "w2"], 2)
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value


def test_an_interruption_is_no_attempt_and_no_error() -> None:
    result = read(State.READY, [interruption(1)])
    assert (result.interruptions, result.attempts, result.errors) == (1, 0, [])
    assert result.last_attempted_at == moment(1)
    assert [entry.counted for entry in result.history] == [Counted.INTERRUPTION]


def test_an_interruption_between_attempts_is_told_apart_from_them() -> None:
    result = read(State.SCHEDULED, [attempt(1, worker="w1"), interruption(2, "w2"), attempt(3, worker="w3")])
    assert (result.worker_ids, result.interruptions) == (["w1", "w3"], 1)
    assert len(result.errors) == 2
    assert len(result.history) == 3


def test_a_job_that_failed_of_lost_workers_says_so() -> None:
    result = read(State.FAILED, [interruption(1), interruption(2), interruption(3)], worker="w1")
    assert [error.exception_class_path for error in result.errors] == ["dlq.errors.WorkerLost"]
    assert (result.interruptions, result.attempts) == (3, 0)


def test_a_cancelled_job_is_failed_to_django_and_cancelled_to_us() -> None:
    result = read(State.CANCELLED, finished_at=moment(1))
    assert (result.status, result.state, result.errors) == ("FAILED", State.CANCELLED, [])
    assert result.started_at is None


def test_an_error_s_class_is_told_by_name_where_its_module_is_gone() -> None:
    [error] = read(State.FAILED, [attempt(1, "gone.Error")]).errors
    assert error.exception_class_path == "gone.Error"
    with pytest.raises(ImportError):
        _ = error.exception_class


# --- The task of a result ---


def test_the_task_of_a_job_that_changed_nothing_is_the_task_itself() -> None:
    assert read().task is add


def test_the_task_of_a_job_is_as_its_call_had_it() -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    result = read(queue="slow", priority=-5, run_after=at)
    assert result.task == add.using(queue="slow", priority=-5, run_after=at)


CHANGES: list[dict[str, Any]] = [
    {"timeout": 60},
    {"timeout": timedelta(minutes=2)},
    {"backoff": 0},
    {"backoff": timedelta(seconds=5)},
    {"backoff": Exponential(factor=3)},
    {"max_attempts": 1},
    {"max_attempts": 9},
    {"expires_after": 60},
    {"expires_after": timedelta(milliseconds=1)},
    {"metadata": {"tenant": "ann", "tags": []}},
    {"result_ttl": 0},
    {"sigkill_on_stop": True, "atomic": True},
    {"queue": "slow", "priority": 3, "timeout": 0.5, "backoff": 5, "max_attempts": 4},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_a_result_that_is_read_equals_the_one_that_the_call_returned(
    memory: MemoryBackend, changes: dict[str, Any]
) -> None:
    result = careful.using(**changes).enqueue()
    assert memory.get_result(result.id) == result


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_a_worker_is_given_the_task_as_the_call_had_it(
    memory: MemoryBackend, worker: WorkerRef, changes: dict[str, Any]
) -> None:
    result = careful.using(**changes).enqueue()
    claimed = claim(memory, worker, result.task.queue_name)
    assert load_task(claimed, "default") == result.task


def test_what_the_call_did_not_change_is_as_declared_in_today_s_code(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = careful.using(timeout=60).enqueue()
    deployed = dataclasses.replace(careful, timeout=5, backoff=9, enqueue_on_commit=False)
    monkeypatch.setattr(sys.modules[__name__], "careful", deployed)
    assert memory.get_result(result.id).task == deployed.using(timeout=60)


@pytest.mark.parametrize(
    ("stored", "declared", "loaded"), [(1, None, None), (1, 5, 1), (3, None, 3), (3, 5, 3)]
)
def test_a_job_keeps_the_number_of_attempts_that_it_was_enqueued_with(
    monkeypatch: pytest.MonkeyPatch, stored: int, declared: int | None, loaded: int | None
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "add", dataclasses.replace(add, max_attempts=declared))
    assert load_task(record(max_attempts=stored), "default").max_attempts == loaded


def test_a_call_may_have_taken_the_timeout_and_the_backoff_away() -> None:
    job = record(
        task=careful.module_path, max_attempts=3, priority=0, overrides='{"timeout": null, "backoff": null}'
    )
    assert load_task(job, "default") == dataclasses.replace(careful, timeout=None, backoff=None)


def test_a_task_of_django_s_own_class_has_the_options_that_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    djangos: Any = DjangoTask(
        func=add.func, priority=0, backend="default", queue_name="default", run_after=None
    )
    monkeypatch.setattr(sys.modules[__name__], "add", djangos)
    job = record(max_attempts=3, overrides='{"timeout": 60}')
    assert load_task(job, "default") == dataclasses.replace(djangos, queue_name="math", priority=5)


def test_a_job_can_be_read_after_its_queue_was_taken_from_the_settings(
    settings: Settings, memory: MemoryBackend
) -> None:
    result = add.using(queue="old").enqueue(1)
    settings.TASKS = {"default": {"BACKEND": "dlq.MemoryBackend", "QUEUES": ["math", "default"]}}
    assert add.get_result(result.id) == result


def test_a_task_is_found_as_it_is_declared_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def declare(value: int) -> None:
        source = f"from dlq import task\n\n@task\ndef current():\n    return {value}\n"
        (tmp_path / "deployed_tasks.py").write_text(source)
        monkeypatch.delitem(sys.modules, "deployed_tasks", raising=False)

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for value in (1, 2):
        declare(value)
        assert load_task(record(task="deployed_tasks.current"), "default").call() == value
    monkeypatch.delitem(sys.modules, "deployed_tasks")


MODULES = {
    "raises": "raise RuntimeError('no settings for this')",
    "does not compile": "def",
    "exits": "raise SystemExit(1)",
    "imports what is not there": "import not_there_at_all",
}


@pytest.mark.parametrize("source", MODULES.values(), ids=MODULES)
def test_a_task_whose_module_cannot_be_imported_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    (tmp_path / "broken_tasks.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownTask, match=r"The task 'broken_tasks\.run' cannot be imported here"):
        load_task(record(task="broken_tasks.run"), "default")


@pytest.mark.parametrize("path", ["not_there.run", f"{__name__}.gone", "run", "", ".", f"{__name__}."])
def test_a_task_that_is_not_there_is_unknown(path: str) -> None:
    with pytest.raises(UnknownTask, match="cannot be imported here"):
        load_task(record(task=path), "default")


@pytest.mark.parametrize("name", ["NO_TASK", "moment", "TaskResult"])
def test_what_is_no_task_is_unknown_and_shown(name: str) -> None:
    with pytest.raises(UnknownTask, match=f"'{__name__}.{name}' is .*, not a task. Declare it with @task"):
        load_task(record(task=f"{__name__}.{name}"), "default")


def test_the_result_of_an_unknown_task_says_that_the_job_exists(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = add(1)
    monkeypatch.delattr(sys.modules[__name__], "add")
    with pytest.raises(TaskResultDoesNotExist, match=f"The job {result.id} exists, but its task does not"):
        memory.get_result(result.id)


def test_a_result_of_another_task_does_not_match() -> None:
    with pytest.raises(TaskResultMismatch, match=r"received '.*\.add'"):
        other.get_result(add(1).id)


# --- refresh() ---


@pytest.fixture
def worker(memory: MemoryBackend) -> WorkerRef:
    memory.store.register_runner(RunnerInfo(id="runner", host="here", pid=1))
    return memory.store.register_worker(
        WorkerInfo(id="w1", runner="runner", pid=2, queues="*", slots=1, kind="process")
    )


def claim(memory: MemoryBackend, worker: WorkerRef, queue: str = "math") -> Claim:
    [claimed] = memory.store.exchange(worker, [], [queue], 1).claims
    return claimed


def test_a_result_follows_its_job_when_it_is_refreshed(memory: MemoryBackend, worker: WorkerRef) -> None:
    result = add(1, b=2)
    claimed = claim(memory, worker)
    assert result.state is State.READY
    result.refresh()
    assert (result.state, result.status, result.worker_ids) == (State.RUNNING, "RUNNING", ["w1"])

    failure = Failure(exception="builtins.ValueError", traceback="ValueError\n")
    memory.store.exchange(worker, [Outcome.retry(claimed, failure, delay=0)], [], 0)
    result.refresh()
    assert (result.state, result.attempts, len(result.errors), len(result.history)) == (State.READY, 1, 1, 1)

    memory.store.exchange(worker, [Outcome.succeeded(claim(memory, worker), "3", 0.0)], [], 0)
    result.refresh()
    assert (result.state, result.return_value, result.attempts) == (State.SUCCEEDED, 3, 2)
    assert result.finished_at is not None
    assert result == memory.get_result(result.id)


def test_coroutines_refresh_too(memory: MemoryBackend, worker: WorkerRef) -> None:
    result = add(1)
    memory.store.exchange(worker, [Outcome.succeeded(claim(memory, worker), "1", 0.0)], [], 0)
    async_to_sync(result.arefresh)()
    assert result.return_value == 1


def test_a_result_that_is_refreshed_after_its_retention_is_gone(
    memory: MemoryBackend, worker: WorkerRef
) -> None:
    result = add(1)
    memory.store.exchange(worker, [Outcome.succeeded(claim(memory, worker), "1", 0.0)], [], 0)
    memory.store.prune(State.SUCCEEDED, older_than=0, limit=10)
    with pytest.raises(TaskResultDoesNotExist, match="its retention is over"):
        result.refresh()


def test_every_field_but_what_identifies_the_job_is_refreshed(
    memory: MemoryBackend, worker: WorkerRef
) -> None:
    result = add(1)
    memory.store.exchange(worker, [Outcome.succeeded(claim(memory, worker), "1", 0.0)], [], 0)
    result.refresh()
    fresh = memory.get_result(result.id)
    for field in dataclasses.fields(TaskResult):
        assert getattr(result, field.name) == getattr(fresh, field.name)


SAID = Note(
    id=new_job_id(), token=1, progress=0.5, message="half of it", metadata='{"step":2}', lines=["one", "two"]
)


def test_what_a_running_job_says_is_read_and_survives_a_refresh(
    memory: MemoryBackend, worker: WorkerRef
) -> None:
    result = add.using(metadata={"step": 1}, expires_after=60).enqueue(1)
    claimed = claim(memory, worker)
    memory.store.annotate([dataclasses.replace(SAID, id=claimed.id, token=claimed.token)])
    memory.store.cancel([claimed.id], "no longer needed")
    assert (result.metadata, result.progress, result.message, result.log) == ({"step": 1}, None, None, ())
    result.refresh()
    assert (result.metadata, result.progress, result.message) == ({"step": 2}, 0.5, "half of it")
    assert (list(result.log), result.reason) == (["one", "two"], "no longer needed")
    assert result.enqueued_at is not None
    assert result.expires_at == result.enqueued_at + timedelta(seconds=60)


def test_a_finished_job_says_until_when_it_is_kept(memory: MemoryBackend, worker: WorkerRef) -> None:
    result = add(1)
    outcome = dataclasses.replace(Outcome.succeeded(claim(memory, worker), "1", 0.0), keep_for=60.0)
    memory.store.exchange(worker, [outcome], [], 0)
    assert result.keep_until is None
    result.refresh()
    assert result.finished_at is not None
    assert result.keep_until == result.finished_at + timedelta(seconds=60)


def test_a_result_is_refreshed_from_the_backend_that_has_its_job(
    settings: Settings, memory: MemoryBackend
) -> None:
    settings.TASKS |= {"other": {"BACKEND": "dlq.MemoryBackend"}}
    [result] = queue_backend("other").enqueue_all([(add, (1,), {})])
    result.refresh()
    async_to_sync(result.arefresh)()
    assert result.backend == "other"


# --- wait() ---


def never(seconds: float) -> None:
    raise AssertionError("There was nothing to wait for.")


def settled(memory: MemoryBackend, worker: WorkerRef, settle: Callable[[Claim], Outcome]) -> None:
    memory.store.exchange(worker, [settle(claim(memory, worker))], [], 0)


def waited(result: TaskResult[..., Any], timeout: float | None, pause: Callable[[float], object]) -> Any:
    return result.wait(timeout, pause=pause)


def awaited(result: TaskResult[..., Any], timeout: float | None, pause: Callable[[float], object]) -> Any:
    async def apause(seconds: float) -> None:
        pause(seconds)

    return async_to_sync(result.await_finished)(timeout, pause=apause)


both = pytest.mark.parametrize("wait", [waited, awaited])
type Wait = Callable[[TaskResult[..., Any], float | None, Callable[[float], object]], Any]


@both
def test_waiting_returns_what_the_task_returned(memory: MemoryBackend, worker: WorkerRef, wait: Wait) -> None:
    result = add(1, b=2)
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: settled(memory, worker, lambda job: Outcome.succeeded(job, "3", 0.0)),
    ]
    pauses: list[float] = []

    def work(seconds: float) -> None:
        pauses.append(seconds)
        steps.pop(0)()

    assert wait(result, None, work) == 3
    assert (pauses, steps) == ([0.05, pytest.approx(0.075)], [])
    assert result.state is State.SUCCEEDED


@both
def test_waiting_for_a_job_that_has_finished_asks_the_store_nothing(
    memory: MemoryBackend, worker: WorkerRef, wait: Wait
) -> None:
    result = add(1)
    settled(memory, worker, lambda job: Outcome.succeeded(job, "null", 0.0))
    result.refresh()
    memory.store.prune(State.SUCCEEDED, older_than=0, limit=10)
    assert wait(result, 0, never) is None


@both
def test_waiting_finds_a_job_that_has_finished_in_the_meantime_without_a_pause(
    memory: MemoryBackend, worker: WorkerRef, wait: Wait
) -> None:
    result = add(1)
    settled(memory, worker, lambda job: Outcome.succeeded(job, "1", 0.0))
    assert wait(result, 0, never) == 1


FAILURE = Failure(exception="shop.Broken", traceback="shop.Broken\n")


@both
@pytest.mark.parametrize(
    ("settle", "says"),
    [
        (lambda job: Outcome.failed(job, FAILURE), "Task failed: the job {id} ended with shop.Broken"),
        (lambda job: Outcome.cancelled(job, "too late"), "Task failed: the job {id} was cancelled: too late"),
    ],
)
def test_waiting_for_a_job_that_did_not_succeed_raises_and_says_what_became_of_it(
    memory: MemoryBackend,
    worker: WorkerRef,
    wait: Wait,
    settle: Callable[[Claim], Outcome],
    says: str,
) -> None:
    result = add(1)
    settled(memory, worker, settle)
    with pytest.raises(ValueError, match=says.format(id=result.id)):
        wait(result, None, never)


@both
def test_waiting_ends_when_its_time_is_over_and_the_job_goes_on(memory: MemoryBackend, wait: Wait) -> None:
    result = add(1)
    with pytest.raises(
        JobNotFinished, match=f"The job {result.id} is still ready: .* within 0 s, and goes on"
    ):
        wait(result, 0, never)
    assert isinstance(JobNotFinished(), TimeoutError)
    assert memory.get_result(result.id).state is State.READY


@both
def test_waiting_for_a_job_that_is_tried_again_waits_for_its_last_attempt(
    memory: MemoryBackend, worker: WorkerRef, wait: Wait
) -> None:
    result = careful()
    steps: list[Callable[[Claim], Outcome]] = [
        lambda job: Outcome.retry(job, FAILURE, delay=0),
        lambda job: Outcome.succeeded(job, "4", 0.0),
    ]
    assert wait(result, None, lambda seconds: settled(memory, worker, steps.pop(0))) == 4


@both
def test_waiting_for_a_job_that_is_gone_says_so(memory: MemoryBackend, worker: WorkerRef, wait: Wait) -> None:
    result = add(1)
    settled(memory, worker, lambda job: Outcome.succeeded(job, "1", 0.0))
    memory.store.prune(State.SUCCEEDED, older_than=0, limit=10)
    with pytest.raises(TaskResultDoesNotExist, match="its retention is over"):
        wait(result, None, never)


# --- Results as values ---


def test_a_result_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        add(1).state = State.FAILED


def test_a_result_can_be_shown_as_a_dict() -> None:
    shown = dataclasses.asdict(add(1))
    assert (shown["args"], shown["state"], shown["task"]["queue_name"]) == ([1], State.READY, "math")


@pickles
def test_a_result_survives_a_pickle(memory: MemoryBackend, worker: WorkerRef) -> None:
    result = add.using(priority=9).enqueue(1)
    failure = Failure(exception="builtins.ValueError", traceback="ValueError\n")
    memory.store.exchange(worker, [Outcome.retry(claim(memory, worker), failure, delay=60)], [], 0)
    result.refresh()
    copied = pickle.loads(pickle.dumps(result))
    assert copied == result
    assert copied.history == result.history
    copied.refresh()


@pickles
def test_a_task_with_options_survives_a_pickle() -> None:
    changed = add.using(timeout=timedelta(seconds=5), max_attempts=3)
    assert pickle.loads(pickle.dumps(changed)) == changed
