from __future__ import annotations

import asyncio
import itertools
import signal
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dlq import TaskTimeout
from dlq.runtime.execution import Execution
from dlq.runtime.timeouts import AlarmTimeouts, CoroutineTimeout, ThreadTimeouts

Threads = Callable[..., threading.Thread]

SOON = 0.02
"""Seconds of the timeouts that really run out."""
NEVER = 60.0
"""Seconds of the waits that must be interrupted."""


def execution(timeout: float | None, began: float = 0.0) -> Execution:
    """As much of an execution as timeouts look at."""
    part = SimpleNamespace(claim=SimpleNamespace(task="shop.tasks.send"), timeout=timeout, began=began)
    return cast("Execution", part)


def spin(until: Callable[[], bool] = lambda: False) -> None:
    """Run Python for as long as it takes."""
    for _ in itertools.count():
        if until():
            return


# --- By SIGALRM ---


def test_an_alarm_interrupts_a_blocking_call() -> None:
    with (
        pytest.raises(TaskTimeout, match=r"shop\.tasks\.send ran for longer than its timeout of 0\.02 s\."),
        AlarmTimeouts().limited(execution(SOON)),
    ):
        threading.Event().wait(NEVER)


def test_an_alarm_interrupts_python_that_spins() -> None:
    with pytest.raises(TaskTimeout), AlarmTimeouts().limited(execution(SOON)):
        spin()


def test_a_task_may_catch_its_timeout_and_tidy_up() -> None:
    with AlarmTimeouts().limited(execution(SOON)):
        with pytest.raises(TaskTimeout):
            spin()
        tidied = True
    assert tidied


def test_a_timeout_is_an_ordinary_timeouterror_too() -> None:
    with pytest.raises(TimeoutError), AlarmTimeouts().limited(execution(SOON)):
        spin()


@pytest.mark.parametrize("timeout", [None, NEVER])
def test_no_alarm_is_left_behind(timeout: float | None) -> None:
    before = signal.getsignal(signal.SIGALRM)
    with AlarmTimeouts().limited(execution(timeout)):
        assert (signal.getsignal(signal.SIGALRM) is before) is (timeout is None)
        assert bool(signal.getitimer(signal.ITIMER_REAL)[0]) is (timeout is not None)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.parametrize("error", [ValueError, SystemExit, GeneratorExit, StopIteration])
def test_no_alarm_is_left_behind_by_a_task_that_raises(error: type[BaseException]) -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(error), AlarmTimeouts().limited(execution(NEVER)):
        raise error
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


# --- In threads ---


class Limited:
    """A thread that works on a job until it is told to stop, or its time is up."""

    def __init__(self, timeouts: ThreadTimeouts, start: Threads, timeout: float, began: float) -> None:
        self.error: BaseException | None = None
        self.caught: BaseException | None = None
        self.stop = False
        self.started = threading.Event()
        self._timeouts = timeouts
        self._execution = execution(timeout, began)
        self.thread = start(self._run)
        assert self.started.wait(NEVER)

    def _run(self) -> None:
        try:
            with self._timeouts.limited(self._execution):
                self.started.set()
                self.work()
        except TaskTimeout as error:
            self.error = error

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
    timeouts = ThreadTimeouts()
    limited = Limited(timeouts, in_thread, 30.0, clock.now)
    clock.advance(30.0)
    assert timeouts.ring() is None
    limited.thread.join(NEVER)
    assert str(limited.error) == "shop.tasks.send ran for longer than its timeout of 30 s."


def test_before_its_time_a_thread_is_left_alone(clock: Any, in_thread: Threads) -> None:
    timeouts = ThreadTimeouts()
    limited = Limited(timeouts, in_thread, 30.0, clock.now)
    clock.advance(29.0)
    assert timeouts.ring() == 1.0
    limited.end()
    assert limited.error is None


def test_only_those_are_interrupted_whose_time_is_up(clock: Any, in_thread: Threads) -> None:
    timeouts = ThreadTimeouts()
    short, long = (Limited(timeouts, in_thread, seconds, clock.now) for seconds in (10.0, 30.0))
    clock.advance(12.0)
    assert timeouts.ring() == 18.0
    short.thread.join(NEVER)
    long.end()
    assert isinstance(short.error, TaskTimeout)
    assert long.error is None


def test_the_time_counts_from_the_start_of_the_attempt(clock: Any, in_thread: Threads) -> None:
    timeouts = ThreadTimeouts()
    limited = Limited(timeouts, in_thread, 30.0, clock.now - 25.0)
    assert timeouts.ring() == 5.0
    limited.end()


def test_a_thread_is_interrupted_once(clock: Any, in_thread: Threads) -> None:
    timeouts = ThreadTimeouts()
    patient = Patient(timeouts, in_thread, 30.0, clock.now)
    clock.advance(31.0)
    timeouts.ring()
    spin(lambda: patient.caught is not None)
    clock.advance(31.0)
    assert timeouts.ring() is None
    patient.end()
    assert (type(patient.caught), patient.error) == (TaskTimeout, None)


def test_what_has_finished_is_not_interrupted_any_more(clock: Any, in_thread: Threads) -> None:
    timeouts = ThreadTimeouts()
    limited = Limited(timeouts, in_thread, 30.0, clock.now)
    limited.end()
    clock.advance(31.0)
    assert timeouts.ring() is None
    assert limited.error is None


def test_whoever_rings_is_woken_for_a_timeout_that_ends_before_the_others(
    clock: Any, in_thread: Threads
) -> None:
    woken: list[float] = []
    timeouts = ThreadTimeouts(lambda: woken.append(clock.now))
    first = Limited(timeouts, in_thread, 30.0, clock.now)
    assert len(woken) == 1
    later = Limited(timeouts, in_thread, 30.0, clock.now + 1)
    assert len(woken) == 1
    sooner = Limited(timeouts, in_thread, 10.0, clock.now)
    assert len(woken) == 2
    assert timeouts.ring() == 10.0
    for limited in (first, later, sooner):
        limited.end()


def test_whoever_rings_is_woken_again_once_all_have_ended(clock: Any, in_thread: Threads) -> None:
    woken: list[float] = []
    timeouts = ThreadTimeouts(lambda: woken.append(clock.now))
    for _ in range(3):
        Limited(timeouts, in_thread, 30.0, clock.now).end()
        assert timeouts.ring() is None
    assert len(woken) == 3


def test_without_a_timeout_nothing_is_watched(clock: Any) -> None:
    timeouts = ThreadTimeouts()
    with timeouts.limited(execution(None)):
        clock.advance(1e9)
        assert timeouts.ring() is None


def test_a_timeout_that_the_task_raised_itself_keeps_its_words(clock: Any) -> None:
    with (
        pytest.raises(TaskTimeout, match="the bank did not answer"),
        ThreadTimeouts().limited(execution(30.0, clock.now)),
    ):
        raise TaskTimeout("the bank did not answer")


# --- Of coroutines ---


async def wait_for_the_bank() -> None:
    await asyncio.Event().wait()


def test_a_coroutine_is_interrupted_at_what_it_awaits() -> None:
    async def run() -> None:
        async with CoroutineTimeout(execution(SOON)):
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
        async with CoroutineTimeout(execution(SOON)):
            try:
                await wait_for_the_bank()
            except asyncio.CancelledError:
                return "tidied"
        return "not reached"

    assert asyncio.run(run()) == "tidied"


def test_a_timeout_of_the_coroutines_own_is_no_timeout_of_the_task() -> None:
    async def run() -> None:
        async with CoroutineTimeout(execution(NEVER)), asyncio.timeout(0):
            await wait_for_the_bank()

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(run())
    assert not isinstance(caught.value, TaskTimeout)


def test_a_coroutine_that_is_quick_enough_is_left_alone() -> None:
    async def run() -> str:
        async with CoroutineTimeout(execution(NEVER)):
            await asyncio.sleep(0)
            return "done"

    assert asyncio.run(run()) == "done"
