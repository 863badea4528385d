import math
from collections.abc import Callable
from datetime import date
from types import FunctionType
from typing import Any

import pytest
from django.db import models
from django.tasks import Task as DjangoTask
from django.tasks.exceptions import InvalidTask
from django.test.utils import isolate_apps
from pytest_django import Settings

from dlq import (
    DlqError,
    EnqueueError,
    EnqueueUnanswered,
    Exponential,
    MemoryBackend,
    PayloadError,
    PayloadTooLarge,
    StoreError,
    StoreNotReady,
    StoreRefused,
    StoreUnavailable,
    Task,
    TaskRefused,
    TaskResult,
    task,
)

from .stored import stored

pytestmark = pytest.mark.usefixtures("memory")

MEMORY = {"BACKEND": "dlq.MemoryBackend"}


@task
def echo(*args: Any, **kwargs: Any) -> None: ...


@task(queue="email")
def send(to: str) -> None: ...


@task
def twin() -> str:
    return "first"


first_twin = twin


@task
def twin() -> str:
    return "second"


anonymous = task(lambda: None)


class Letters:
    @task
    def in_a_class() -> None: ...


def bare() -> None: ...


def of_a_script() -> None: ...


of_a_script.__module__ = "__main__"


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@isolate_apps("dlq")
def customer() -> models.Model:
    class Customer(models.Model):
        class Meta:
            app_label = "dlq"
            managed = False

    return Customer(pk=7)


ARGUMENTS: dict[str, tuple[Callable[[], Any], str]] = {
    "NaN": (lambda: math.nan, "args[0] is nan"),
    "infinity": (lambda: -math.inf, "args[0] is -inf"),
    "set": (lambda: {1}, "args[0] is {1}. Unsupported type: <class 'set'>. Pass a sorted list"),
    "int keys deep down": (lambda: [{"a": ({1: 2},)}], "args[0][0]['a'][0] has the key 1 of type int"),
    "model": (customer, "Pass its primary key, and load it in the task"),
    "bytes": (lambda: b"raw", "args[0] is b'raw'. Unsupported type: <class 'bytes'>"),
    "date": (lambda: date(2030, 1, 1), "Pass value.isoformat(), and parse it in the task"),
    "cyclic list": (cyclic, "nested too deeply, or contains itself"),
    "very deep list": (lambda: deep(10_000), "nested too deeply, or contains itself"),
    "list that is deep for some": (lambda: deep(600), "more than 500 levels of nesting. Pass a flatter"),
    "huge int": (lambda: 10**5000, "args[0] is an int of 16,610 bits"),
}


@pytest.mark.parametrize(("value", "says"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_an_argument_that_would_not_survive_is_refused(
    memory: MemoryBackend, value: Callable[[], Any], says: str
) -> None:
    with pytest.raises(PayloadError) as refusal:
        echo(value())
    assert says in str(refusal.value)
    assert isinstance(refusal.value, TypeError)
    assert isinstance(refusal.value, EnqueueError)
    assert stored(memory) == []


def test_arguments_over_the_limit_are_refused(settings: Settings, memory: MemoryBackend) -> None:
    settings.TASKS = {"default": MEMORY | {"OPTIONS": {"max_payload": 20}}}
    echo("x" * 11)
    with pytest.raises(PayloadTooLarge, match=r"21 bytes of JSON, over the limit of 20\. Store the data"):
        echo("x" * 12)
    assert len(stored(memory)) == 1


TASKS: dict[str, tuple[Any, str]] = {
    "of the same name": (
        first_twin,
        "names another task than the one enqueued. Give each task of a module a name",
    ),
    "lambda": (anonymous, r"\.<lambda>' cannot be imported here.* Define it at the top level of a module"),
    "in a class": (
        Letters.in_a_class,
        r"Letters.in_a_class' cannot be imported here.* Define it at the top level",
    ),
    "not under its name": (task(bare), r"is a function, not a task. Declare it with @task"),
    "in __main__": (
        task(of_a_script),
        "'__main__.of_a_script' lives in a script or shell, which workers cannot import",
    ),
}


@pytest.mark.parametrize(("unfit", "says"), TASKS.values(), ids=TASKS)
def test_a_task_that_workers_would_not_find_is_refused(memory: MemoryBackend, unfit: Any, says: str) -> None:
    with pytest.raises(TaskRefused, match=says) as refusal:
        unfit.enqueue()
    assert isinstance(refusal.value, EnqueueError)
    assert isinstance(refusal.value, InvalidTask)
    assert stored(memory) == []


def test_the_last_of_two_tasks_of_one_name_is_the_one_that_workers_find(memory: MemoryBackend) -> None:
    assert memory.get_result(twin.enqueue().id).task.call() == "second"


def test_a_queue_that_the_backend_does_not_have_is_refused(settings: Settings, memory: MemoryBackend) -> None:
    to_other = send.using(queue="other")
    settings.TASKS = {"default": MEMORY | {"QUEUES": ["default", "email"]}}
    with pytest.raises(TaskRefused, match=r"Queue 'other' is not valid for backend.*send, backend 'default'"):
        to_other.enqueue("ann")
    assert stored(memory) == []
    send("ann")


def test_any_queue_is_accepted_where_none_are_named(memory: MemoryBackend) -> None:
    echo.using(queue="invented-just-now").enqueue()
    assert stored(memory)[0].queue == "invented-just-now"


def of_django(queue: str) -> Any:
    """A task of Django's own class, which knows nothing of our queues."""
    return DjangoTask(func=echo.func, priority=0, backend="default", queue_name=queue, run_after=None)


@pytest.mark.parametrize(
    "queue", ["", "two words", "a,b", "!email", "email*", "line\n", "q" * 256], ids=ascii
)
def test_a_queue_that_no_selector_can_name_is_refused_for_a_task_of_any_class(
    memory: MemoryBackend, queue: str
) -> None:
    with pytest.raises(TaskRefused, match=r"echo: queue_name='.*' must be 1 to 255 printable characters"):
        of_django(queue).enqueue()
    assert stored(memory) == []
    of_django("email-2").enqueue()
    assert stored(memory)[0].queue == "email-2"


def test_a_path_longer_than_every_store_can_hold_is_refused(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def declare(length: int) -> Task[..., Any]:
        function = FunctionType(bare.__code__, globals())
        function.__qualname__ = "t" * (length - len(f"{__name__}."))
        monkeypatch.setitem(globals(), function.__qualname__, declared := task(function))
        return declared

    longest = declare(255)
    assert memory.get_result(longest.enqueue().id).task == longest
    with pytest.raises(TaskRefused, match=r"The path '.*\.t+' is longer than 255 characters"):
        declare(256).enqueue()
    assert len(stored(memory)) == 1


def test_a_backoff_given_with_a_call_is_no_code(memory: MemoryBackend) -> None:
    with pytest.raises(TaskRefused, match="is code, and code cannot be stored with a job"):
        echo.using(backoff=lambda exception, result: 5).enqueue()
    assert stored(memory) == []
    echo.using(backoff=Exponential(first=9)).enqueue()
    assert '"first": 9' in str(stored(memory)[0].overrides)


def test_wrong_options_are_found_at_the_first_enqueue(settings: Settings, memory: MemoryBackend) -> None:
    settings.TASKS = {"default": MEMORY | {"OPTIONS": {"typo": 1}}}
    with pytest.raises(DlqError, match=r"""TASKS\["default"\]: OPTIONS\['typo'\] is unknown"""):
        echo()
    assert stored(memory) == []


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("error", [StoreNotReady, StoreRefused])
def test_an_error_of_the_store_is_an_enqueue_error_with_its_cause(error: type[StoreError]) -> None:
    with pytest.raises(
        EnqueueError, match=f"Nothing was enqueued: the store says {error.__name__}"
    ) as raised:
        echo(error.__name__)
    assert type(raised.value.__cause__) is error


@pytest.mark.usefixtures("refusing")
def test_where_the_store_does_not_answer_nobody_says_that_nothing_was_enqueued() -> None:
    with pytest.raises(EnqueueUnanswered, match="It is not confirmed that the job") as raised:
        echo("StoreUnavailable")
    (id,) = raised.value.ids
    assert f"the job {id} was enqueued: the store says" in str(raised.value)
    with pytest.raises(EnqueueUnanswered, match="that the 2 jobs were enqueued") as raised:
        echo.enqueue_many([(("StoreUnavailable",), {}), ((2,), {})])
    assert len(raised.value.ids) == 2
    assert type(raised.value.__cause__) is StoreUnavailable


@pytest.mark.usefixtures("refusing")
def test_what_was_not_answered_may_be_enqueued_again_under_the_same_id() -> None:
    with pytest.raises(EnqueueUnanswered) as raised:
        echo("StoreUnavailable")
    with pytest.raises(EnqueueUnanswered) as again:
        raised.value.enqueue_again()
    assert again.value.ids == raised.value.ids


def test_none_of_many_is_stored_when_one_is_refused(
    memory: MemoryBackend, sent: list[tuple[type, TaskResult[..., Any]]]
) -> None:
    with pytest.raises(PayloadError):
        echo.enqueue_many([((1,), {}), (({2},), {}), ((3,), {})])
    with pytest.raises(TaskRefused):
        memory.enqueue_all([(echo, (), {}), (first_twin, (), {})])
    assert (stored(memory), sent) == ([], [])


@pytest.mark.usefixtures("refusing")
def test_none_of_many_is_announced_when_the_store_refuses(
    sent: list[tuple[type, TaskResult[..., Any]]],
) -> None:
    with pytest.raises(EnqueueError):
        echo.enqueue_many([((1,), {}), (("StoreRefused",), {})])
    assert sent == []


def test_a_durability_that_the_backend_cannot_give_is_refused_at_the_call(
    monkeypatch: pytest.MonkeyPatch, memory: MemoryBackend
) -> None:
    assert echo.using(durability="aof").enqueue(1).id  # In tests the memory stands in for other backends.
    monkeypatch.setattr(MemoryBackend, "durabilities", ())
    with pytest.raises(InvalidTask, match=r"durability='aof' must be left out.*: none"):
        echo.using(durability="aof")
