"""Whatever text somebody writes as a schedule: it is refused, or its due times go forward."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dlq_cron import SpecError, explain, parse, preview
from fuzzing import fuzz

item = st.one_of(
    st.sampled_from(
        ["*", "?", "L", "L5", "mon#2", "sun", "dec", "*/7", "1-5", "60-61/0", "31", "0", "7-1", "@daily"]
    ),
    st.builds("{}-{}/{}".format, st.integers(-1, 99), st.integers(-1, 99), st.integers(-1, 99)),
    st.builds("*/{}".format, st.integers(0, 99)),
    st.integers(0, 99).map(str),
)
fields = st.lists(st.lists(item, min_size=1, max_size=2).map(",".join), min_size=4, max_size=7).map(" ".join)
terms = st.one_of(
    fields,
    st.builds(
        "every({}={})".format, st.sampled_from(["minutes", "hours", "days", "x"]), st.integers(-1, 10**6)
    ),
    st.builds(
        'daily(after="{}", before="{}")'.format,
        st.text("0123456789:", max_size=5),
        st.text("0123:", max_size=5),
    ),
    st.sampled_from(["weekdays()", "weekends(at='09:30')", 'once("2026-05-01T00:00:00+02:00")']),
)
texts = st.one_of(
    terms,
    st.lists(terms, min_size=1, max_size=3).map(" & ".join),
    st.builds("~({})".format, terms),
    st.text(),
)
START = datetime(2026, 3, 27, 15, 45, tzinfo=UTC)


@fuzz(150)
@given(texts, st.integers(0, 400))
@example("0 0 30 2 *", 0)
@example("__import__('os').system('true')", 0)
@example("(" * 500, 0)
@example("every(minutes=1).__class__", 0)
@example("~" * 2000 + "weekdays()", 0)
@example("every(days=99999999999999999999)", 0)
@example("* * * * * *", 0)
def test_a_schedule_is_refused_or_goes_forward(text: str, days: int) -> None:
    try:
        rule = parse(text)
        after = START + timedelta(days=days)
        times = preview(rule, 5, after=after, timezone="Europe/Berlin")
    except SpecError:
        return
    assert all(at > after for at in times)
    assert all(one < other for one, other in pairwise(times))
    assert explain(rule)


@pytest.mark.parametrize("text", ["", " ", "\x00", "0 0 * * *\n0 0 * * *", "٣ * * * *", "1e3 * * * *"])
def test_what_only_looks_like_a_schedule_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        parse(text)
