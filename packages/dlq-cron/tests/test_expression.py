from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from dlq_cron import SpecError, daily, every, explain, once, parse, preview, weekdays, weekends
from dlq_cron.expression import Expression
from dlq_cron.moments import Cron

BERLIN = ZoneInfo("Europe/Berlin")
FRIDAY = datetime(2026, 3, 27, 15, 45, tzinfo=BERLIN)
"""Two days before the clocks go forward, at 2:00 on Sunday the 29th."""


def walls(spec: str | Expression, count: int = 3, after: datetime = FRIDAY) -> list[str]:
    times = preview(spec, count, after=after, timezone="Europe/Berlin")
    return [at.strftime("%d.%m. %H:%M:%S").removesuffix(":00") for at in times]


DUE: dict[str, list[str]] = {
    "0 3 * * *": ["28.03. 03:00", "29.03. 03:00", "30.03. 03:00"],
    "30 2 * * *": ["28.03. 02:30", "29.03. 03:00", "30.03. 02:30"],
    "*/15 * * * * *": ["27.03. 15:45:15", "27.03. 15:45:30", "27.03. 15:45:45"],
    "59 59 23 31 12 *": ["31.12. 23:59:59"] * 3,
    "@daily": ["28.03. 00:00", "29.03. 00:00", "30.03. 00:00"],
    "@Hourly": ["27.03. 16:00", "27.03. 17:00", "27.03. 18:00"],
    "0 9-17/4 * * MON-FRI": ["27.03. 17:00", "30.03. 09:00", "30.03. 13:00"],
    "0 0 L * *": ["31.03. 00:00", "30.04. 00:00", "31.05. 00:00"],
    "0 0 1,L feb *": ["01.02. 00:00", "28.02. 00:00", "01.02. 00:00"],
    "0 0 * * mon#2": ["13.04. 00:00", "11.05. 00:00", "08.06. 00:00"],
    "0 0 * * L5": ["24.04. 00:00", "29.05. 00:00", "26.06. 00:00"],
    "0 0 13 * 5": ["03.04. 00:00", "10.04. 00:00", "13.04. 00:00"],
    "0 0 29 2 *": ["29.02. 00:00"] * 3,
    "0 0 * * 7": ["29.03. 00:00", "05.04. 00:00", "12.04. 00:00"],
    "0 22-1 * * *": ["27.03. 22:00", "27.03. 23:00", "28.03. 00:00"],
    "every(minutes=10)": ["27.03. 15:50", "27.03. 16:00", "27.03. 16:10"],
    "every(hours=12)": ["28.03. 01:00", "28.03. 13:00", "29.03. 01:00"],
    'every(days=1, since="2026-03-20T15:00:00+01:00")': ["28.03. 15:00", "29.03. 16:00", "30.03. 16:00"],
    'every(minutes=30, since="2026-04-01T00:10:00+02:00")': ["01.04. 00:10", "01.04. 00:40", "01.04. 01:10"],
    'daily(after="08:00", before="17:00")': ["28.03. 08:00", "29.03. 08:00", "30.03. 08:00"],
    'every(minutes=30) & daily(after="08:00", before="16:30")': [
        "27.03. 16:00",
        "28.03. 08:00",
        "28.03. 08:30",
    ],
    'every(hours=1) & daily(after="22:00", before="01:00")': ["27.03. 22:00", "27.03. 23:00", "28.03. 00:00"],
    'every(hours=1) & ~daily(after="01:00", before="22:00") & weekends()': [
        "28.03. 00:00",
        "28.03. 22:00",
        "28.03. 23:00",
    ],
    'weekdays(at="09:30")': ["30.03. 09:30", "31.03. 09:30", "01.04. 09:30"],
    'weekends(at="02:15")': ["28.03. 02:15", "29.03. 03:00", "04.04. 02:15"],
    'weekdays(at="09:30") | weekends(at="11:00")': ["28.03. 11:00", "29.03. 11:00", "30.03. 09:30"],
    'weekdays() & daily(after="08:00")': ["30.03. 08:00", "31.03. 08:00", "01.04. 08:00"],
    "~weekdays()": ["28.03. 00:00", "04.04. 00:00", "11.04. 00:00"],
    'daily(before="10:00") | daily(after="09:00", before="12:00")': [
        "28.03. 00:00",
        "29.03. 00:00",
        "30.03. 00:00",
    ],
    'cron("0 * * * *") & ~cron("0 17 * * *")': ["27.03. 16:00", "27.03. 18:00", "27.03. 19:00"],
    'cron("0 */2 * * *") & cron("0 */3 * * *")': ["27.03. 18:00", "28.03. 00:00", "28.03. 06:00"],
    'once("2026-05-01T12:00:00+00:00")': ["01.05. 14:00"],
}


@pytest.mark.parametrize(("spec", "due"), DUE.items(), ids=DUE)
def test_a_spec_is_due_when_it_says(spec: str, due: list[str]) -> None:
    assert walls(spec) == due


@pytest.mark.parametrize("spec", DUE)
def test_an_expression_is_read_back_from_its_own_text(spec: str) -> None:
    assert walls(str(parse(spec))) == DUE[spec]
    assert str(parse(str(parse(spec)))) == str(parse(spec))


def test_python_and_text_say_the_same() -> None:
    said = (every(minutes=10) & daily(after=time(8), before="17:00") & ~weekends()) | "0 3 * * *"
    text = '(every(minutes=10) & daily(after="08:00", before="17:00") & ~weekends()) | cron("0 3 * * *")'
    assert str(said) == text
    assert parse(text) == said
    assert "0 3 * * *" | weekdays(at="9:30".zfill(5)) == parse('cron("0 3 * * *") | weekdays(at="09:30")')
    assert once(datetime(2027, 1, 1, tzinfo=UTC)) == parse('once("2027-01-01T00:00:00+00:00")')


@pytest.mark.parametrize(
    ("spec", "first"),
    [
        ("*/20 * * * *", ["02:00+2", "02:20+2", "02:40+2", "02:00+1", "02:20+1", "02:40+1", "03:00+1"]),
        ("*/20 2 * * *", ["02:00+2", "02:20+2", "02:40+2", "02:00+1"]),
        ("every(hours=1)", ["02:00+2", "02:00+1", "03:00+1"]),
        ('daily(at="02:30")', ["02:30+2", "02:30+1"]),
    ],
)
def test_what_clocks_show_twice(spec: str, first: list[str]) -> None:
    saturday = datetime(2026, 10, 25, 1, 59, tzinfo=BERLIN)
    times = preview(spec, len(first), after=saturday, timezone="Europe/Berlin")
    assert [f"{at:%H:%M}+{int(at.utcoffset().total_seconds() / 3600)}" for at in times] == first


REFUSED: dict[str, tuple[int | None, str]] = {
    "60 * * * *": (1, "minutes"),
    "* 24 * * *": (3, "hours"),
    "0 0 0 * *": (5, "days of the month"),
    "0 0 1 13 *": (7, "months"),
    "0 0 * * 8": (9, "days of the week"),
    "0 61 * * * *": (3, "minutes"),
    "*/0 * * * *": (1, "steps from 1"),
    "0 0 1W * *": (6, "days of the month"),
    "0 0 * * mon-": (12, "days of the week"),
    "0 0 * * mon#6": (12, "days of the week"),
    "R * * * *": (1, "minutes"),
    "0 3 * *": (8, "this has 4"),
    "0 3 * * * * *": (13, "this has 7"),
    "": (1, "this has 0"),
    "@never": (1, "@daily"),
    "0 0 31 2 *": (None, "never due"),
    'cron("0 3 * * *") & cron("0 4 * * *")': (None, "never due"),
    'daily(after="08:00", before="09:00") & daily(after="10:00")  & weekdays(before="09:00")': (
        None,
        "never due",
    ),
    "~cron('0 3 * * *')": (None, "never due"),
    "every(minutes=0)": (1, "one second or longer"),
    "weekdays() & every(minits=10)": (14, "minits"),
    "every(minutes=10) and weekdays()": (1, "here there must be one of"),
    "every(minutes=10) & ": (21, "cannot be read"),
    "every(minutes=10) & cron('0 99 * * *')": (29, "hours"),
    'daily(at="25:00")': (11, "no time of a day"),
    'daily(at="09:00", after="08:00")': (1, "exclude each other"),
    'once("2027-01-01T00:00")': (23, "naive"),
    'once("tomorrow")': (7, "ISO 8601"),
    "__import__('os')": (1, "here there must be one of"),
    "every(minutes=(1, 2))": (15, "a number or text"),
    "every(weeks=9999999)": (None, "never due"),
    "every(weeks=99999999999)": (1, "made of numbers"),
}


@pytest.mark.parametrize("spec", REFUSED)
def test_what_cannot_be_meant_is_refused_with_its_place(spec: str) -> None:
    position, problem = REFUSED[spec]
    with pytest.raises(SpecError, match=problem.replace("(", r"\(")) as refused:
        preview(spec)
    assert refused.value.position == position
    assert repr(spec) in str(refused.value)


def test_a_spec_has_an_end() -> None:
    with pytest.raises(SpecError, match="1000 characters at most"):
        parse(" & ".join(["weekdays()"] * 500))


def test_an_interval_goes_on_through_a_change_of_clocks() -> None:
    at, times = datetime(2026, 10, 24, 22, tzinfo=UTC), list[datetime]()
    for _ in range(20):
        at = every(minutes=45).next(at, BERLIN)
        times.append(at)
    assert {late - early for early, late in pairwise(times)} == {timedelta(minutes=45)}


WORDS = {
    "0 3 * * *": "at 03:00 every day",
    "*/15 * * * *": "every 15 minutes",
    "5-59/15 8-17 * * *": "every 15 minutes from minute 5 in hours 8 to 17",
    "30 9,17 * * 1-5": "at 09:30 and 17:30 on Monday to Friday",
    "0 0 L feb,3 *": "at 00:00 on the last day of the month in February and March",
    "0 0 1,15 * mon#2": "at 00:00 on days 1 and 15 of the month or the second Monday of the month",
    "*/10 * * * * *": "every 10 seconds",
    "*/10 30 * * * *": "every 10 seconds of minute 30",
    'weekdays(at="09:30")': "at 09:30 from Monday to Friday",
    "every(minutes=10) & ~weekends()": "every 10 minutes, but not on Saturday and Sunday",
    'every(hours=1) & daily(after="08:00")': "every hour, but only from 08:00 every day",
}


@pytest.mark.parametrize("spec", WORDS)
def test_a_spec_can_be_said_in_words(spec: str) -> None:
    assert explain(spec, timezone="UTC") == f"{WORDS[spec]} (UTC)"


def test_every_spec_has_words() -> None:
    for spec in DUE:
        assert "cron" not in explain(spec)
    everything = explain("0 3 * * *", repeat=3, jitter=90, missed="all", overlap="cancel", timezone="UTC")
    assert everything == (
        "at 03:00 every day (UTC), 3 times, put off by up to 90 seconds, missed ones are made up for, 100 at most, "
        "cancelling the job before"
    )


def test_equal_texts_are_read_once() -> None:
    assert Cron("0 3 * * *").meaning is Cron("0 3 * * *").meaning
