from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from asgiref.sync import async_to_sync
from django.tasks import task as django_task
from django.tasks.exceptions import InvalidTaskBackend, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from pytest_django import Settings

from dlq import (
    ConfigError,
    MemoryBackend,
    State,
    TaskRefused,
    TaskResult,
    queue_backend,
    task,
)
from dlq.middleware import MiddlewareJob
from dlq.signals import store_called
from dlq.store import JobFilter, MemoryStore
from dlq.workers import RunnerInfo, WorkerInfo

from .stored import stored

pytestmark = pytest.mark.usefixtures("memory")

MEMORY = {"BACKEND": "dlq.MemoryBackend"}


@task
def echo(*args: Any, **kwargs: Any) -> None: ...


@task(queue="email", priority=5, timeout=30, max_attempts=3)
def send(to: str) -> None: ...


@django_task
def declared_with_django(to: str) -> None: ...


# --- Which backend ---


def test_a_backend_is_found_by_its_alias(settings: Settings, memory: MemoryBackend) -> None:
    settings.TASKS = {"default": MEMORY, "other": MEMORY}
    assert type(queue_backend()) is MemoryBackend
    assert (queue_backend().alias, queue_backend("other").alias) == ("default", "other")


def test_a_backend_of_another_kind_is_not_taken_for_ours(settings: Settings) -> None:
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}
    with pytest.raises(ConfigError, match=r"TASKS\['default'\] is a DummyBackend, not a backend of DLQ"):
        queue_backend()
    with pytest.raises(InvalidTaskBackend, match="The connection 'typo' doesn't exist"):
        queue_backend("typo")


# --- What is stored ---


def test_a_job_is_stored_with_all_that_its_task_says(memory: MemoryBackend) -> None:
    result = send.enqueue("ann")
    [job] = stored(memory)
    assert (str(job.id), job.task, job.state) == (result.id, send.module_path, State.READY)
    assert (job.queue, job.priority, job.max_attempts, job.run_after) == ("email", 5, 3, None)
    assert (job.payload, job.overrides) == ('[["ann"],{}]', None)


def test_a_job_is_stored_with_all_that_its_call_says(memory: MemoryBackend) -> None:
    at = datetime(2040, 1, 1, tzinfo=UTC)
    send.using(queue="slow", priority=-3, max_attempts=1, run_after=at, timeout=60).enqueue("ann")
    [job] = stored(memory)
    assert (job.queue, job.priority, job.max_attempts, job.run_after) == ("slow", -3, 1, at)
    assert (job.state, job.due_at, job.overrides) == (State.SCHEDULED, at, '{"timeout": 60}')


@pytest.mark.parametrize("priority", [3.0, True])
def test_whole_numbers_that_django_accepts_as_priority_are_stored_as_int(
    memory: MemoryBackend, priority: float
) -> None:
    result = echo.using(priority=priority).enqueue()
    assert type(stored(memory)[0].priority) is int
    assert memory.get_result(result.id) == result


def test_a_task_without_max_attempts_runs_once(memory: MemoryBackend) -> None:
    echo()
    assert stored(memory)[0].max_attempts == 1


def test_interruptions_are_capped_by_the_backend(settings: Settings, memory: MemoryBackend) -> None:
    settings.TASKS = {"default": MEMORY | {"OPTIONS": {"max_interruptions": 7}}}
    echo()
    assert stored(memory)[0].max_interruptions == 7


def test_a_task_of_django_s_own_decorator_can_be_enqueued(memory: MemoryBackend) -> None:
    result = declared_with_django.enqueue("ann")
    assert isinstance(result, TaskResult)
    assert memory.get_result(result.id) == result


def test_a_job_due_in_the_past_is_ready(memory: MemoryBackend) -> None:
    result = echo.using(run_after=datetime(2020, 1, 1, tzinfo=UTC)).enqueue()
    assert result.state is stored(memory)[0].state is State.READY


def test_a_job_due_later_is_scheduled_which_django_calls_ready(memory: MemoryBackend) -> None:
    result = echo.using(run_after=timedelta(hours=1)).enqueue()
    assert result.state is State.SCHEDULED
    assert result.status == "READY"
    assert memory.get_result(result.id) == result


@pytest.mark.parametrize("run_after", [datetime(2040, 1, 1, 12), timedelta(days=5000)])  # noqa: DTZ001
def test_where_use_tz_is_off_times_mean_the_time_zone_of_the_site(
    settings: Settings, memory: MemoryBackend, run_after: datetime | timedelta
) -> None:
    settings.USE_TZ = False
    settings.TIME_ZONE = "Asia/Tokyo"
    result = echo.using(run_after=run_after).enqueue()
    [job] = stored(memory)
    assert job.state is State.SCHEDULED
    assert job.run_after is not None
    if isinstance(run_after, datetime):
        assert job.run_after == datetime(2040, 1, 1, 3, tzinfo=UTC)
    assert memory.get_result(result.id).state is State.SCHEDULED


def test_a_job_is_stored_with_its_expiry_and_its_metadata(memory: MemoryBackend) -> None:
    result = send.using(expires_after=60, metadata={"tenant": "ann", "tags": []}).enqueue("ann")
    [job] = stored(memory)
    assert job.metadata == '{"tenant":"ann","tags":[]}'
    assert job.expires_at == job.enqueued_at + timedelta(seconds=60) == result.expires_at
    assert result.metadata == {"tenant": "ann", "tags": []}


def test_a_job_without_expiry_and_metadata_has_none(memory: MemoryBackend) -> None:
    result = send("ann")
    [job] = stored(memory)
    assert (job.expires_at, job.metadata) == (None, None)
    assert (result.expires_at, result.metadata) == (None, {})


def test_what_its_task_is_told_later_does_not_reach_a_job(memory: MemoryBackend) -> None:
    metadata = {"tags": ["new"]}
    changed = send.using(metadata=metadata)
    metadata["tags"].append("later")
    assert changed.enqueue("ann").metadata == {"tags": ["new"]}


# --- Arguments ---


@pytest.mark.parametrize(
    "value",
    [
        "nul \x00",
        [],
        {},
        "",
        2**60 + 1,
        2**80,
        -(2**80),
        "\ud800 alone",
        1e308,
        5e-324,
        "é\u2028</script>",
        [[[]], {}],
    ],
    ids=ascii,
)
def test_values_that_others_alter_come_back_as_they_went_in(memory: MemoryBackend, value: Any) -> None:
    result = echo(value, key=value)
    read = memory.get_result(result.id)
    assert read.args == result.args == [value]
    assert read.kwargs == result.kwargs == {"key": value}
    assert type(read.args[0]) is type(value)


def test_the_result_shows_the_arguments_as_the_worker_will_see_them(memory: MemoryBackend) -> None:
    result = echo((1, 2))
    assert result.args == [[1, 2]]
    assert memory.get_result(result.id) == result


# --- Many at once ---


def test_many_are_enqueued_in_order(memory: MemoryBackend) -> None:
    results = send.enqueue_many([((f"{n}",), {}) for n in range(50)])
    assert [result.args for result in results] == [[f"{n}"] for n in range(50)]
    assert {str(job.id) for job in stored(memory)} == {result.id for result in results}


def test_many_run_in_the_order_in_which_they_were_given(memory: MemoryBackend) -> None:
    results = echo.enqueue_many([((n,), {}) for n in range(20)])
    memory.store.register_runner(RunnerInfo(id="r", host="here", pid=1))
    worker = memory.store.register_worker(
        WorkerInfo(id="w", runner="r", pid=1, queues="*", slots=20, kind="process")
    )
    claims = memory.store.exchange(worker, [], ["default"], 20).claims
    assert [str(claim.id) for claim in claims] == [result.id for result in results]


def test_jobs_of_different_tasks_go_in_one_batch(memory: MemoryBackend) -> None:
    results = memory.enqueue_all(
        [(echo, (1,), {}), (send, (), {"to": "ann"}), (declared_with_django, ("bob",), {})]
    )
    assert [result.task for result in results] == [echo, send, declared_with_django]
    assert len(stored(memory)) == 3


def test_a_task_of_another_backend_is_taken_too_and_its_result_is_read_here(
    settings: Settings, memory: MemoryBackend
) -> None:
    settings.TASKS = {"default": MEMORY, "other": MEMORY}
    other = queue_backend("other")
    [result] = other.enqueue_all([(send, ("ann",), {})])
    assert (result.backend, result.task) == ("other", send.using(backend="other"))
    result.refresh()
    assert result == other.get_result(result.id)
    assert stored(memory) == []


def test_a_task_of_another_backend_whose_queue_is_not_taken_here_is_refused(
    settings: Settings, memory: MemoryBackend
) -> None:
    settings.TASKS = {"default": MEMORY, "other": MEMORY | {"QUEUES": ["default"]}}
    with pytest.raises(TaskRefused, match=r"Queue 'email' is not valid for backend.*backend 'other'"):
        queue_backend("other").enqueue_all([(echo, (), {}), (send, ("ann",), {})])
    assert list(queue_backend("other").inspector.jobs(JobFilter(), limit=1)) == []


def test_nothing_of_nothing_is_nothing(memory: MemoryBackend) -> None:
    assert echo.enqueue_many([]) == []
    assert memory.get_results([]) == []


def test_coroutines_enqueue_many_too(memory: MemoryBackend) -> None:
    results = async_to_sync(memory.aenqueue_all)([(echo, (n,), {}) for n in range(3)])
    assert memory.get_results([result.id for result in results]) == results


# --- Signals ---


def test_django_s_signal_is_sent_once_for_each_job_by_the_class_of_the_backend(
    memory: MemoryBackend, sent: list[tuple[type, TaskResult[..., Any]]]
) -> None:
    results = echo.enqueue_many([((1,), {}), ((2,), {})])
    assert sent == [(MemoryBackend, results[0]), (MemoryBackend, results[1])]
    assert all(heard is result for (_, heard), result in zip(sent, results, strict=True))


def test_receivers_find_the_job_in_the_store(memory: MemoryBackend) -> None:
    found = []

    def look(sender: type, task_result: TaskResult[..., Any], **kwargs: Any) -> None:
        found.append(memory.get_result(task_result.id) == task_result)

    task_enqueued.connect(look)
    try:
        echo(1)
    finally:
        task_enqueued.disconnect(look)
    assert found == [True]


# --- Middleware ---


class Watching:
    """Remembers the jobs that were stored."""

    seen: ClassVar[list[tuple[MiddlewareJob, str, bool]]] = []

    def process_enqueue(self, job: MiddlewareJob, queue: str) -> None:
        is_stored = bool(queue_backend().get_results([job.id]))
        self.seen.append((job, queue, is_stored))


@pytest.fixture
def watching(settings: Settings) -> list[tuple[MiddlewareJob, str, bool]]:
    Watching.seen.clear()
    settings.DLQ_MIDDLEWARE = [f"{__name__}.Watching"]
    return Watching.seen


def test_middleware_is_told_of_each_job_once_it_is_stored(
    memory: MemoryBackend, watching: list[tuple[MiddlewareJob, str, bool]]
) -> None:
    results = memory.enqueue_all([(send, ("ann",), {}), (echo, (), {"n": 1})])
    assert [(job.id, job.path, list(job.args), job.kwargs, queue) for job, queue, _ in watching] == [
        (results[0].id, send.module_path, ["ann"], {}, "email"),
        (results[1].id, echo.module_path, [], {"n": 1}, "default"),
    ]
    assert all(is_stored for *_, is_stored in watching)
    assert watching[0][0].created_time == results[0].enqueued_at


def test_middleware_that_cannot_be_built_is_named_before_anything_is_stored(
    settings: Settings, memory: MemoryBackend
) -> None:
    settings.DLQ_MIDDLEWARE = ["no.such.Middleware"]
    with pytest.raises(ConfigError, match=r"DLQ_MIDDLEWARE names 'no\.such\.Middleware'"):
        echo()
    assert stored(memory) == []


# --- Results ---


def test_results_come_in_the_order_of_the_ids_without_those_that_are_gone(memory: MemoryBackend) -> None:
    one, two = echo(1), echo(2)
    gone = "00000000-0000-7000-8000-000000000000"
    assert memory.get_results([two.id, gone, "no id", one.id]) == [two, one]


@pytest.mark.parametrize("id", ["123", "", "00000000-0000-7000-8000-000000000000"])
def test_a_job_that_does_not_exist_is_said_not_to(memory: MemoryBackend, id: str) -> None:
    with pytest.raises(
        TaskResultDoesNotExist, match=f"There is no job {id}: it never existed, was rolled back, or"
    ):
        memory.get_result(id)


def test_a_result_can_be_read_by_another_thread_s_backend(memory: MemoryBackend) -> None:
    result = echo(1)
    other = MemoryBackend("default", {})
    assert other is not memory
    assert other.get_result(result.id) == result


def test_backends_of_different_aliases_do_not_see_each_other_s_jobs(
    settings: Settings, memory: MemoryBackend
) -> None:
    settings.TASKS = {"default": MEMORY, "other": MEMORY}
    result = echo.using(backend="other").enqueue()
    assert echo.using(backend="other").get_result(result.id).backend == "other"
    with pytest.raises(TaskResultDoesNotExist):
        memory.get_result(result.id)


def test_a_store_says_when_it_took_the_jobs(memory: MemoryBackend) -> None:
    before = datetime.now(UTC)
    result = echo()
    assert result.enqueued_at is not None
    assert before <= result.enqueued_at == stored(memory)[0].enqueued_at <= datetime.now(UTC)


def test_every_call_of_the_store_goes_through_one_door(memory: MemoryBackend) -> None:
    verbs = []

    def listen(sender: type, verb: str, alias: str, **kwargs: Any) -> None:
        verbs.append((sender, alias, verb))

    store_called.connect(listen)
    try:
        memory.get_result(echo().id)
    finally:
        store_called.disconnect(listen)
    assert verbs == [(MemoryStore, "default", "enqueue"), (MemoryStore, "default", "get")]
