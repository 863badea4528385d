from typing import Any

import pytest
from pytest_django import Settings

from dlq import hooks
from dlq.hooks import Process, register_hook, report_error, run_hooks

WORKER = Process("web1-4711-ab12/3", "worker", 4712)

reported: list[BaseException] = []


def take(exception: BaseException) -> None:
    reported.append(exception)


def fail_to_take(exception: BaseException) -> None:
    raise SystemExit(3)


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_hooks", {event: [] for event in hooks.EVENTS})
    reported.clear()


def test_the_events_are_these() -> None:
    assert hooks.EVENTS == (
        "runner.start",
        "runner.stop",
        "runner.exit",
        "worker.start",
        "worker.stop",
        "worker.exit",
        "service.start",
        "service.stop",
        "service.exit",
    )


@pytest.mark.parametrize("event", hooks.EVENTS)
def test_each_event_has_a_decorator_that_leaves_the_function_as_it_is(event: str) -> None:
    seen: list[Process] = []
    decorator = getattr(hooks, f"on_{event.replace('.', '_')}")
    hook = seen.append
    assert decorator(hook) is hook
    for happens in hooks.EVENTS:
        run_hooks(happens, WORKER)
    assert seen == [WORKER]


def test_hooks_are_called_in_the_order_of_registration() -> None:
    seen: list[str] = []

    @hooks.on_worker_exit
    def first(process: Process) -> None:
        seen.append("first")

    register_hook("worker.exit", lambda process: seen.append("second"))

    @hooks.on_worker_exit
    def third(process: Process) -> None:
        seen.append("third")

    run_hooks("worker.exit", WORKER)
    assert seen == ["first", "second", "third"]


def test_a_hook_is_given_the_live_process() -> None:
    process = Process("web1-4711-ab12", "runner", 4711)
    register_hook("runner.start", lambda process: process.metadata.update(region="eu"))
    seen: list[Any] = []
    register_hook("runner.exit", lambda process: seen.append((process, process.metadata)))
    run_hooks("runner.start", process)
    run_hooks("runner.exit", process)
    [(same, metadata)] = seen
    assert same is process
    assert metadata == {"region": "eu"}


@pytest.mark.parametrize("event", ["worker.exits", "worker", "", "dispatcher.start"])
def test_an_unknown_event_is_told_what_there_is(event: str) -> None:
    with pytest.raises(ValueError, match=f"no event '{event}'. There are: runner.start, .*service.exit"):
        register_hook(event, take)


async def coroutine(process: Process) -> None: ...


@pytest.mark.parametrize("hook", [None, "module.function", coroutine], ids=str)
def test_what_cannot_be_called_is_no_hook(hook: Any) -> None:
    with pytest.raises(TypeError, match="must be a function, not a coroutine function"):
        register_hook("worker.start", hook)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_hook_that_raises_is_logged_and_reported_and_the_others_are_called(
    settings: Settings, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    settings.DLQ_ON_ERROR = f"{__name__}.take"
    seen: list[Process] = []
    raised = error("not today")

    @hooks.on_worker_start
    def fails(process: Process) -> None:
        raise raised

    hooks.on_worker_start(seen.append)
    run_hooks("worker.start", WORKER)
    assert seen == [WORKER]
    assert reported == [raised]
    [record] = caplog.records
    assert record.getMessage().endswith("fails of worker.start raised in web1-4711-ab12/3.")
    assert record.exc_info
    assert record.exc_info[1] is raised


def test_a_hook_may_register_another_for_the_next_time() -> None:
    seen: list[Process] = []
    register_hook("worker.start", lambda process: register_hook("worker.start", seen.append))
    run_hooks("worker.start", WORKER)
    assert seen == []
    run_hooks("worker.start", WORKER)
    assert seen == [WORKER]


def test_an_error_of_the_machinery_goes_to_the_setting_s_callable(settings: Settings) -> None:
    settings.DLQ_ON_ERROR = f"{__name__}.take"
    error = ValueError("the store is gone")
    report_error(error, "the heartbeat")
    assert reported == [error]


def test_without_the_setting_nothing_is_reported() -> None:
    report_error(ValueError("the store is gone"), "the heartbeat")
    assert reported == []


@pytest.mark.parametrize("path", [f"{__name__}.fail_to_take", "no.such.function"])
def test_a_report_that_fails_is_logged(
    settings: Settings, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    settings.DLQ_ON_ERROR = path
    report_error(ValueError("the store is gone"), "the heartbeat")
    [record] = caplog.records
    assert record.getMessage() == (
        "DLQ_ON_ERROR failed to take ValueError('the store is gone') of the heartbeat."
    )
    assert record.exc_info
