from __future__ import annotations

import asyncio
import itertools
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from dlq.errors import JobCancelled, TaskTimeout
from dlq.runtime.interrupts import AlarmInterrupts, CoroutineInterrupts, ThreadInterrupts

Threads = Callable[..., threading.Thread]

SOON = 0.02
"""Seconds of the timeouts that really run out."""
NEVER = 60.0
"""Seconds of the waits that must be interrupted."""


class Part:
    """As much of an execution as interrupts look at."""

    def __init__(self, timeout: float | None, began: float = 0.0) -> None:
        self.claim = SimpleNamespace(task="shop.tasks.send")
        self.timeout = timeout
        self.ends_at = float("inf") if timeout is None else began + timeout
        self.cancel_reason: str | None = None
        self.interrupt: Callable[[], object] = lambda: None

    def cancel(self, reason: str = "not needed") -> None:
        """As an executor does, in a thread that is not the job's; what comes of it has been sent when it returns."""
        self.cancel_reason = reason
        control = threading.Thread(target=lambda: self.interrupt())
        control.start()
        control.join()


def execution(timeout: float | None = None, began: float = 0.0) -> Any:
    return Part(timeout, began)


@pytest.fixture
def alarms() -> Iterator[AlarmInterrupts]:
    before, alarms = signal.getsignal(signal.SIGALRM), AlarmInterrupts()
    yield alarms
    alarms.release()
    assert signal.getsignal(signal.SIGALRM) is before


def wait() -> None:
    threading.Event().wait(NEVER)


def spin(until: Callable[[], bool] = lambda: False) -> None:
    """Run Python for as long as it takes."""
    for _ in itertools.count():
        if until():
            return


# --- By SIGALRM ---


def test_an_alarm_interrupts_a_blocking_call(alarms: AlarmInterrupts) -> None:
    with pytest.raises(TaskTimeout, match=r"shop\.tasks\.send ran for longer than its timeout of 0\.02 s\."):
        alarms.call(execution(SOON), wait)


def test_an_alarm_interrupts_python_that_spins(alarms: AlarmInterrupts) -> None:
    with pytest.raises(TaskTimeout):
        alarms.call(execution(SOON), spin)


def test_a_task_may_catch_its_timeout_and_return(alarms: AlarmInterrupts) -> None:
    def tidy() -> str:
        with pytest.raises(TaskTimeout):
            spin()
        return "tidied"

    assert alarms.call(execution(SOON), tidy) == "tidied"


def test_a_timeout_is_an_ordinary_timeouterror_too(alarms: AlarmInterrupts) -> None:
    with pytest.raises(TimeoutError):
        alarms.call(execution(SOON), spin)


@pytest.mark.parametrize("timeout", [None, NEVER])
@pytest.mark.parametrize("error", [None, ValueError, SystemExit, GeneratorExit, StopIteration])
def test_no_alarm_is_left_behind(
    alarms: AlarmInterrupts, timeout: float | None, error: type[BaseException] | None
) -> None:
    def work() -> bool:
        assert bool(signal.getitimer(signal.ITIMER_REAL)[0]) is (timeout is not None)
        if error is not None:
            raise error
        return True

    with pytest.raises(error) if error else nullcontext():
        assert alarms.call(execution(timeout), work)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_alarm_outside_of_a_task_does_nothing(alarms: AlarmInterrupts) -> None:
    signal.raise_signal(signal.SIGALRM)
    alarms.call(execution(SOON), lambda: None)
    signal.raise_signal(signal.SIGALRM)


def test_an_alarm_that_was_meant_for_the_job_before_does_nothing(alarms: AlarmInterrupts) -> None:
    for timeout in (None, NEVER):
        late = execution(timeout, time.monotonic())
        alarms.call(late, lambda: signal.raise_signal(signal.SIGALRM))


def test_an_alarm_cancels_a_blocking_call(alarms: AlarmInterrupts, in_thread: Threads) -> None:
    part, started = execution(), threading.Event()
    in_thread(lambda: started.wait(NEVER) and part.cancel())

    def work() -> None:
        started.set()
        wait()

    with pytest.raises(JobCancelled, match="not needed"):
        alarms.call(part, work)


def test_the_words_of_a_cancellation_win_over_those_of_a_timeout(alarms: AlarmInterrupts) -> None:
    part = execution(NEVER)
    with pytest.raises(JobCancelled):
        alarms.call(part, part.cancel)


# --- Any way ---


@pytest.fixture(params=["alarms", "threads"])
def interrupts(request: pytest.FixtureRequest) -> Any:
    return ThreadInterrupts() if request.param == "threads" else request.getfixturevalue("alarms")


def test_a_job_that_was_cancelled_before_it_began_does_not_begin(interrupts: Any) -> None:
    part = execution(NEVER)
    part.cancel("not needed")
    with pytest.raises(JobCancelled, match="not needed"):
        interrupts.call(part, lambda: pytest.fail("it began"))


def test_what_a_task_raises_itself_keeps_its_words(interrupts: Any) -> None:
    for error in (TaskTimeout("the bank did not answer"), JobCancelled("by the customer")):

        def fail(error: Exception = error) -> None:
            raise error

        with pytest.raises(type(error), match=str(error)):
            interrupts.call(execution(NEVER, time.monotonic()), fail)


def test_a_job_is_interrupted_once(interrupts: Any) -> None:
    part = execution(NEVER, time.monotonic())

    def work() -> str:
        for _ in range(3):
            try:
                part.cancel()
                spin(lambda: part.cancel_reason == "never")
            except JobCancelled:
                part.cancel()
                part.interrupt()
                return "tidied"
        return "not reached"

    assert interrupts.call(part, work) == "tidied"


def test_a_cancellation_after_the_end_reaches_nobody(interrupts: Any) -> None:
    first, second = execution(NEVER, time.monotonic()), execution(NEVER, time.monotonic())
    assert interrupts.call(first, lambda: 1) == 1
    first.cancel()

    def work() -> int:
        first.interrupt()
        return sum(range(1000))

    assert interrupts.call(second, work) == 499500


# --- In threads ---


class Limited:
    """A thread that works on a job until it is told to stop, or its time is up."""

    def __init__(
        self, interrupts: ThreadInterrupts, start: Threads, timeout: float | None, began: float
    ) -> None:
        self.error: BaseException | None = None
        self.caught: BaseException | None = None
        self.stop = False
        self.started = threading.Event()
        self._interrupts = interrupts
        self.execution = execution(timeout, began)
        self.thread = start(self._run)
        assert self.started.wait(NEVER)

    def _run(self) -> None:
        try:
            self._interrupts.call(self.execution, self._start)
        except (TaskTimeout, JobCancelled) as error:
            self.error = error

    def _start(self) -> None:
        self.started.set()
        self.work()

    def work(self) -> None:
        spin(lambda: self.stop)

    def end(self) -> None:
        self.stop = True
        self.thread.join(NEVER)


class Patient(Limited):
    """Catches its timeout and goes on."""

    def work(self) -> None:
        try:
            super().work()
        except TaskTimeout as error:
            self.caught = error
        super().work()


def test_a_thread_is_interrupted_once_its_time_is_up(clock: Any, in_thread: Threads) -> None:
    interrupts = ThreadInterrupts()
    limited = Limited(interrupts, in_thread, 30.0, clock.now)
    clock.advance(30.0)
    assert interrupts.ring() is None
    limited.thread.join(NEVER)
    assert str(limited.error) == "shop.tasks.send ran for longer than its timeout of 30 s."


def test_before_its_time_a_thread_is_left_alone(clock: Any, in_thread: Threads) -> None:
    interrupts = ThreadInterrupts()
    limited = Limited(interrupts, in_thread, 30.0, clock.now)
    clock.advance(29.0)
    assert interrupts.ring() == 1.0
    limited.end()
    assert limited.error is None


def test_only_those_are_interrupted_whose_time_is_up(clock: Any, in_thread: Threads) -> None:
    interrupts = ThreadInterrupts()
    short, long = (Limited(interrupts, in_thread, seconds, clock.now) for seconds in (10.0, 30.0))
    clock.advance(12.0)
    assert interrupts.ring() == 18.0
    short.thread.join(NEVER)
    long.end()
    assert isinstance(short.error, TaskTimeout)
    assert long.error is None


def test_the_time_counts_from_the_start_of_the_attempt(clock: Any, in_thread: Threads) -> None:
    interrupts = ThreadInterrupts()
    limited = Limited(interrupts, in_thread, 30.0, clock.now - 25.0)
    assert interrupts.ring() == 5.0
    limited.end()


def test_a_thread_is_interrupted_once(clock: Any, in_thread: Threads) -> None:
    interrupts = ThreadInterrupts()
    patient = Patient(interrupts, in_thread, 30.0, clock.now)
    clock.advance(31.0)
    interrupts.ring()
    spin(lambda: patient.caught is not None)
    clock.advance(31.0)
    assert interrupts.ring() is None
    patient.end()
    assert (type(patient.caught), patient.error) == (TaskTimeout, None)


def test_what_has_finished_is_not_interrupted_any_more(clock: Any, in_thread: Threads) -> None:
    interrupts = ThreadInterrupts()
    limited = Limited(interrupts, in_thread, 30.0, clock.now)
    limited.end()
    clock.advance(31.0)
    assert interrupts.ring() is None
    assert limited.error is None


def test_whoever_rings_is_woken_for_a_timeout_that_ends_before_the_others(
    clock: Any, in_thread: Threads
) -> None:
    woken: list[float] = []
    interrupts = ThreadInterrupts(lambda: woken.append(clock.now))
    first = Limited(interrupts, in_thread, 30.0, clock.now)
    assert len(woken) == 1
    later = Limited(interrupts, in_thread, 30.0, clock.now + 1)
    assert len(woken) == 1
    sooner = Limited(interrupts, in_thread, 10.0, clock.now)
    assert len(woken) == 2
    assert interrupts.ring() == 10.0
    for limited in (first, later, sooner):
        limited.end()


def test_whoever_rings_is_woken_again_once_all_have_ended(clock: Any, in_thread: Threads) -> None:
    woken: list[float] = []
    interrupts = ThreadInterrupts(lambda: woken.append(clock.now))
    for _ in range(3):
        Limited(interrupts, in_thread, 30.0, clock.now).end()
        assert interrupts.ring() is None
    assert len(woken) == 3


def test_without_a_timeout_nothing_is_due(clock: Any, in_thread: Threads) -> None:
    interrupts = ThreadInterrupts(lambda: pytest.fail("woken for nothing"))
    limited = Limited(interrupts, in_thread, None, clock.now)
    clock.advance(1e9)
    assert interrupts.ring() is None
    limited.end()
    assert limited.error is None


def test_a_thread_is_interrupted_when_its_job_is_cancelled(clock: Any, in_thread: Threads) -> None:
    interrupts = ThreadInterrupts()
    cancelled, other = (Limited(interrupts, in_thread, None, clock.now) for _ in range(2))
    cancelled.execution.cancel("not needed")
    cancelled.thread.join(NEVER)
    other.end()
    assert (type(cancelled.error), str(cancelled.error)) == (JobCancelled, "not needed")
    assert other.error is None


ROUNDS = 300


def test_an_interruption_in_the_very_last_moment_lands_inside_the_job_or_nowhere(in_thread: Threads) -> None:
    interrupts, parts, ended = ThreadInterrupts(), queue.SimpleQueue(), threading.Event()  # type: ignore[var-annotated]

    def disturb() -> None:
        while (part := parts.get()) is not None:
            part.cancel()
            interrupts.ring()

    in_thread(disturb)
    outcomes: list[str] = []
    for _ in range(ROUNDS):
        part = execution(NEVER, time.monotonic())
        parts.put(part)
        try:
            outcomes.append(interrupts.call(part, lambda: "returned"))
        except JobCancelled:
            outcomes.append("cancelled")
        # What is on its way to this thread would arrive here.
        spin(iter([False] * 20 + [True]).__next__)
    parts.put(None)
    ended.set()
    assert len(outcomes) == ROUNDS


@pytest.mark.parametrize("when", ["open", "release"])
def test_an_interruption_between_two_steps_of_ours_is_no_interruption_of_the_next_job(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupter strikes right after a watch is opened, or right before it is closed."""
    interrupts, part = ThreadInterrupts(), execution(NEVER, time.monotonic())
    sound = getattr(ThreadInterrupts, "watch" if when == "open" else "release")
    struck: list[str] = []

    def strike(self: ThreadInterrupts, watch: Any) -> Any:
        if when == "release" and not struck:
            struck.append(when)
            part.cancel()
        answer = sound(self, watch)
        if when == "open" and not struck:
            struck.append(when)
            part.cancel()
        return answer

    monkeypatch.setattr(ThreadInterrupts, "watch" if when == "open" else "release", strike)
    returned = []
    with suppress(JobCancelled):
        returned.append(interrupts.call(part, lambda: "returned"))
    assert struck == [when]
    assert returned == ([] if when == "open" else ["returned"])
    spin(iter([False] * 1000 + [True]).__next__)


# --- Of coroutines ---


async def wait_for_the_bank() -> None:
    await asyncio.Event().wait()


def test_a_coroutine_is_interrupted_at_what_it_awaits() -> None:
    async def run() -> None:
        async with CoroutineInterrupts(execution(SOON)):
            await wait_for_the_bank()

    with pytest.raises(
        TaskTimeout, match=r"shop\.tasks\.send ran for longer than its timeout of 0\.02 s\."
    ) as caught:
        asyncio.run(run())
    cause = caught.value.__cause__
    assert isinstance(cause, asyncio.CancelledError)
    shown = []
    while cause is not None:
        walked = cause.__traceback__
        while walked is not None:
            shown.append(walked.tb_frame.f_code.co_name)
            walked = walked.tb_next
        cause = cause.__cause__
    assert "wait_for_the_bank" in shown


def test_a_coroutine_may_catch_its_cancellation_and_tidy_up() -> None:
    async def run() -> str:
        async with CoroutineInterrupts(execution(SOON)):
            try:
                await wait_for_the_bank()
            except asyncio.CancelledError:
                return "tidied"
        return "not reached"

    assert asyncio.run(run()) == "tidied"


def test_a_timeout_of_the_coroutines_own_is_no_timeout_of_the_task() -> None:
    async def run() -> None:
        async with CoroutineInterrupts(execution(NEVER)), asyncio.timeout(0):
            await wait_for_the_bank()

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(run())
    assert not isinstance(caught.value, TaskTimeout)


def test_a_coroutine_that_is_quick_enough_is_left_alone() -> None:
    async def run() -> str:
        async with CoroutineInterrupts(execution(NEVER)):
            await asyncio.sleep(0)
            return "done"

    assert asyncio.run(run()) == "done"


def test_a_coroutine_is_cancelled_at_what_it_awaits() -> None:
    part = execution()

    async def run() -> None:
        asyncio.get_running_loop().call_soon(part.cancel)
        async with CoroutineInterrupts(part):
            await wait_for_the_bank()

    with pytest.raises(JobCancelled, match="not needed") as caught:
        asyncio.run(run())
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


def test_a_coroutine_that_was_cancelled_before_it_began_does_not_begin() -> None:
    part = execution()
    part.cancel()

    async def run() -> None:
        async with CoroutineInterrupts(part):
            pytest.fail("it began")

    with pytest.raises(JobCancelled):
        asyncio.run(run())


def test_a_coroutine_may_catch_that_it_is_cancelled_and_return() -> None:
    part = execution()

    async def run() -> str:
        async with CoroutineInterrupts(part):
            part.cancel()
            try:
                await wait_for_the_bank()
            except asyncio.CancelledError:
                part.interrupt()
                await asyncio.sleep(0)
                return "tidied"
        return "not reached"

    assert asyncio.run(run()) == "tidied"


def test_a_coroutine_whose_time_was_up_first_ends_for_that() -> None:
    part = execution(SOON)

    async def run() -> None:
        async with CoroutineInterrupts(part):
            try:
                await wait_for_the_bank()
            finally:
                part.cancel()
                await asyncio.sleep(0)

    with pytest.raises(TaskTimeout):
        asyncio.run(run())


def test_cancelling_a_coroutine_that_has_ended_is_harmless() -> None:
    part = execution()

    async def run() -> str:
        async with CoroutineInterrupts(part):
            pass
        part.cancel()
        await asyncio.sleep(0)
        return "done"

    assert asyncio.run(run()) == "done"
    part.interrupt()
