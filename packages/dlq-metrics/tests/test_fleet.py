from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from dlq.errors import StoreUnavailable
from dlq.states import State
from dlq.store import QueueCounts, Total
from dlq.store.schedules import Fired, Schedule, ScheduleRecord
from dlq.testing.contract.builders import NOON, after, runner_info, worker_info
from dlq_metrics import fleet as fleet_module
from dlq_metrics.definitions import BY_NAME, FLEET, MOST_SERIES, OTHER, RUNNER
from dlq_metrics.exposition import exposed
from dlq_metrics.figures import Figures
from dlq_metrics.fires import Fires
from dlq_metrics.fleet import Fleet, Seen
from dlq_metrics.gauges import Snapshot

ODD = 'a "b"\n\\c'

SNAPSHOT = Snapshot(
    alias="default",
    alive_threshold=30.0,
    queues=[
        QueueCounts(queue="mail", states={State.READY: 2, State.FAILED: 1}, latency=4.5),
        QueueCounts(queue="off", states={}, paused=True),
    ],
    totals=[
        Total(
            queue="mail", task=ODD, enqueued=9, succeeded=5, failed=1, retried=2, interrupted=1, seconds=7.5
        )
    ],
    runners=[
        runner_info(
            "live", beat_age=2.0, workers=[worker_info("w1", slots=4, kind="threads"), worker_info("w2")]
        ),
        runner_info("stale", beat_age=31.0, workers=[worker_info("w3")]),
    ],
    schedules=[
        ScheduleRecord(
            schedule=Schedule(key="nightly", task="t", queue="q", payload="[]", rule="r"),
            revision=1,
            due_at=after(60),
            look_at=after(60),
            enabled=True,
            orphaned=False,
            declared_at=NOON,
            fires=3,
            last_due_at=NOON,
        )
    ],
    fires=Fires({("nightly", Fired.MISSED): 2}, {"nightly": after(5)}),
    skew=-0.25,
)


def _values(text: str) -> dict[str, float]:
    """Samples by their name and the values of their labels, in the order of the names of these."""
    return {
        ":".join([sample.name, *sample.labels.values()]): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def _exposed(*seen: Seen) -> dict[str, float]:
    return _values(exposed("", seen)[0].decode())


# --- Exposition ---


def test_a_snapshot_is_told_as_it_is() -> None:
    values = _exposed(Seen("default", SNAPSHOT, up=True))
    expected = {
        "dlq_store_up:default": 1,
        f"dlq_jobs_enqueued_total:default:mail:{ODD}": 9,
        f"dlq_jobs_finished_total:default:succeeded:mail:{ODD}": 5,
        f"dlq_jobs_finished_total:default:failed:mail:{ODD}": 1,
        f"dlq_jobs_retried_total:default:mail:{ODD}": 2,
        f"dlq_jobs_interrupted_total:default:mail:{ODD}": 1,
        f"dlq_jobs_busy_seconds_total:default:mail:{ODD}": 7.5,
        "dlq_jobs:default:mail:ready": 2,
        "dlq_jobs:default:mail:running": 0,
        "dlq_queue_latency_seconds:default:mail": 4.5,
        "dlq_queue_paused:default:off": 1,
        "dlq_runners:default:live": 1,
        "dlq_runners:default:stale": 1,
        "dlq_runner_beat_age_seconds:default": 2,
        "dlq_workers:default:threads:*": 1,
        "dlq_worker_slots:default:threads:*": 4,
        "dlq_schedules:default:enabled": 1,
        "dlq_schedule_fires_total:default:nightly": 3,
        "dlq_schedule_last_due_timestamp_seconds:default:nightly": NOON.timestamp(),
        "dlq_schedule_next_due_timestamp_seconds:default:nightly": after(60).timestamp(),
        "dlq_schedule_recent_fires:default:missed:nightly": 2,
        "dlq_schedule_last_success_timestamp_seconds:default:nightly": after(5).timestamp(),
        "dlq_clock_skew_seconds:default": -0.25,
    }
    assert values | expected == values


def test_both_formats_tell_every_metric_with_its_kind_and_its_help() -> None:
    figures = Figures()
    for metric in RUNNER:
        labels = [f"of {name}" for name in metric.labels]
        if metric.kind == "counter":
            figures.count(metric.name, *labels)
        else:
            figures.observe(metric.name, 0.3, *labels, trace="a" * 32)
    seen = [Seen("default", SNAPSHOT, up=True)]
    plain, plain_type = exposed("text/plain", seen, figures.entries())
    open_, open_type = exposed("application/openmetrics-text; version=1.0.0", seen, figures.entries())
    assert plain_type.startswith("text/plain")
    assert open_type.startswith("application/openmetrics-text")
    told = {family.name: family for family in parse_openmetrics(open_.decode())}
    assert told.keys() == BY_NAME.keys()
    assert {(f.type, f.documentation) for f in told.values()} == {(m.kind, m.help) for m in BY_NAME.values()}
    assert {family.name for family in parse(plain.decode())} == told.keys()
    (example,) = [s.exemplar for s in told["dlq_runner_run_seconds"].samples if s.exemplar]
    assert example.labels == {"trace_id": "a" * 32}


def test_ten_thousand_queues_are_told_as_so_many_and_the_others_together() -> None:
    totals = [Total(queue=f"queue-{number}", task="t", enqueued=1) for number in range(10_000)]
    queues = [
        QueueCounts(queue=t.queue, states={State.READY: 1}, latency=float(n)) for n, t in enumerate(totals)
    ]
    values = _exposed(Seen("default", replace(SNAPSHOT, totals=totals, queues=queues), up=True))
    enqueued = {name: value for name, value in values.items() if name.startswith("dlq_jobs_enqueued_total")}
    assert len(enqueued) == MOST_SERIES + 1
    assert sum(enqueued.values()) == 10_000
    assert values[f"dlq_queue_latency_seconds:default:{OTHER}"] == 9_999
    assert values[f"dlq_queue_paused:default:{OTHER}"] == 0


def test_before_a_store_has_answered_only_that_is_told() -> None:
    assert _exposed(Seen("default", None, up=False)) == {"dlq_store_up:default": 0}


# --- Bounded and cached ---


class SlowStore:
    """Answers when it is let go."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked = 0
        self.error: Exception | None = None

    def read(self, alias: str) -> Snapshot:
        self.asked += 1
        assert self.gate.wait(30)
        if self.error is not None:
            raise self.error
        return replace(SNAPSHOT, alias=alias)


@pytest.fixture
def slow() -> Iterator[SlowStore]:
    store = SlowStore()
    yield store
    store.gate.set()
    _no_thread_is_left()


def _no_thread_is_left() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("dlq-metrics-"):
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture
def age(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time go by for what is known."""
    now = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: now[0] + time.monotonic() * 0)
    monkeypatch.setattr(fleet_module, "time", clock)

    def pass_(seconds: float) -> None:
        now[0] += seconds

    return pass_


def test_a_store_that_does_not_answer_is_waited_for_only_so_long(slow: SlowStore) -> None:
    fleet = Fleet(lambda: ["default"], slow.read)
    for _ in range(3):
        assert fleet.seen(patience=0.01) == [Seen("default", None, up=False)]
    assert slow.asked == 1  # However often somebody asks, one thread waits.


def test_what_was_known_is_told_while_the_store_does_not_answer(
    slow: SlowStore, age: Callable[[float], None]
) -> None:
    fleet = Fleet(lambda: ["default"], slow.read)
    slow.gate.set()
    assert fleet.seen(patience=30) == [Seen("default", SNAPSHOT, up=True)]
    slow.gate.clear()
    age(6)
    assert fleet.seen(patience=0.0) == [Seen("default", SNAPSHOT, up=True)]  # Perhaps it is only slow.
    age(4)
    assert fleet.seen(patience=0.0) == [Seen("default", SNAPSHOT, up=False)]
    slow.gate.set()
    _no_thread_is_left()
    assert fleet.seen(patience=0.0) == [Seen("default", SNAPSHOT, up=True)]


def test_what_is_young_is_not_asked_for_again(slow: SlowStore, age: Callable[[float], None]) -> None:
    fleet = Fleet(lambda: ["default"], slow.read)
    slow.gate.set()
    for _ in range(3):
        fleet.seen(patience=30)
        age(1)
    assert slow.asked == 1
    age(5)
    fleet.seen(patience=30)
    assert slow.asked == 2


def test_a_store_that_takes_long_is_asked_less_often(slow: SlowStore, age: Callable[[float], None]) -> None:
    fleet = Fleet(lambda: ["default"], slow.read)
    fleet.seen(patience=0.0)
    age(2)
    slow.gate.set()
    _no_thread_is_left()
    age(39)
    assert fleet.seen(patience=30) == [Seen("default", SNAPSHOT, up=True)]
    assert slow.asked == 1
    age(2)
    fleet.seen(patience=30)
    assert slow.asked == 2


def test_what_somebody_has_asked_for_lately_stays_fresh(
    slow: SlowStore, age: Callable[[float], None]
) -> None:
    fleet = Fleet(lambda: ["default"], slow.read)
    slow.gate.set()
    fleet.stay_fresh()
    assert slow.asked == 0
    fleet.seen(patience=30)
    for seconds, asked in ((6, 2), (6, 3), (200, 3)):
        age(seconds)
        fleet.stay_fresh()
        _no_thread_is_left()
        assert slow.asked == asked


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), ValueError("a defect")])
def test_a_store_that_fails_is_down_and_up_again_when_it_answers(
    slow: SlowStore, age: Callable[[float], None], error: Exception
) -> None:
    fleet = Fleet(lambda: ["default"], slow.read)
    slow.gate.set()
    slow.error = error
    assert fleet.seen(patience=30) == [Seen("default", None, up=False)]
    slow.error = None
    age(6)
    assert fleet.seen(patience=30) == [Seen("default", SNAPSHOT, up=True)]


def test_one_slow_store_holds_up_no_other(slow: SlowStore) -> None:
    def read(alias: str) -> Snapshot:
        return slow.read(alias) if alias == "slow" else replace(SNAPSHOT, alias=alias)

    fleet = Fleet(lambda: ["slow", "quick"], read)
    assert [(seen.alias, seen.up) for seen in fleet.seen(patience=0.5)] == [("slow", False), ("quick", True)]


def test_every_metric_is_documented() -> None:
    assert {metric.kind for metric in FLEET} == {"gauge", "counter"}
