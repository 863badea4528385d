import dataclasses
import inspect
import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import django
import django.tasks
import pytest
from asgiref.sync import async_to_sync
from django.tasks import TaskResultStatus
from django.tasks.exceptions import InvalidTask
from pytest_django import Settings

from dlq import Exponential, InvalidOption, MemoryBackend, Task, TaskRefused, TaskResult, task
from dlq.overrides import overrides_of, read_overrides

pytestmark = pytest.mark.usefixtures("memory")

DUMMY = "django.tasks.backends.dummy.DummyBackend"
IMMEDIATE = "django.tasks.backends.immediate.ImmediateBackend"

django_task_takes_options = pytest.mark.skipif(
    django.VERSION < (6, 1), reason="django.tasks.task() takes Django's own options alone before Django 6.1"
)


@task
def add(a: int, b: int = 0) -> int:
    return a + b


@task(queue="email", timeout=30, max_attempts=5, backoff=Exponential(first=1))
def send(to: str) -> str:
    """Send a welcome."""
    return f"sent to {to}"


@task
async def fetch(url: str) -> str:
    return f"fetched {url}"


def plain(a: int) -> int:
    return a


def wait_longer(exception: BaseException, result: object) -> float:
    return 60


# --- Declaring ---


def test_a_bare_decorator_declares_a_task_that_inherits_everything() -> None:
    assert type(add) is Task
    assert (add.queue_name, add.priority, add.backend, add.takes_context) == ("default", 0, "default", False)
    assert (add.timeout, add.max_attempts, add.backoff, add.enqueue_on_commit) == (None, None, None, None)


def test_options_are_kept_as_they_were_given() -> None:
    declared = task(
        queue="email",
        priority=10,
        timeout=60,
        max_attempts=3,
        backoff=wait_longer,
        enqueue_on_commit=False,
    )(plain)
    assert (declared.queue_name, declared.priority) == ("email", 10)
    assert (declared.timeout, declared.max_attempts) == (60, 3)
    assert (declared.backoff, declared.enqueue_on_commit) == (wait_longer, False)
    assert declared.func is plain


def test_times_are_kept_as_seconds() -> None:
    minutes = {
        "timeout": timedelta(minutes=1),
        "expires_after": timedelta(minutes=2),
        "result_ttl": timedelta(0),
    }
    declared = task(**minutes, backoff=timedelta(milliseconds=500))(plain)
    assert (declared.timeout, declared.backoff) == (60.0, 0.5)
    assert (declared.expires_after, declared.result_ttl) == (120.0, 0.0)
    assert declared == task(timeout=60, backoff=0.5, expires_after=120, result_ttl=0)(plain)
    changed = send.using(timeout=timedelta(minutes=2), backoff=timedelta(0))
    assert (changed.timeout, changed.backoff) == (120.0, 0.0)


def test_queue_is_short_for_queue_name() -> None:
    assert task(queue="email")(plain) == task(queue_name="email")(plain)


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ((), {}),
        (("email",), {"queue_name": "email"}),
        (("email", 30), {"queue_name": "email", "timeout": 30}),
        (("email", None, True), {"queue_name": "email", "sigkill_on_stop": True}),
        (
            ("email", timedelta(seconds=30), False, True),
            {"queue_name": "email", "timeout": 30.0, "atomic": True},
        ),
        ((None, 30), {"timeout": 30}),
    ],
    ids=str,
)
def test_options_may_be_given_in_the_classic_order(given: Any, options: dict[str, Any]) -> None:
    assert task(*given)(plain) == task(**options)(plain)


def test_a_fifth_option_has_no_place() -> None:
    with pytest.raises(TypeError, match="positional"):
        task("email", 30, False, True, 10)


def test_one_queue_is_enough() -> None:
    for declare in (task, task(plain).using):
        with pytest.raises(TypeError, match="queue='a' and queue_name='b' are one option"):
            declare(queue="a", queue_name="b")


def test_a_function_with_options_need_no_second_call() -> None:
    assert task(plain, timeout=30) == task(timeout=30)(plain)


def test_coroutines_have_no_transactions() -> None:
    with pytest.raises(InvalidOption, match=r"fetch: atomic=True must be left out, .* sync_to_async"):
        fetch.using(atomic=True)
    assert fetch.using(atomic=False).atomic is False


def test_metadata_is_what_it_was_when_it_was_given() -> None:
    metadata = {"tenant": {"name": "a", "tags": (1, 2)}}
    declared = task(metadata=metadata)(plain)
    metadata["tenant"]["name"] = "b"
    assert declared.metadata == {"tenant": {"name": "a", "tags": [1, 2]}}
    assert {declared: 1}[task(metadata=declared.metadata)(plain)] == 1
    assert declared != task(plain)


# --- The function that shows through ---


def test_a_task_looks_like_its_function() -> None:
    assert send.__name__ == "send"
    assert send.__doc__ == "Send a welcome."
    assert inspect.getdoc(send) == "Send a welcome."
    assert inspect.signature(send) == inspect.signature(send.fn)
    assert [*inspect.signature(send).parameters] == ["to"]
    assert inspect.unwrap(send) is send.fn
    assert "sent to" in inspect.getsource(send)


def test_the_class_keeps_a_name_and_words_of_its_own() -> None:
    assert Task.__name__ == "Task"
    assert (Task.__doc__ or "").startswith("A function that can be enqueued")
    assert not hasattr(Task, "__wrapped__")
    assert "timeout" in inspect.signature(Task).parameters


def test_fn_is_the_function_and_path_where_it_is() -> None:
    assert send.fn is send.func
    assert send.fn("ann") == "sent to ann"
    assert send.path == send.module_path == f"{__name__}.send"


def test_a_repr_says_where_and_what_is_not_the_default() -> None:
    assert repr(add) == f"<Task {__name__}.add>"
    assert repr(add.using(queue="email", priority=3, atomic=False, metadata={"secret": 1})) == (
        f"<Task {__name__}.add priority=3 queue_name='email' atomic=False>"
    )


def test_a_task_can_be_a_key_and_cannot_be_changed() -> None:
    assert {send: 1}[dataclasses.replace(send)] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        send.timeout = 5


def test_an_unknown_option_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="tiemout"):
        task(tiemout=30)(plain)


def test_a_time_to_run_belongs_to_a_call_not_to_a_task() -> None:
    with pytest.raises(TypeError, match=r"run_after cannot be defined statically .* task\.using"):
        task(run_after=timedelta(minutes=1))(plain)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": "30"},
        {"timeout": True},
        {"timeout": timedelta(0)},
        {"timeout": math.inf},
        {"timeout": math.nan},
        {"max_attempts": 0},
        {"max_attempts": 2.0},
        {"max_attempts": True},
        {"max_attempts": 32_768},
        {"backoff": -1},
        {"backoff": "5"},
        {"backoff": timedelta(seconds=-1)},
        {"backoff": math.inf},
        {"enqueue_on_commit": "yes"},
        {"enqueue_on_commit": 1},
        {"sigkill_on_stop": 1},
        {"sigkill_on_stop": "no"},
        {"atomic": 1},
        {"atomic": "no"},
        {"expires_after": 0},
        {"expires_after": "1h"},
        {"expires_after": timedelta(seconds=-1)},
        {"result_ttl": -1},
        {"result_ttl": True},
        {"result_ttl": math.nan},
        {"metadata": [1]},
        {"metadata": {1: "one"}},
        {"metadata": {"at": datetime(2040, 1, 1, tzinfo=UTC)}},
        {"metadata": {"ratio": math.nan}},
        {"queue": 5},
        {"queue": ""},
        {"queue": "two words"},
        {"queue": "email*"},
        {"queue": "q" * 256},
    ],
    ids=str,
)
def test_an_option_that_cannot_work_is_named_with_its_value(options: dict[str, Any]) -> None:
    [(name, value)] = options.items()
    value = value.total_seconds() if isinstance(value, timedelta) else value
    for declare in (task(**options), lambda function: task(function).using(**options)):
        with pytest.raises(InvalidOption) as error:
            declare(plain)
        assert str(error.value).startswith(f"plain: {name}={value!r} must be ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry_on": "OSError"}, "retry_on='O' must be a class of exceptions"),
        ({"retry_on": int}, "retry_on=<class 'int'> must be a class of exceptions"),
        ({"discard_on": [OSError, 5]}, "discard_on=5 must be a class of exceptions"),
        ({"version": 0}, "version=0 must be a whole number from 1 to 32767"),
        ({"version": True}, "version=True must be a whole number"),
        ({"version": 2, "upcast": "later"}, "upcast='later' must be a function of"),
        ({"version": 2}, "version=2 and upcast=None do not go together"),
        ({"upcast": max}, "version=1 and upcast=<built-in function max> do not go together"),
    ],
    ids=str,
)
def test_what_is_declared_must_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=f"^plain: {re.escape(message)}"):
        task(**options)(plain)


@pytest.mark.parametrize("name", ["takes_context", "retry_on", "discard_on", "version", "upcast"])
def test_a_call_cannot_change_what_belongs_to_the_task(name: str) -> None:
    with pytest.raises(TypeError, match=f"cannot change '{name}'; declare another task"):
        add.using(**{name: None})


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0.5},
        {"max_attempts": 1},
        {"max_attempts": 32_767},
        {"backoff": 0},
        {"backoff": Exponential()},
        {"backoff": wait_longer},
        {"enqueue_on_commit": True},
        {"sigkill_on_stop": True},
        {"atomic": False},
        {"expires_after": 0.5},
        {"result_ttl": 0},
        {"metadata": {}},
        {"queue_name": "q" * 255},
    ],
    ids=str,
)
def test_options_at_the_edge_of_what_works_are_accepted(options: dict[str, Any]) -> None:
    declared = task(**options)(plain)
    assert {name: getattr(declared, name) for name in options} == options


def test_a_nested_function_cannot_be_a_task() -> None:
    def nested() -> None: ...

    with pytest.raises(InvalidTask, match="must be defined at a module level"):
        task(nested)


def test_django_validates_what_it_knows() -> None:
    with pytest.raises(InvalidTask, match="priority must be a whole number between -100 and 100"):
        task(priority=101)(plain)
    with pytest.raises(InvalidTask, match="first argument of 'context'"):
        task(takes_context=True)(plain)


# --- The same task, whoever declares it ---


def test_both_decorators_make_equal_tasks_of_what_django_knows() -> None:
    ours = task(queue_name="email", priority=5)(plain)
    djangos = django.tasks.task(queue_name="email", priority=5)(plain)
    known = [field.name for field in dataclasses.fields(django.tasks.Task)]
    assert [getattr(ours, name) for name in known] == [getattr(djangos, name) for name in known]


@django_task_takes_options
def test_django_s_decorator_builds_the_same_class_with_the_same_options() -> None:
    options: dict[str, Any] = {"queue_name": "email", "timeout": 30, "max_attempts": 3, "backoff": 5}
    djangos = django.tasks.task(**options)(plain)
    assert type(djangos) is Task
    assert djangos == task(**options)(plain)
    assert hash(djangos) == hash(task(**options)(plain))


@pytest.mark.parametrize("backend", [DUMMY, IMMEDIATE])
def test_a_task_keeps_its_options_when_a_test_swaps_the_backend(settings: Settings, backend: str) -> None:
    settings.TASKS = {"default": {"BACKEND": backend, "QUEUES": []}}
    declared = task(queue="email", timeout=30)(plain)
    assert type(declared) is Task
    assert declared.using(timeout=60).timeout == 60


def test_a_classic_call_runs_at_once_on_the_immediate_backend(settings: Settings) -> None:
    settings.TASKS = {"default": {"BACKEND": IMMEDIATE, "QUEUES": []}}
    result = send("ann")
    assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, "sent to ann")


def test_a_classic_call_is_kept_by_the_dummy_backend(settings: Settings) -> None:
    settings.TASKS = {"default": {"BACKEND": DUMMY, "QUEUES": []}}
    result = send("ann")
    assert django.tasks.default_task_backend.results == [result]
    assert result.task == send


@pytest.mark.parametrize("backend", [DUMMY, IMMEDIATE])
def test_many_are_enqueued_in_order_on_a_backend_of_django_s_own(settings: Settings, backend: str) -> None:
    settings.TASKS = {"default": {"BACKEND": backend, "QUEUES": []}}
    results = add.enqueue_many([((1,), {"b": 2}), ((3,), {})])
    assert [(result.task, result.args, result.kwargs) for result in results] == [
        (add, [1], {"b": 2}),
        (add, [3], {}),
    ]
    if backend == IMMEDIATE:
        assert [result.return_value for result in results] == [3, 3]


# --- Calling ---


def test_the_classic_call_enqueues(memory: MemoryBackend) -> None:
    result = send("ann")
    assert isinstance(result, TaskResult)
    assert (result.args, result.status) == (["ann"], TaskResultStatus.READY)
    assert memory.get_result(result.id) == result


def test_call_runs_here_and_now(memory: MemoryBackend) -> None:
    assert add.call(2, b=3) == 5
    assert fetch.call("/") == "fetched /"
    assert add.func(2) == 2
    assert memory.inspector.counts() == []


async def enqueue_two() -> list[TaskResult[..., Any]]:
    return await add.aenqueue_many([((1,), {}), ((2,), {"b": 3})])


def test_coroutines_enqueue_many(memory: MemoryBackend) -> None:
    results = async_to_sync(enqueue_two)()
    assert [(result.args, result.kwargs) for result in results] == [([1], {}), ([2], {"b": 3})]
    assert [memory.get_result(result.id) for result in results] == results


async def enqueue_and_read() -> tuple[TaskResult[..., Any], TaskResult[..., Any]]:
    result = await fetch.aenqueue("/")
    return result, await fetch.aget_result(result.id)


def test_coroutines_enqueue_and_read_too() -> None:
    result, read = async_to_sync(enqueue_and_read)()
    assert result == read
    assert result.args == ["/"]


# --- using() ---


def test_using_changes_the_copy_alone() -> None:
    changed = send.using(
        queue="slow", priority=7, timeout=60, max_attempts=1, backoff=3, enqueue_on_commit=True
    )
    assert (changed.queue_name, changed.priority, changed.timeout) == ("slow", 7, 60)
    assert (changed.max_attempts, changed.backoff, changed.enqueue_on_commit) == (1, 3, True)
    assert (send.queue_name, send.priority, send.timeout) == ("email", 0, 30)


def test_using_none_changes_nothing() -> None:
    nothing = dict.fromkeys(
        ["queue", "queue_name", "priority", "run_after", "backend", "timeout", "max_attempts"]
    )
    assert send.using(**nothing, backoff=None, enqueue_on_commit=None) == send == send.using()


def test_using_can_be_chained() -> None:
    changed = send.using(queue="slow").using(priority=3)
    assert (changed.queue_name, changed.priority) == ("slow", 3)


def test_a_job_may_wait_for_a_while_or_until_a_time() -> None:
    at = datetime(2040, 1, 1, tzinfo=UTC)
    assert add.using(run_after=at).run_after == at
    before = datetime.now(UTC)
    later = add.using(run_after=timedelta(minutes=5)).run_after
    assert later is not None
    assert before + timedelta(minutes=5) <= later <= datetime.now(UTC) + timedelta(minutes=5)


@pytest.mark.parametrize("change", [{"func": plain}, {"takes_context": True}])
def test_another_function_is_another_task(change: dict[str, Any]) -> None:
    [name] = change
    with pytest.raises(TypeError, match=f"using.. cannot change '{name}'; declare another task"):
        add.using(**change)


@pytest.mark.parametrize("value", [5, None])
def test_using_refuses_what_it_does_not_know(value: object) -> None:
    with pytest.raises(TypeError, match="unknown option 'tiemout'"):
        add.using(tiemout=value)


def test_using_another_backend_is_checked_by_that_backend(settings: Settings) -> None:
    settings.TASKS = {
        "default": {"BACKEND": "dlq.MemoryBackend"},
        "emails": {"BACKEND": "dlq.MemoryBackend", "QUEUES": ["email"]},
    }
    assert send.using(backend="emails").backend == "emails"
    with pytest.raises(InvalidTask, match="Queue 'default' is not valid for backend"):
        add.using(backend="emails")


# --- What a worker resolves when the job runs ---


def resolved(declared: Any, overrides: str | None) -> Any:
    return dataclasses.replace(declared, **read_overrides(overrides))


def test_a_call_that_changes_nothing_stores_nothing() -> None:
    assert overrides_of(send, send) is None
    assert overrides_of(send.using(queue="slow", priority=5, max_attempts=2), send) is None
    assert overrides_of(send.using(timeout=timedelta(seconds=30), backoff=Exponential(1)), send) is None
    assert read_overrides(None) == {}


@pytest.mark.parametrize(
    ("changes", "timeout", "backoff"),
    [
        ({}, 30, Exponential(first=1)),
        ({"timeout": 60}, 60, Exponential(first=1)),
        ({"timeout": timedelta(minutes=2)}, 120, Exponential(first=1)),
        ({"backoff": 5}, 30, 5),
        ({"backoff": timedelta(seconds=7)}, 30, 7),
        ({"backoff": Exponential(factor=3), "timeout": 0.5}, 0.5, Exponential(factor=3)),
    ],
    ids=str,
)
def test_what_the_call_said_wins_over_what_the_task_says(
    changes: dict[str, Any], timeout: float, backoff: Any
) -> None:
    options = resolved(send, overrides_of(send.using(**changes), send))
    assert (options.timeout, options.backoff) == (timeout, backoff)


@pytest.mark.parametrize(
    "change", [{"sigkill_on_stop": True}, {"atomic": False}, {"result_ttl": 0.0}, {"result_ttl": 60}], ids=str
)
def test_a_call_says_how_its_job_is_run_and_kept(change: dict[str, Any]) -> None:
    stored = overrides_of(send.using(**change), send)
    assert read_overrides(stored) == change
    assert resolved(send, stored) == send.using(**change)


def test_what_the_store_knows_of_a_call_is_not_stored_twice() -> None:
    assert overrides_of(send.using(expires_after=60, metadata={"a": 1}), send) is None


def test_options_of_a_newer_version_are_left_to_its_workers() -> None:
    assert read_overrides('{"timeout": 5, "colour": "red"}') == {"timeout": 5}


def test_a_call_may_take_the_timeout_away() -> None:
    endless = dataclasses.replace(send, timeout=None, backoff=None)
    options = resolved(send, overrides_of(endless, send))
    assert (options.timeout, options.backoff) == (None, None)


def test_a_deploy_changes_what_waiting_jobs_inherit() -> None:
    stored = overrides_of(send.using(timeout=60), send)
    deployed = dataclasses.replace(send, timeout=5, backoff=9)
    options = resolved(deployed, stored)
    assert (options.timeout, options.backoff) == (60, 9)


def test_code_cannot_be_given_with_a_call() -> None:
    with pytest.raises(
        TaskRefused, match=r"wait_longer.* is code.* declare the function as the task's backoff"
    ):
        overrides_of(send.using(backoff=wait_longer), send)


def test_code_that_the_task_declares_is_used_by_the_worker() -> None:
    declared = task(backoff=wait_longer)(plain)
    assert overrides_of(declared.using(timeout=5), declared) == '{"timeout": 5}'
    assert resolved(declared, None).backoff is wait_longer


def test_a_task_of_django_s_own_class_overrides_nothing() -> None:
    djangos: Any = django.tasks.Task(
        func=plain, priority=0, backend="default", queue_name="default", run_after=None
    )
    assert overrides_of(djangos, add) is None
