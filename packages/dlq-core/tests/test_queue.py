from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.tasks.exceptions import InvalidTaskBackend
from pytest_django import Settings

from dlq import ConfigError, MemoryBackend, State
from dlq.ids import new_job_id
from dlq.job import Outcome
from dlq.queue import QueueInfo
from dlq.testing.contract.builders import (
    FAILURE,
    add,
    add_many,
    claim,
    claim_one,
    record,
    register,
    settle_one,
)

FAR = datetime(2999, 1, 1, tzinfo=UTC)


def test_a_queue_without_jobs_is_empty_and_not_paused(memory: MemoryBackend) -> None:
    queue = QueueInfo("email")
    assert (queue.size, queue.latency, queue.paused, queue.paused_until) == (0, 0.0, False, None)
    assert queue.counts == dict.fromkeys(State, 0)


def test_the_size_counts_ready_jobs_and_counts_counts_all(memory: MemoryBackend) -> None:
    worker = register(memory.store)
    add_many(memory.store, 4, queue="email")
    add(memory.store, queue="email", run_after=FAR)
    add_many(memory.store, 9, queue="other")
    _, failing = claim(memory.store, worker, 2, queues=["email"])
    settle_one(memory.store, worker, Outcome.failed(failing, FAILURE))

    queue = QueueInfo("email")
    assert queue.size == 2
    assert {state: count for state, count in queue.counts.items() if count} == {
        State.READY: 2,
        State.RUNNING: 1,
        State.SCHEDULED: 1,
        State.FAILED: 1,
    }


def test_the_latency_is_that_of_the_oldest_ready_job(memory: MemoryBackend) -> None:
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    add(memory.store, queue="email", now=hour_ago)
    add(memory.store, queue="email", now=datetime.now(UTC))
    assert QueueInfo("email").latency == pytest.approx(3600, abs=60)


@pytest.mark.parametrize(
    ("until", "end"),
    [
        (None, None),
        (FAR, FAR),
        (datetime(2999, 1, 1, tzinfo=timezone(timedelta(hours=5))), FAR - timedelta(hours=5)),
    ],
)
def test_a_paused_queue_gives_no_jobs_until_it_is_resumed(
    memory: MemoryBackend, until: datetime | None, end: datetime | None
) -> None:
    queue, worker = QueueInfo("email"), register(memory.store)
    id = add(memory.store, queue="email")
    assert queue.pause(until) == end
    assert (queue.paused, queue.paused_until) == (True, end)
    assert claim(memory.store, worker, queues=["email"], now=datetime.now(UTC)) == []

    assert queue.resume() is True
    assert (queue.paused, queue.resume()) == (False, False)
    assert claim_one(memory.store, worker, queues=["email"]).id == id


def test_a_pause_for_a_while_ends_after_that_while(memory: MemoryBackend) -> None:
    before = datetime.now(UTC)
    end = QueueInfo("email").pause(timedelta(hours=2))
    assert end is not None
    assert before + timedelta(hours=2) <= end <= datetime.now(UTC) + timedelta(hours=2)
    assert QueueInfo("email").paused_until == end


def test_pausing_again_replaces_the_end(memory: MemoryBackend) -> None:
    queue = QueueInfo("email")
    queue.pause(FAR)
    queue.pause()
    assert (queue.paused, queue.paused_until) == (True, None)


REFUSED_PAUSES = {
    "past": (datetime(2020, 1, 1, tzinfo=UTC), "Refusing to pause until a time in the past."),
    "no time at all": (timedelta(0), "Refusing to pause until a time in the past."),
    "less than no time": (timedelta(hours=-1), "Refusing to pause until a time in the past."),
    "naive": (datetime(2999, 1, 1), "2999-01-01T00:00:00 has no time zone; add one"),  # noqa: DTZ001
    "too long": (timedelta.max, "beyond the end of the calendar; pause without an end"),
    "too late": (
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
        "beyond the end of the calendar",
    ),
}


@pytest.mark.parametrize(("until", "says"), REFUSED_PAUSES.values(), ids=REFUSED_PAUSES)
def test_a_pause_that_makes_no_sense_is_refused(
    memory: MemoryBackend, until: datetime | timedelta, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        QueueInfo("email").pause(until)
    assert not QueueInfo("email").paused


def test_clear_discards_ready_jobs_alone_and_returns_how_many(memory: MemoryBackend) -> None:
    worker, told = register(memory.store), list[int]()
    ready = add_many(memory.store, 1001, queue="email")
    running = claim_one(memory.store, worker, queues=["email"])
    scheduled = add(memory.store, queue="email", run_after=FAR)
    elsewhere = add(memory.store, queue="other")

    assert QueueInfo("email").clear(told.append) == 1000
    assert told == [500, 500]
    assert QueueInfo("email").counts == {
        **dict.fromkeys(State, 0),
        State.CANCELLED: 1000,
        State.RUNNING: 1,
        State.SCHEDULED: 1,
    }
    assert record(memory.store, ready[-1]).reason == "cleared"
    states = [record(memory.store, id).state for id in (running.id, scheduled, elsewhere)]
    assert states == [State.RUNNING, State.SCHEDULED, State.READY]
    assert QueueInfo("email").clear() == 0


def test_all_are_the_queues_with_jobs_and_the_paused_ones(settings: Settings, memory: MemoryBackend) -> None:
    settings.TASKS = {
        "default": {"BACKEND": "dlq.MemoryBackend"},
        "other": {"BACKEND": "dlq.MemoryBackend"},
        "django": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"},
    }
    add(memory.store, queue="email")
    QueueInfo("quiet", backend="other").pause()
    assert QueueInfo.all() == [QueueInfo("email"), QueueInfo("quiet", "other")]
    assert QueueInfo.all("default") == [QueueInfo("email")]
    assert QueueInfo("quiet").paused is False
    with pytest.raises(ConfigError, match="is a DummyBackend, not a backend of DLQ"):
        QueueInfo.all("django")


@pytest.mark.parametrize("name", ["", "two words", "a,b", "email*", "!email", "q" * 256])
def test_a_name_that_no_queue_can_have_is_refused(memory: MemoryBackend, name: str) -> None:
    with pytest.raises(ValueError, match=r"No queue can be called '.*': names are 1 to 255"):
        QueueInfo(name)


def test_a_backend_that_is_not_there_is_refused(memory: MemoryBackend) -> None:
    with pytest.raises(InvalidTaskBackend, match="nowhere"):
        QueueInfo("email", backend="nowhere")


def test_queues_of_the_same_name_and_backend_are_equal(memory: MemoryBackend) -> None:
    assert len({QueueInfo("email"), QueueInfo("email", "default"), QueueInfo(str(new_job_id()))}) == 2
