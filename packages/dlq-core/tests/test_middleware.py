import json
import logging
import os
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.core.exceptions import MiddlewareNotUsed
from pytest_django import Settings

from dlq import ConfigError, task
from dlq.middleware import HOOKS, Chain, LoggingMiddleware, MiddlewareJob, chain, worker_number

pytestmark = pytest.mark.usefixtures("memory")

NOON = datetime(2040, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)

built: list[object] = []


@task("email", 30, True)
def send(to: str, subject: str = "") -> None: ...


JOB = MiddlewareJob("0198", send, ["ann"], {"subject": "secret"}, NOON)


class Recorder:
    """Says which hooks it was called with."""

    def __init__(self, name: str = "only", heard: list[Any] | None = None) -> None:
        self.name = name
        self.heard = [] if heard is None else heard
        built.append(self)

    def process_enqueue(self, *given: Any) -> None:
        self.heard.append((self.name, "enqueue", *given))

    def process_job(self, *given: Any) -> None:
        self.heard.append((self.name, "job", *given))

    def process_result(self, *given: Any) -> None:
        self.heard.append((self.name, "result", *given))

    def process_exception(self, *given: Any) -> None:
        self.heard.append((self.name, "exception", *given))

    def process_retry(self, *given: Any) -> None:
        self.heard.append((self.name, "retry", *given))

    def process_timeout(self, *given: Any) -> None:
        self.heard.append((self.name, "timeout", *given))


class NotUsed(Recorder):
    def __init__(self) -> None:
        raise MiddlewareNotUsed("only in production")


class WithArguments:
    def __init__(self, argument: int) -> None: ...


class Coroutine:
    async def process_job(self, job: MiddlewareJob, queue: str, worker_num: int) -> None: ...


class NoFunction:
    process_result = "yes"


class BuildsTheChain:
    def __init__(self) -> None:
        chain()


def exits() -> object:
    raise LookupError("no licence")


@pytest.fixture(autouse=True)
def nothing_built() -> None:
    built.clear()


def tell_all(hooks: Chain, exception: BaseException) -> None:
    hooks.enqueued(JOB, "email")
    hooks.started(JOB, "email", 3)
    hooks.succeeded(JOB, [1], 0.5)
    hooks.timed_out(JOB, 0.5, exception)
    hooks.raised(JOB, 0.5, exception)
    hooks.retried(JOB, 0.5, exception, 2.0)


def raised() -> ValueError:
    try:
        raise ValueError("no such address")
    except ValueError as error:
        return error


# --- The order and the arguments of hooks ---


def test_hooks_are_called_with_what_the_classic_ones_are_called_with() -> None:
    recorder, error = Recorder(), raised()
    tell_all(Chain([recorder]), error)
    assert recorder.heard == [
        ("only", "enqueue", JOB, "email"),
        ("only", "job", JOB, "email", 3),
        ("only", "result", JOB, [1], 0.5),
        ("only", "timeout", JOB, 0.5, error),
        ("only", "exception", JOB, 0.5, ValueError, error, error.__traceback__),
        ("only", "retry", JOB, 0.5, error, 2.0),
    ]


def test_what_comes_before_a_job_goes_in_and_what_comes_after_it_goes_out() -> None:
    heard: list[Any] = []
    tell_all(Chain([Recorder("outer", heard), Recorder("inner", heard)]), raised())
    assert [(name, hook) for name, hook, *_ in heard] == [
        ("outer", "enqueue"),
        ("inner", "enqueue"),
        ("outer", "job"),
        ("inner", "job"),
        ("inner", "result"),
        ("outer", "result"),
        ("inner", "timeout"),
        ("outer", "timeout"),
        ("inner", "exception"),
        ("outer", "exception"),
        ("inner", "retry"),
        ("outer", "retry"),
    ]


def test_every_hook_is_optional() -> None:
    class OnlyResults:
        def process_result(self, job: MiddlewareJob, result: Any, duration: float) -> None:
            results.append(result)

    results: list[Any] = []
    tell_all(Chain([OnlyResults(), object()]), raised())
    assert results == [[1]]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_raises_is_logged_and_the_others_are_called(
    caplog: pytest.LogCaptureFixture, hook: str, error: type[BaseException]
) -> None:
    def fail(*given: Any) -> None:
        raise error("not today")

    broken = type("Broken", (), {hook: fail})()
    before, after = Recorder(), Recorder()
    tell_all(Chain([before, broken, after]), raised())
    assert len(before.heard) == len(after.heard) == len(HOOKS)
    [record] = caplog.records
    assert record.getMessage().endswith("fail raised for job 0198; it is ignored.")
    assert record.exc_info
    assert record.exc_info[0] is error


def test_a_chain_without_hooks_is_false() -> None:
    assert not Chain()
    assert not Chain([object()])
    assert Chain([LoggingMiddleware()])


# --- What the setting names ---


def test_nothing_is_configured_at_first() -> None:
    assert not chain()


def test_middleware_is_built_once(settings: Settings) -> None:
    settings.DLQ_MIDDLEWARE = [f"{__name__}.Recorder", f"{__name__}.NotUsed", f"{__name__}.Recorder"]
    assert chain() is chain()
    chain().enqueued(JOB, "email")
    first, second = built
    assert isinstance(first, Recorder)
    assert isinstance(second, Recorder)
    assert first.heard == second.heard == [("only", "enqueue", JOB, "email")]


def test_a_changed_setting_is_seen(settings: Settings) -> None:
    settings.DLQ_MIDDLEWARE = [f"{__name__}.Recorder"]
    assert chain()
    settings.DLQ_MIDDLEWARE = []
    assert not chain()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Missing", "does not define a"),
        ("WithArguments", "missing 1 required positional argument"),
        ("exits", r"LookupError\('no licence'\)"),
        ("Coroutine", "whose process_job must be a function, and no coroutine"),
        ("NoFunction", "whose process_result must be a function"),
        ("BuildsTheChain", "A constructor of middleware uses the middleware"),
    ],
)
def test_what_cannot_be_used_is_named(settings: Settings, name: str, says: str) -> None:
    settings.DLQ_MIDDLEWARE = [f"{__name__}.{name}"]
    with pytest.raises(ConfigError, match=rf"DLQ_MIDDLEWARE names '{__name__}.{name}', .*{says}"):
        chain()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # other tests leave threads
def test_a_forked_child_builds_its_own(settings: Settings) -> None:
    settings.DLQ_MIDDLEWARE = [f"{__name__}.Recorder"]
    chain()
    if (child := os.fork()) == 0:
        try:
            chain()
        finally:
            os._exit(len(built))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


# --- The job that hooks see ---


def test_a_job_has_the_classic_names() -> None:
    assert (JOB.path, JOB.args, JOB.kwargs) == (f"{__name__}.send", ["ann"], {"subject": "secret"})
    assert (JOB.timeout, JOB.sigkill_on_stop, JOB.created_time) == (30, True, NOON)
    assert (JOB.id, JOB.queue, JOB.attempt) == ("0198", "email", 1)


def test_a_job_is_described_as_the_classic_one() -> None:
    assert JOB.as_dict() == {
        "path": f"{__name__}.send",
        "args": ["ann"],
        "kwargs": {"subject": "secret"},
        "timeout": 30,
        "sigkill_on_stop": True,
        "created_time": "2040-01-01 12:00:00.250000",
    }
    described = JOB.as_dict()
    del described["created_time"]
    assert JOB.identity_without_created() == json.dumps(described, sort_keys=True)


def test_the_time_is_written_in_utc() -> None:
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    job = MiddlewareJob("0198", send, [], {}, east)
    assert job.as_dict()["created_time"] == JOB.as_dict()["created_time"]


def test_jobs_that_do_the_same_have_the_same_identity() -> None:
    later = MiddlewareJob("0199", send, ["ann"], {"subject": "secret"}, NOON + timedelta(days=1), 2)
    other = MiddlewareJob("0198", send, ["bob"], {"subject": "secret"}, NOON)
    assert later.identity_without_created() == JOB.identity_without_created()
    assert other.identity_without_created() != JOB.identity_without_created()


def test_a_job_cannot_be_changed() -> None:
    for name in ("id", "args", "path", "other"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(JOB, name, "x")


@pytest.mark.parametrize(
    ("worker", "number"),
    [
        ("host-4711-ab12/3", 3),
        ("host-4711-ab12/12", 12),
        ("host-4711-ab12", 0),
        ("host", 0),
        ("7", 0),
        ("", 0),
        ("host/service", 0),
    ],
)
def test_the_number_of_a_worker_is_the_last_part_of_its_id(worker: str, number: int) -> None:
    assert worker_number(worker) == number


# --- LoggingMiddleware ---


def test_the_start_and_the_end_of_a_job_are_logged_without_what_it_is_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = raised()
    with caplog.at_level(logging.INFO, "dlq.middleware"):
        hooks = Chain([LoggingMiddleware()])
        hooks.started(JOB, "email", 3)
        hooks.succeeded(JOB, "a secret too", 0.5)
        hooks.raised(JOB, 0.25, error)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", f"Running job 0198 {__name__}.send"),
        ("INFO", f"Finished job 0198 {__name__}.send (time taken: 0.50 s)"),
        ("ERROR", f"Exception in job 0198 {__name__}.send (duration: 0.25 s)"),
    ]
    assert "secret" not in caplog.text
    assert caplog.records[2].exc_info == (ValueError, error, error.__traceback__)
    assert [(record.job_id, record.queue, record.attempt) for record in caplog.records] == [
        ("0198", "email", 1)
    ] * 3
