import dataclasses
import json
import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq import Exponential
from dlq.retry import LONGEST_WAIT, backoff_from_json, backoff_to_json, delay_before_retry


def delay(backoff: Any, attempt: int = 1, max_attempts: int = 10, **given: Any) -> float | None:
    given = {"exception": ValueError(), "result": None} | given
    return delay_before_retry(backoff, attempt=attempt, max_attempts=max_attempts, **given)


attempts = st.integers(1, 10**6)
firsts = st.just(0) | st.floats(0.001, 10**4)
factors = st.integers(1, 1000) | st.floats(1, 1000)
limits = st.floats(0, 10**6) | st.just(math.inf)


@given(attempt=attempts, first=firsts, factor=factors, limit=limits)
def test_each_wait_is_the_factor_times_the_last_and_never_over_the_limit(
    attempt: int, first: float, factor: float, limit: float
) -> None:
    backoff = Exponential(first, factor, limit, jitter=0)
    assert backoff(1) == min(limit, first)
    assert backoff(attempt + 1) == pytest.approx(min(limit, factor * backoff(attempt)))


@given(attempt=attempts, first=firsts, factor=factors, limit=limits, jitter=st.floats(0, 1))
def test_a_wait_is_at_most_its_figure_and_at_least_that_less_the_jitter(
    attempt: int, first: float, factor: float, limit: float, jitter: float
) -> None:
    most = Exponential(first, factor, limit, jitter=0)(attempt)
    wait = Exponential(first, factor, limit, jitter)(attempt)
    assert wait == most or most * (1 - jitter) <= wait <= most


def test_waits_grow_by_the_factor_up_to_the_limit() -> None:
    backoff = Exponential(first=3, factor=2, limit=20, jitter=0)
    assert [backoff(attempt) for attempt in (1, 2, 3, 4, 5, 32_767)] == [3, 6, 12, 20, 20, 20]


def test_jobs_that_failed_together_do_not_come_back_together() -> None:
    backoff = Exponential(first=8, jitter=0.25)
    waits = {backoff(1) for _ in range(100)}
    assert len(waits) > 1
    assert min(waits) >= 6


@pytest.mark.parametrize(
    "figures",
    [{"first": -1}, {"factor": 0.5}, {"limit": -1}, {"jitter": 1.5}, {"jitter": -0.1}, {"first": math.nan}],
)
def test_figures_that_describe_no_waits_are_refused(figures: dict[str, float]) -> None:
    with pytest.raises(
        ValueError, match="needs first >= 0, limit >= 0, factor >= 1 and jitter between 0 and 1"
    ):
        Exponential(**figures)


def test_after_the_last_attempt_there_is_no_wait() -> None:
    assert delay(5, attempt=2, max_attempts=3) == 5
    assert delay(5, attempt=3, max_attempts=3) is None
    assert delay(5, attempt=4, max_attempts=3) is None


def test_without_a_backoff_waits_grow() -> None:
    waits = [delay(None, attempt=attempt) or 0 for attempt in range(1, 8)]
    assert waits == sorted(waits)


@pytest.mark.parametrize(
    ("backoff", "seconds"),
    [(0, 0), (7, 7), (0.5, 0.5), (timedelta(minutes=2), 120), (Exponential(9, jitter=0), 9)],
)
def test_a_backoff_is_a_number_a_timedelta_or_exponential(backoff: object, seconds: float) -> None:
    assert delay(backoff) == seconds


def test_a_function_decides_by_the_exception_and_the_result() -> None:
    def backoff(exception: BaseException, result: Any) -> float:
        return len(str(exception)) + result

    assert delay(backoff, exception=ValueError("four"), result=1) == 5


@pytest.mark.parametrize(("returned", "seconds"), [(None, None), (timedelta(seconds=3), 3)])
def test_a_function_may_return_a_timedelta_or_none_to_give_up(
    returned: object, seconds: float | None
) -> None:
    assert delay(lambda exception, result: returned) == seconds


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        (-5, 0),
        (timedelta(seconds=-5), 0),
        (-math.inf, 0),
        (math.nan, 0),
        (LONGEST_WAIT - 1, LONGEST_WAIT - 1),
        (LONGEST_WAIT + 1, LONGEST_WAIT),
        (timedelta.max, LONGEST_WAIT),
        (math.inf, LONGEST_WAIT),
    ],
)
def test_no_wait_is_negative_or_longer_than_a_store_s_clock_can_hold(wait: Any, seconds: float) -> None:
    assert delay(wait) == delay(lambda exception, result: wait) == seconds


@pytest.mark.parametrize(
    ("backoff", "seconds"),
    [
        (Exponential(), 3600),
        (Exponential(limit=math.inf), LONGEST_WAIT),
        (Exponential(first=2, factor=2, limit=math.inf), LONGEST_WAIT),
        (Exponential(first=0), 0),
    ],
)
def test_waits_that_outgrow_every_number_end_at_the_limit(backoff: Exponential, seconds: float) -> None:
    steady = dataclasses.replace(backoff, jitter=0)
    assert delay(steady, attempt=32_766, max_attempts=32_767) == seconds


@pytest.mark.parametrize(
    ("backoff", "read"), [(5, 5), (0.5, 0.5), (timedelta(minutes=1), 60), (Exponential(1, 3, 60, 0.1),) * 2]
)
def test_what_is_stored_with_a_call_reads_as_the_same_waits(backoff: Any, read: object) -> None:
    assert backoff_from_json(json.loads(json.dumps(backoff_to_json(backoff)))) == read


def test_code_is_never_stored_with_a_job() -> None:
    with pytest.raises(TypeError, match="is code, and code cannot be stored with a job"):
        backoff_to_json(lambda exception, result: 1)
