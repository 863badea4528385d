from datetime import timedelta

import pytest

from dlq.management.durations import parse_duration

READ = {
    "90s": timedelta(seconds=90),
    "15m": timedelta(minutes=15),
    "12h": timedelta(hours=12),
    "7d": timedelta(days=7),
    "2w": timedelta(weeks=2),
    "1h2m3s": timedelta(hours=1, minutes=2, seconds=3),
    "1w1d1h1m1s": timedelta(days=8, hours=1, minutes=1, seconds=1),
    "0s": timedelta(0),
    "100000000s": timedelta(seconds=100_000_000),
}


@pytest.mark.parametrize(("text", "duration"), READ.items(), ids=READ)
def test_a_duration_is_read(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    ["", "5", "1.5h", "-1h", "1m1h", "1h1h", "1h ", " 1h", "1H", "h", "1y", "٣s", "1h\n", "9" * 5000 + "s"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration; write one such as 90s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["36526d", "9999999999w", "876601h"])
def test_longer_than_a_hundred_years_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is longer than a hundred years"):
        parse_duration(text)
    assert parse_duration("36525d")
