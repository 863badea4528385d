"""What becomes of due times: missed ones, overlapping ones, the last ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dlq.ids import new_job_id
from dlq.overrides import read_origin
from dlq.store.schedules import Fired, Schedule, ScheduleRecord
from dlq_cron.definition import make_rule
from dlq_cron.plan import Plan, plan

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def planned(
    *, now: float, due: float = 0, spec: str = "* * * * *", busy: bool = False, fires: int = 0, **options: Any
) -> Plan:
    """What is to happen so many minutes after noon to a schedule of each minute."""
    rule = make_rule(spec, timezone="UTC", **options)
    schedule = Schedule(key="k", rule=rule.text, task="shop.send", queue="q", payload="[[],{}]")
    record = ScheduleRecord(
        schedule=schedule,
        revision=7,
        due_at=after(due),
        look_at=after(due),
        enabled=True,
        orphaned=False,
        declared_at=NOON,
        fires=fires,
        last_job=new_job_id() if busy else None,
    )
    made = plan(record, rule, after(now), is_busy=busy)
    assert (made.advance.key, made.advance.revision) == ("k", 7)
    return made


def outcomes(made: Plan) -> list[tuple[float, str]]:
    """Minutes after noon with what becomes of them."""
    return [((fire.due_at - NOON).total_seconds() / 60, str(fire.outcome)) for fire in made.advance.fires]


def enqueued(made: Plan) -> list[float]:
    return [at for at, outcome in outcomes(made) if outcome == Fired.ENQUEUED]


def test_a_due_time_enqueues_a_job_that_knows_it() -> None:
    made = planned(now=0.1)
    (fire,) = made.advance.fires
    assert (fire.due_at, fire.outcome) == (NOON, Fired.ENQUEUED)
    assert fire.job is not None
    assert read_origin(fire.job.overrides) == {"schedule": "k", "due_at": NOON.isoformat()}
    assert (made.advance.due_at, made.advance.look_at, made.cancel) == (after(1), after(1), None)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"missed": "skip"}, [30]),
        ({"missed": "last"}, [30]),
        ({"missed": "all"}, list(range(31))),
        ({"missed": "all", "missed_limit": 3}, [27, 28, 29, 30]),
        ({"missed": "all", "missed_window": 300}, [26, 27, 28, 29, 30]),
    ],
)
def test_due_times_that_were_missed_are_made_up_for_as_the_policy_says(
    options: dict[str, Any], wanted: list[float]
) -> None:
    made = planned(now=30.1, **options)
    assert enqueued(made) == wanted
    assert made.advance.due_at == after(31)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"missed": "skip"}, []),
        ({"missed": "last"}, [30]),
        ({"missed": "last", "missed_window": 20}, []),
        ({"missed": "all", "missed_limit": 2}, [29, 30]),
    ],
)
def test_a_scheduler_that_comes_late_finds_all_of_them_missed(
    options: dict[str, Any], wanted: list[float]
) -> None:
    made = planned(now=30.5, **options)
    assert enqueued(made) == wanted
    missed = [at for at, outcome in outcomes(made) if outcome == Fired.MISSED]
    assert missed == [0]


@pytest.mark.parametrize("missed", ["skip", "last", "all"])
def test_every_second_of_a_short_stall_is_fired(missed: str) -> None:
    made = planned(now=8 / 60, spec="* * * * * *", missed=missed)
    assert len(enqueued(made)) == 9


@pytest.mark.parametrize(
    ("spec", "last"),
    [("* * * * * *", 600), ('every(seconds=1) & daily(after="08:00", before="17:00")', 300 - 1 / 60)],
)
def test_a_month_of_missed_seconds_is_passed_over_quickly(spec: str, last: float) -> None:
    month = 30 * 24 * 60
    made = planned(now=month + 600, spec=spec, missed="all", missed_limit=50)
    times = [fire.due_at for fire in made.advance.fires if fire.outcome is Fired.ENQUEUED]
    assert times[-1] == after(month + last)
    assert times == [times[-1] - timedelta(seconds=n) for n in reversed(range(len(times)))]
    assert len(times) >= 50
    assert outcomes(made)[0] == (0, Fired.MISSED)


@pytest.mark.parametrize(
    ("overlap", "busy", "wanted", "cancels"),
    [
        ("allow", True, [28, 29, 30], False),
        ("skip", True, [], False),
        ("skip", False, [28], False),
        ("queue", True, [], False),
        ("queue", False, [28], False),
        ("cancel", True, [30], True),
        ("cancel", False, [30], False),
    ],
)
def test_a_job_that_has_not_ended_counts_as_the_policy_says(
    overlap: str, busy: bool, wanted: list[float], cancels: bool
) -> None:
    made = planned(due=28, now=30.1, missed="all", overlap=overlap, busy=busy)
    assert enqueued(made) == wanted
    assert (made.cancel is not None) is cancels
    overlapped = [at for at, outcome in outcomes(made) if outcome == Fired.OVERLAPPED]
    if overlap == "queue":
        # Those that wait are still due, and looked at soon.
        assert made.advance.due_at == after(28 if busy else 29)
        assert made.advance.look_at is not None
        assert made.advance.look_at <= after(30.2)
    else:
        assert sorted(wanted + overlapped) == [28, 29, 30]
        assert made.advance.due_at == after(31)


def test_one_that_waited_for_the_job_before_is_fired_however_late() -> None:
    for missed in ("skip", "last"):
        made = planned(due=0, now=30.5, missed=missed, overlap="queue")
        assert enqueued(made) == [30]


@pytest.mark.parametrize(
    ("fires", "wanted", "next_due"), [(0, [29, 30], 31), (3, [29, 30], None), (4, [29], None)]
)
def test_a_schedule_ends_when_it_has_fired_so_often(
    fires: int, wanted: list[float], next_due: float | None
) -> None:
    made = planned(due=29, now=30.1, missed="all", repeat=5, fires=fires)
    assert enqueued(made) == wanted
    assert made.advance.due_at == (None if next_due is None else after(next_due))


def test_a_schedule_ends_at_its_end() -> None:
    assert planned(now=0.1, end=after(0.5)).advance.due_at is None
    assert planned(now=0.1, end=after(1)).advance.due_at == after(1)
    assert planned(now=0.1, spec="once('2026-06-01T12:00:00+00:00')").advance.due_at is None


def test_jitter_puts_off_the_look_by_the_same_for_everybody_and_not_the_due_time() -> None:
    first, again = (planned(now=0.5, jitter=30) for _ in range(2))
    assert enqueued(first) == [0]
    assert first.advance.due_at == after(1)
    assert first.advance.look_at is not None
    assert after(1) < first.advance.look_at <= after(1.5)
    assert first.advance.look_at == again.advance.look_at
    rule = make_rule("* * * * *", jitter=30)
    offsets = {(rule.put_off("k", after(n)) - after(n)).total_seconds() for n in range(50)}
    assert len(offsets) == 50
    assert min(offsets) < 10 < 20 < max(offsets)
