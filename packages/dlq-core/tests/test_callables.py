import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from dlq import EnqueueError, MemoryBackend, PayloadError, State, Task, task
from dlq.callables import call_path
from dlq.enqueueing import enqueue
from dlq.errors import CallableRefused
from dlq.testing import run_jobs

from .stored import stored

pytestmark = pytest.mark.usefixtures("memory")


@task(queue="email", max_attempts=3)
def send(to: str) -> str:
    return f"to {to}"


def add(a: int, b: int = 0) -> int:
    return a + b


def takes_path(path: str) -> str:
    return path


async def in_a_coroutine(a: int) -> int:
    return -a


def _private() -> None: ...


class Sum:
    @staticmethod
    def of(*numbers: int) -> int:
        return sum(numbers)


A_CONSTANT = 5


MODULE = "shop.calls"
"""This module under a name that a setting can have."""


def path_of(name: str) -> str:
    return f"{MODULE}.{name}"


@pytest.fixture(autouse=True)
def this_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODULE, sys.modules[__name__])


@pytest.fixture
def allow(settings: Settings) -> Callable[..., None]:
    def allow(*patterns: str) -> None:
        settings.DLQ_CALLABLES = patterns

    return allow


# --- What may be enqueued ---


def test_a_task_is_enqueued_as_itself_without_being_allowed(memory: MemoryBackend) -> None:
    by_path = enqueue(path_of("send"), "ann")
    itself = enqueue(send, "bob")
    assert [(job.task, job.queue, job.max_attempts) for job in stored(memory)] == [
        (send.module_path, "email", 3)
    ] * 2
    assert by_path.task is itself.task is send
    run_jobs()
    assert [memory.get_result(result.id).return_value for result in (by_path, itself)] == ["to ann", "to bob"]


def test_a_task_with_other_options_keeps_them(memory: MemoryBackend) -> None:
    enqueue(send.using(queue="slow"), "ann")
    assert stored(memory)[0].queue == "slow"


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "returned"),
    [
        ("add", (1,), {"b": 2}, 3),
        ("takes_path", (), {"path": "mine"}, "mine"),
        ("in_a_coroutine", (4,), {}, -4),
    ],
)
def test_a_callable_that_is_allowed_is_called(
    allow: Callable[..., None],
    memory: MemoryBackend,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    returned: Any,
) -> None:
    allow(path_of(name))
    result = enqueue(path_of(name), *args, **kwargs)
    assert (result.task, result.args) == (call_path, [path_of(name), *args])
    run_jobs()
    assert memory.get_result(result.id).return_value == returned


def test_a_star_allows_what_is_one_level_below(allow: Callable[..., None]) -> None:
    allow(f"{MODULE}.*")
    assert enqueue(path_of("add"), 1).task is call_path


@pytest.mark.parametrize(
    ("pattern", "name", "is_allowed"),
    [
        ("{module}.add", "add", True),
        ("{module}.*", "add", True),
        ("{module}.*", "_private", False),
        ("{module}._private", "_private", True),
        ("{parent}.*", "add", False),
        ("{parent}.calls", "add", False),
        ("{module}.ad", "add", False),
        ("other.*", "add", False),
    ],
)
def test_what_is_allowed(
    allow: Callable[..., None], memory: MemoryBackend, pattern: str, name: str, is_allowed: bool
) -> None:
    allow(pattern.format(module=MODULE, parent="shop"))
    if is_allowed:
        assert enqueue(path_of(name), 1).args == [path_of(name), 1]
        return
    with pytest.raises(CallableRefused):
        enqueue(path_of(name), 1)
    assert stored(memory) == []


def test_a_refusal_says_which_line_to_add(allow: Callable[..., None], memory: MemoryBackend) -> None:
    allow("shop.mail.*")
    with pytest.raises(CallableRefused) as refused:
        enqueue(path_of("add"), 1)
    assert f"DLQ_CALLABLES = ['shop.mail.*', '{path_of('add')}']" in str(refused.value)
    assert isinstance(refused.value, EnqueueError)
    assert stored(memory) == []


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "'' cannot be imported here"),
        ("add", "'add' cannot be imported here"),
        ("no.such.module", "'no.such.module' cannot be imported here: ModuleNotFoundError"),
        (f"{MODULE}.gone", "cannot be imported here: ImportError"),
        (f"{MODULE}.Sum.of", "cannot be imported here.* a callable at the top level of a module"),
        (f"{MODULE}.A_CONSTANT", "is a int, which cannot be called"),
        (add, r"<function add at .*> is neither a task nor a dotted path. Declare it with @task"),
        (None, "None is neither a task nor a dotted path"),
    ],
)
def test_what_is_no_path_of_anything_to_call_is_refused(
    allow: Callable[..., None], memory: MemoryBackend, path: Any, says: str
) -> None:
    allow(f"{MODULE}.*", "no.such.*")
    with pytest.raises(CallableRefused, match=says):
        enqueue(path, 1)
    assert stored(memory) == []


@pytest.mark.parametrize("source", ["raise RuntimeError('broken')", "def", "raise SystemExit(1)"])
def test_a_module_that_cannot_be_imported_is_no_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    (tmp_path / "broken_callables.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CallableRefused, match=r"'broken_callables\.run' cannot be imported here"):
        enqueue("broken_callables.run")


def test_the_arguments_must_survive_json(allow: Callable[..., None], memory: MemoryBackend) -> None:
    allow(path_of("add"))
    with pytest.raises(PayloadError):
        enqueue(path_of("add"), {1})
    assert stored(memory) == []


def test_a_pattern_that_is_none_is_named(allow: Callable[..., None]) -> None:
    allow("*")
    with pytest.raises(ImproperlyConfigured, match=r"DLQ_CALLABLES has '\*'"):
        enqueue(path_of("add"), 1)


# --- When it runs ---


def test_a_callable_that_is_not_allowed_any_more_is_not_called(
    allow: Callable[..., None], memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(path_of("add"))
    result = enqueue(path_of("add"), 1)
    allow()
    run_jobs()
    result.refresh()
    assert result.state is State.FAILED
    [error] = result.errors
    assert error.exception_class is CallableRefused
    assert "DLQ_CALLABLES" in error.traceback


def test_a_module_that_is_not_allowed_is_not_even_imported_by_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "told_when_imported.py").write_text("raise SystemError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CallableRefused, match="may not be called by its path"):
        call_path.call("told_when_imported.run")


def test_a_callable_that_has_become_a_task_runs_as_its_function(
    allow: Callable[..., None], memory: MemoryBackend
) -> None:
    allow(path_of("send"))
    result = call_path.enqueue(path_of("send"), "ann")
    assert run_jobs() == 1
    result.refresh()
    assert result.return_value == "to ann"


def test_the_task_for_callables_is_one_that_workers_find() -> None:
    assert isinstance(call_path, Task)
    assert call_path.module_path == "dlq.callables.call_path"
