from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.dispatch import Signal
from django.tasks import TaskContext, TaskResultStatus
from django.tasks import task as django_task
from django.tasks.signals import task_finished, task_started

from dlq import Attempt, Counted, Exponential, Failure, MemoryBackend, State, TaskResult, task
from dlq.errors import JobCancelled
from dlq.job import Claim, Outcome
from dlq.runtime.execution import run_job
from dlq.runtime.failures import LONGEST_TRACEBACK
from dlq.testing.contract.builders import NOON, after

ClaimOf = Callable[..., Claim]
Run = Callable[..., Outcome]

HERE = __name__


# --- Tasks ---


@task
def add(first: int, second: int = 0) -> int:
    return first + second


@task
def give(what: str) -> Any:
    return VALUES[what]


@task
def fail(message: str = "no such address") -> None:
    raise LookupError(message)


@task(max_attempts=3, backoff=Exponential(first=8, jitter=0))
def fail_thrice() -> None:
    raise LookupError("no such address")


@task
def throw(what: str) -> None:
    raise THROWN[what]


@task(max_attempts=3, backoff=4)
def throw_again(what: str) -> None:
    raise THROWN[what]


@task(takes_context=True)
def report(context: TaskContext, *names: str) -> list[Any]:
    result = context.task_result
    return [
        context.attempt,
        [error.exception_class_path for error in result.errors],
        result.worker_ids,
        result.id,
        [getattr(result, name) for name in names],
    ]


@task(takes_context=True, max_attempts=5)
def report_and_fail(context: TaskContext) -> None:
    raise LookupError(f"attempt {context.attempt} after {len(context.task_result.errors)} errors")


@task
async def add_soon(first: int, second: int) -> int:
    await asyncio.sleep(0)
    return first + second


@task(takes_context=True, max_attempts=2, backoff=3)
async def fail_soon(context: TaskContext) -> None:
    await asyncio.sleep(0)
    raise LookupError(f"attempt {context.attempt}")


@django_task
def of_django(number: int) -> int:
    return number


@django_task
def of_django_that_fails() -> None:
    raise LookupError("no such address")


def wait_as_told(exception: BaseException, result: TaskResult[..., Any]) -> Any:
    match WAITS[str(exception)]:
        case BaseException() as error:
            raise error
        case wait:
            return wait


@task(max_attempts=3, backoff=wait_as_told)
def fail_with_own_waits(wait: str) -> None:
    raise LookupError(wait)


def wait_by_the_errors(exception: BaseException, result: TaskResult[..., Any]) -> float:
    return 100.0 * len(result.errors) + result.attempts


@task(max_attempts=5, backoff=wait_by_the_errors)
def fail_counting() -> None:
    raise LookupError("again")


WAITS: dict[str, Any] = {
    "number": 12,
    "time": timedelta(minutes=2),
    "nothing": None,
    "past": -5,
    "word": "soon",
    "raises": RuntimeError("broken backoff"),
    "exits": SystemExit(1),
}


class BrokenStr(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class BrokenRepr(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Outer:
    class InnerError(Exception):
        pass


class OwnBaseException(BaseException):
    pass


THROWN: dict[str, BaseException] = {
    "exit": SystemExit(3),
    "interrupt": KeyboardInterrupt(),
    "generator": GeneratorExit(),
    "cancelled": asyncio.CancelledError(),
    "stop": StopIteration(7),
    "own": OwnBaseException("mine"),
    "memory": MemoryError(),
    "recursion": RecursionError(),
    "group": ExceptionGroup("several", [ValueError("one"), LookupError("two")]),
    "broken str": BrokenStr(),
    "broken repr": BrokenRepr(),
    "argument with broken repr": ValueError(BrokenRepr()),
    "nul": ValueError("a\x00b"),
    "surrogate": ValueError("a\ud800b"),
    "nested": Outer.InnerError("x"),
    "long": ValueError("x" * 3 * LONGEST_TRACEBACK + "the end"),
}

CYCLIC: list[Any] = []
CYCLIC.append(CYCLIC)
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]

VALUES: dict[str, Any] = {
    "none": None,
    "empty": [],
    "nested": {"a": [1, 2.5, None, True, {"b": "ü\x00\ud800"}]},
    "big number": 2**60 + 1,
    "tuple": (1, (2, 3)),
    "huge": "x" * 5_000_000,
    "set": {1},
    "bytes": b"x",
    "object": object(),
    "moment": NOON,
    "nan": float("nan"),
    "int keys": {1: "a"},
    "cyclic": CYCLIC,
    "deep": DEEP,
}


# --- Running them ---


@pytest.fixture
def run(memory: MemoryBackend, claim_of: ClaimOf) -> Run:
    """Enqueues a call, claims it, and runs it as a worker does; claims may be changed in between."""

    def run(declared: Any, *args: Any, history: Sequence[Attempt] = (), **changes: Any) -> Outcome:
        claim = replace(claim_of(declared, *args), **changes)
        return run_job(claim, history, memory)

    return run


def failed_of(outcome: Outcome) -> str:
    assert outcome.state is State.FAILED
    assert outcome.failure is not None
    return outcome.failure.exception


def retried_of(outcome: Outcome) -> str:
    assert outcome.state is State.SCHEDULED
    assert outcome.failure is not None
    return outcome.failure.exception


# --- Returning ---


def test_what_a_task_returns_is_its_result(run: Run) -> None:
    outcome = run(add, 1, 2)
    assert (outcome.state, outcome.counted, outcome.result) == (State.SUCCEEDED, Counted.ATTEMPT, "3")
    assert outcome.failure is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("none", "null"),
        ("empty", "[]"),
        ("nested", '{"a":[1,2.5,null,true,{"b":"\\u00fc\\u0000\\ud800"}]}'),
        ("big number", "1152921504606846977"),
        ("tuple", "[1,[2,3]]"),
    ],
)
def test_values_that_json_holds_are_kept_unchanged(run: Run, value: str, text: str) -> None:
    assert run(give, value).result == text


def test_a_huge_value_is_a_result_like_any_other(run: Run) -> None:
    assert run(give, "huge").result == '"' + "x" * 5_000_000 + '"'


@pytest.mark.parametrize("value", ["set", "bytes", "object", "moment", "nan", "int keys", "cyclic", "deep"])
def test_a_value_that_json_cannot_hold_ends_the_attempt_as_typeerror(run: Run, value: str) -> None:
    outcome = run(give, value)
    assert failed_of(outcome) == "builtins.TypeError"
    assert outcome.result is None
    assert "return value" in outcome.failure.traceback  # type: ignore[union-attr]


def test_a_coroutine_function_runs_to_its_end(run: Run) -> None:
    assert run(add_soon, 1, 2).result == "3"


def test_a_task_declared_with_django_runs(run: Run) -> None:
    assert run(of_django, 7).result == "7"


def test_a_task_declared_with_django_is_tried_once(run: Run) -> None:
    assert failed_of(run(of_django_that_fails)) == "builtins.LookupError"


# --- Raising ---


def test_what_a_task_raises_fails_the_job(run: Run) -> None:
    outcome = run(fail)
    assert failed_of(outcome) == "builtins.LookupError"
    assert (outcome.counted, outcome.result) == (Counted.ATTEMPT, None)
    text = outcome.failure.traceback  # type: ignore[union-attr]
    assert text.startswith("Traceback (most recent call last):")
    assert text.endswith("LookupError: no such address\n")
    assert "raise LookupError(message)" in text


def test_wrong_arguments_fail_the_job(run: Run) -> None:
    outcome = run(add)
    assert failed_of(outcome) == "builtins.TypeError"
    assert "missing 1 required positional argument: 'first'" in outcome.failure.traceback  # type: ignore[union-attr]


def test_a_coroutine_that_raises_is_tried_again(run: Run) -> None:
    outcome = run(fail_soon)
    assert (retried_of(outcome), outcome.delay) == ("builtins.LookupError", 3.0)


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("exit", "builtins.SystemExit"),
        ("interrupt", "builtins.KeyboardInterrupt"),
        ("generator", "builtins.GeneratorExit"),
        ("cancelled", "asyncio.exceptions.CancelledError"),
        ("stop", "builtins.StopIteration"),
        ("own", f"{HERE}.OwnBaseException"),
        ("memory", "builtins.MemoryError"),
        ("recursion", "builtins.RecursionError"),
        ("group", "builtins.ExceptionGroup"),
        ("nested", f"{HERE}.Outer.InnerError"),
    ],
)
def test_whatever_a_task_raises_is_an_attempt_that_raised(run: Run, what: str, kind: str) -> None:
    assert failed_of(run(throw, what)) == kind
    outcome = run(throw_again, what)
    assert (retried_of(outcome), outcome.delay, outcome.counted) == (kind, 4.0, Counted.ATTEMPT)


@pytest.mark.parametrize("what", ["broken str", "broken repr", "argument with broken repr"])
def test_an_exception_that_cannot_be_put_into_words_is_an_attempt_that_raised(run: Run, what: str) -> None:
    kind = type(THROWN[what])
    path = f"{kind.__module__}.{kind.__qualname__}"
    assert failed_of(run(throw, what)) == path
    assert retried_of(run(throw_again, what)) == path


@pytest.mark.parametrize(("what", "shown"), [("nul", "a\\x00b"), ("surrogate", "a\\ud800b")])
def test_text_of_exceptions_can_be_stored_anywhere(run: Run, what: str, shown: str) -> None:
    text = run(throw, what).failure.traceback  # type: ignore[union-attr]
    assert f"ValueError: {shown}" in text
    assert "\x00" not in text
    assert text.encode().decode() == text


def test_the_middle_of_a_very_long_traceback_is_left_out(run: Run) -> None:
    text = run(throw, "long").failure.traceback  # type: ignore[union-attr]
    assert LONGEST_TRACEBACK <= len(text) < LONGEST_TRACEBACK + 100
    assert text.startswith("Traceback (most recent call last):")
    assert text.endswith("xthe end\n")
    assert "characters left out]" in text


# --- Trying again ---


def test_a_task_is_tried_again_while_attempts_are_left(run: Run) -> None:
    outcomes = [run(fail_thrice, attempts=attempts) for attempts in (0, 1, 2)]
    assert [(o.state, o.delay) for o in outcomes] == [
        (State.SCHEDULED, 8.0),
        (State.SCHEDULED, 16.0),
        (State.FAILED, 0.0),
    ]


def test_attempts_are_those_of_the_enqueue_not_of_the_code(run: Run) -> None:
    assert failed_of(run(fail_thrice, max_attempts=1)) == "builtins.LookupError"
    assert retried_of(run(fail, max_attempts=2)) == "builtins.LookupError"


@pytest.mark.parametrize(
    ("backoff", "delay", "state"),
    [
        (30, 30.0, State.SCHEDULED),
        (0.5, 0.5, State.SCHEDULED),
        (timedelta(minutes=2), 120.0, State.SCHEDULED),
        (Exponential(first=8, jitter=0), 8.0, State.SCHEDULED),
        (0, 0.0, State.READY),
    ],
)
def test_a_backoff_given_with_the_call_wins(run: Run, backoff: Any, delay: float, state: State) -> None:
    outcome = run(fail_thrice.using(backoff=backoff))
    assert (outcome.state, outcome.delay) == (state, delay)


def test_without_a_backoff_the_default_grows(run: Run) -> None:
    first, fourth = (run(fail, max_attempts=9, attempts=attempts).delay for attempts in (0, 3))
    assert 1.5 <= first <= 2.0
    assert 12.0 <= fourth <= 16.0


@pytest.mark.parametrize(
    ("wait", "delay", "state"),
    [
        ("number", 12.0, State.SCHEDULED),
        ("time", 120.0, State.SCHEDULED),
        ("past", 0.0, State.READY),
        ("nothing", 0.0, State.FAILED),
    ],
)
def test_a_backoff_function_decides(run: Run, wait: str, delay: float, state: State) -> None:
    outcome = run(fail_with_own_waits, wait)
    assert (outcome.state, outcome.delay) == (state, delay)
    assert outcome.failure.exception == "builtins.LookupError"  # type: ignore[union-attr]


def test_a_backoff_function_sees_every_error_up_to_this_one(run: Run) -> None:
    assert run(fail_counting, attempts=2, history=[raised(1), raised(2)]).delay == 303.0


@pytest.mark.parametrize("wait", ["raises", "exits", "word"])
def test_a_backoff_function_that_is_broken_loses_no_retry(
    run: Run, wait: str, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = run(fail_with_own_waits, wait)
    assert retried_of(outcome) == "builtins.LookupError"
    assert 1.5 <= outcome.delay <= 2.0
    assert "the default is used" in caplog.text


# --- Jobs that cannot be run ---


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that cannot be imported, each in its own way."""
    for name, text in {
        "raises_on_import": "raise RuntimeError('no settings')",
        "exits_on_import": "import sys; sys.exit(2)",
        "has_a_syntax_error": "def",
        "has_a_function": "def send(): ...",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(
    "path",
    [
        "shop.tasks.send",
        f"{HERE}.gone",
        f"{HERE}.HERE",
        "send",
        "",
        "raises_on_import.send",
        "exits_on_import.send",
        "has_a_syntax_error.send",
        "has_a_function.send",
    ],
)
def test_a_job_whose_task_is_unknown_here_is_parked(
    run: Run, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = run(add, 1, task=path)
    assert (outcome.state, outcome.counted, outcome.failure) == (State.BLOCKED, Counted.NOTHING, None)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("dlq.job", "WARNING")
    assert "waits for a worker that knows its task" in record.getMessage()
    assert record.task_path == path  # type: ignore[attr-defined]


@pytest.mark.parametrize("payload", ["", "{", "3", "[[]]", "null", "[[],{},{}]", "[" * 100_000])
def test_a_job_whose_arguments_cannot_be_read_fails(
    run: Run, payload: str, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = run(add, 1, payload=payload, max_attempts=5)
    assert outcome.state is State.FAILED
    assert outcome.failure is not None
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("dlq.job", "ERROR")
    assert "cannot be read" in record.getMessage()


@pytest.mark.parametrize("overrides", ["{", "[1]", '{"backoff":{"last":1}}'])
def test_a_job_whose_options_cannot_be_read_fails(run: Run, overrides: str) -> None:
    assert run(add, 1, overrides=overrides).state is State.FAILED


# --- Jobs that waited for too long ---


@pytest.mark.parametrize(("seconds", "runs"), [(-5, False), (0, False), (0.001, True)])
def test_a_job_that_has_expired_when_it_is_claimed_does_not_run(
    run: Run, seconds: float, runs: bool, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = run(add, 1, 2, claimed_at=NOON, expires_at=after(seconds), max_attempts=5)
    assert (outcome.state is State.SUCCEEDED) is runs
    assert bool(heard.names) is runs
    if not runs:
        assert (failed_of(outcome), outcome.counted) == ("dlq.errors.Expired", Counted.NOTHING)
        assert "has expired" in caplog.text


# --- For how long it is kept ---


@task(result_ttl=60)
def keep_a_minute() -> None: ...


@task(result_ttl=60, max_attempts=2)
def keep_a_minute_and_fail() -> None:
    raise LookupError


@task(result_ttl=60)
def keep_a_minute_and_be_cancelled() -> None:
    raise JobCancelled


@pytest.mark.parametrize(
    ("declared", "keep_for"),
    [
        (add, None),
        (keep_a_minute, 60),
        (keep_a_minute.using(result_ttl=timedelta(hours=1)), 3600),
        (keep_a_minute.using(result_ttl=0), 0),
        (keep_a_minute_and_be_cancelled, 60),
        (keep_a_minute_and_fail.using(max_attempts=1), 60),
        (keep_a_minute_and_fail, None),
    ],
)
def test_a_finished_job_is_kept_as_its_task_or_call_says(
    run: Run, declared: Any, keep_for: float | None
) -> None:
    assert run(declared, *([1] if declared is add else [])).keep_for == keep_for


# --- What the task is told ---


def raised(attempt: int, worker: str = "worker-0") -> Attempt:
    return Attempt(
        worker=worker,
        started_at=after(attempt),
        finished_at=after(attempt),
        counted=Counted.ATTEMPT,
        failure=Failure(exception=f"shop.Error{attempt}", traceback=f"error {attempt}\n"),
    )


def interrupted(attempt: int) -> Attempt:
    return replace(raised(attempt, "worker-lost"), counted=Counted.INTERRUPTION)


def read(outcome: Outcome) -> Any:
    assert outcome.result is not None, outcome
    return json.loads(outcome.result)


def test_the_context_knows_the_first_attempt(run: Run) -> None:
    outcome = run(report)
    attempt, errors, workers, id, _ = read(outcome)
    assert (attempt, errors, workers, id) == (1, [], ["worker-1"], str(outcome.id))


def test_the_context_knows_the_errors_of_earlier_attempts_and_leaves_out_interruptions(run: Run) -> None:
    history = [raised(1, "worker-7"), interrupted(2), raised(3, "worker-8")]
    attempt, errors, workers, _, rest = read(run(report, "interruptions", history=history, interruptions=1))
    assert (attempt, errors) == (3, ["shop.Error1", "shop.Error3"])
    assert workers == ["worker-7", "worker-8", "worker-1"]
    assert rest == [1]


def test_attempts_count_where_nobody_remembers_them(run: Run) -> None:
    attempt, errors, workers, _, _ = read(run(report, attempts=2, max_attempts=3))
    assert (attempt, errors, workers) == (3, [], ["unknown", "unknown", "worker-1"])


def test_the_context_is_there_for_every_attempt(run: Run) -> None:
    text = run(report_and_fail, attempts=1, history=[raised(1)]).failure.traceback  # type: ignore[union-attr]
    assert "attempt 2 after 1 errors" in text


# --- Signals ---


class Heard:
    """What the signals of one test told, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.senders: list[type] = []
        self.results: list[TaskResult[..., Any]] = []
        self.states: list[TaskResultStatus] = []
        self.raised: list[BaseException | None] = []

    def listen(self, name: str) -> Callable[..., None]:
        def hear(sender: type, task_result: TaskResult[..., Any], **kwargs: Any) -> None:
            self.names.append(name)
            self.senders.append(sender)
            self.results.append(task_result)
            self.states.append(task_result.status)
            self.raised.append(sys.exception())

        return hear


@pytest.fixture
def connected() -> Iterator[Callable[[Signal, Callable[..., Any]], None]]:
    receivers: list[tuple[Signal, Callable[..., Any]]] = []

    def connect(signal: Signal, receiver: Callable[..., Any]) -> None:
        receivers.append((signal, receiver))
        signal.connect(receiver, weak=False)

    yield connect
    for signal, receiver in receivers:
        signal.disconnect(receiver)


@pytest.fixture
def heard(connected: Callable[..., None]) -> Heard:
    ear = Heard()
    connected(task_started, ear.listen("started"))
    connected(task_finished, ear.listen("finished"))
    return ear


def test_a_job_that_returns_starts_and_finishes(run: Run, heard: Heard) -> None:
    outcome = run(add, 1, 2)
    assert heard.names == ["started", "finished"]
    assert heard.senders == [MemoryBackend, MemoryBackend]
    assert heard.states == [TaskResultStatus.RUNNING, TaskResultStatus.SUCCESSFUL]
    assert heard.raised == [None, None]
    result = heard.results[1]
    assert (result.id, result.task.func, result.return_value) == (str(outcome.id), add.func, 3)
    assert (result.args, result.kwargs, result.worker_ids) == ([1, 2], {}, ["worker-1"])


def test_a_job_that_fails_finishes_while_its_exception_is_handled(run: Run, heard: Heard) -> None:
    run(throw, "own")
    assert heard.names == ["started", "finished"]
    assert heard.states == [TaskResultStatus.RUNNING, TaskResultStatus.FAILED]
    assert heard.raised == [None, THROWN["own"]]
    assert [error.exception_class_path for error in heard.results[1].errors] == [f"{HERE}.OwnBaseException"]


def test_an_attempt_that_is_tried_again_starts_and_does_not_finish(run: Run, heard: Heard) -> None:
    run(fail_thrice)
    run(fail_thrice, attempts=1)
    assert heard.names == ["started", "started"]


def test_a_job_that_is_parked_does_not_even_start(run: Run, heard: Heard) -> None:
    run(add, 1, task="shop.tasks.send")
    assert heard.names == []


def test_times_are_those_of_the_store_whatever_the_clock_here_says(
    run: Run, heard: Heard, clock: Any
) -> None:
    long_ago = datetime(2001, 1, 1, tzinfo=NOON.tzinfo)
    history = [replace(raised(1), started_at=long_ago)]
    run(add, 1, claimed_at=NOON, enqueued_at=long_ago, history=history)
    result = heard.results[1]
    assert (result.started_at, result.last_attempted_at, result.finished_at) == (long_ago, NOON, NOON)


@pytest.mark.parametrize("signal", [task_started, task_finished], ids=["started", "finished"])
@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()], ids=repr
)
def test_a_receiver_that_raises_harms_nothing(
    run: Run, connected: Callable[..., None], signal: Signal, error: BaseException
) -> None:
    def receive(**kwargs: Any) -> None:
        raise error

    connected(signal, receive)
    assert run(add, 1, 2).result == "3"
    assert failed_of(run(fail)) == "builtins.LookupError"
    assert retried_of(run(fail_thrice)) == "builtins.LookupError"


# --- The log ---


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[logging.LogRecord]]:
    caplog.set_level(logging.INFO, logger="dlq")
    return lambda: [record for record in caplog.records if record.name.startswith("dlq")]


@pytest.mark.parametrize(
    ("declared", "level", "words"),
    [
        (add, "INFO", "succeeded in 0."),
        (fail, "ERROR", "failed with LookupError(5) in 0."),
        (fail_thrice, "WARNING", "LookupError('no such address')"),
    ],
)
def test_every_attempt_is_a_line_in_the_log(
    run: Run, lines: Callable[[], list[logging.LogRecord]], declared: Any, level: str, words: str
) -> None:
    outcome = run(declared, *([] if declared is fail_thrice else [5]))
    (line,) = lines()
    assert (line.name, line.levelname) == ("dlq.job", level)
    message = line.getMessage()
    assert message.startswith(f"Job {outcome.id} {declared.module_path} ")
    assert words in message
    assert message.endswith("(queue default, attempt 1)")
    fields = {name: line.__dict__[name] for name in ("job_id", "task_path", "queue", "worker", "seconds")}
    assert fields == {
        "job_id": str(outcome.id),
        "task_path": declared.module_path,
        "queue": "default",
        "worker": "worker-1",
        "seconds": outcome.seconds,
    }


def test_the_log_says_when_a_job_is_tried_again(
    run: Run, lines: Callable[[], list[logging.LogRecord]]
) -> None:
    run(fail_thrice, attempts=1)
    (line,) = lines()
    assert "16.0 s" in line.getMessage()
    assert line.getMessage().endswith("attempt 2)")


def test_no_argument_of_a_job_is_written_to_the_log(
    run: Run, lines: Callable[[], list[logging.LogRecord]]
) -> None:
    run(give, "none")
    assert "none" not in lines()[0].getMessage()


@task
def take_a_while() -> None:
    CLOCKS[0].advance(2.5)


@task(max_attempts=2)
def take_a_while_and_fail() -> None:
    CLOCKS[0].advance(2.5)
    raise LookupError


CLOCKS: list[Any] = []


@pytest.mark.parametrize("declared", [take_a_while, take_a_while_and_fail])
def test_durations_are_measured_with_the_monotonic_clock(
    run: Run, heard: Heard, clock: Any, declared: Any
) -> None:
    CLOCKS[:] = [clock]
    assert run(declared, claimed_at=NOON).seconds == 2.5
    assert run(declared, claimed_at=NOON, attempts=1).seconds == 2.5
    assert heard.results[-1].finished_at == after(2.5)
