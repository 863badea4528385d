from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from dlq import MemoryBackend, StoreUnavailable
from dlq.job import Note
from dlq.management.live import view, watch
from dlq.management.status import Status, read_status
from dlq.store import MemoryInspector
from dlq.testing.contract.builders import NOON, add, add_many, claim, register
from dlq.workers import Order

type Run = Callable[..., str]

FAR = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
def busy(memory: MemoryBackend) -> MemoryBackend:
    """A paused queue, a queue with jobs, and a worker with one of them."""
    store, worker = memory.store, register(memory.store)
    add_many(store, 1500, queue="email", now=datetime.now(UTC))
    add(store, queue="[red]hot", task="shop.tasks.\x1b[31m", now=datetime.now(UTC))
    (running,) = claim(store, worker, 1, queues=["[red]hot"])
    store.annotate([Note(id=running.id, token=running.token, progress=0.5, message="line\nbreak")])
    store.pause("idle", FAR)
    store.pause("email")
    store.instruct("worker-1", Order.STOP)
    return memory


def running_id(memory: MemoryBackend) -> str:
    return str(read_status("default").running[0].id)


def test_plain_lines_show_queues_runners_and_what_runs(busy: MemoryBackend, run: Run) -> None:
    lines = run("queue_status").splitlines()
    words = [line.split() for line in lines]
    assert lines[0] == "Backend default"
    assert words[2] == [
        *("queue", "scheduled", "blocked", "ready", "running", "succeeded", "failed", "cancelled", "latency")
    ]
    assert ["[red]hot", "0", "0", "0", "1", "0", "0", "0"] in words
    email = next(line for line in words if line[:1] == ["email"])
    assert email[1:8] == ["0", "0", "1,500", "0", "0", "0", "0"]
    assert email[-2:] == ["s", "paused"]
    assert words[5][-4:] == ["paused", "until", "2999-01-01", "00:00:00+00:00"]
    assert "    worker worker-1: * (process, 1 at a time), told to stop" in lines
    assert lines[-1] == (
        f"      runs {running_id(busy)} shop.tasks.\\x1b[31m since 2026-03-01 12:00:00+00:00, 50%, line break"
    )


def test_a_document_says_the_same_to_programs(busy: MemoryBackend, run: Run) -> None:
    document = json.loads(run("queue_status", "--json"))["default"]
    assert document["queues"] == {"[red]hot": {"running": 1}, "email": {"ready": 1500}, "idle": {}}
    assert list(document["latency"]) == ["email"]
    assert document["latency"]["email"] >= 0
    assert document["paused"] == {"email": None, "idle": "2999-01-01T00:00:00+00:00"}
    ((name, runner),) = document["runners"].items()
    assert runner.pop("beat_age") >= 0
    assert (name, runner) == (
        "runner-1",
        {
            "host": "host-1",
            "pid": 100,
            "workers": {
                "worker-1": {"queues": "*", "kind": "process", "slots": 1, "pid": 101, "order": "stop"}
            },
        },
    )
    assert document["running"] == [
        {
            "id": running_id(busy),
            "task": "shop.tasks.\x1b[31m",
            "queue": "[red]hot",
            "worker": "worker-1",
            "started_at": "2026-03-01T12:00:00+00:00",
            "progress": 0.5,
            "message": "line\nbreak",
        }
    ]


def test_without_jobs_and_runners_it_says_so(memory: MemoryBackend, run: Run) -> None:
    assert "No runner is registered: start one with manage.py queue_runner." in run("queue_status")
    assert json.loads(run("queue_status", "--json")) == {
        "default": {"queues": {}, "latency": {}, "paused": {}, "runners": {}, "running": []}
    }


def test_jobs_of_a_lost_worker_and_those_beyond_the_list_are_mentioned(
    memory: MemoryBackend, run: Run
) -> None:
    worker = register(memory.store)
    add_many(memory.store, 107)
    claim(memory.store, worker, 106)
    memory.store.unregister_worker("worker-1")
    lines = run("queue_status").splitlines()
    assert len([line for line in lines if line.startswith("  waits for its rescue: ")]) == 100
    assert "  and 6 jobs more" in lines


@pytest.mark.parametrize("backends", [[], ["--backend", "other"]])
def test_every_backend_of_dlq_is_shown_or_the_one_that_is_named(
    other: MemoryBackend, run: Run, backends: list[str]
) -> None:
    shown = json.loads(run("queue_status", "--json", *backends))
    assert list(shown) == (["other"] if backends else ["default", "other"])


# --- Live ---


def drawn(found: Sequence[Status | str]) -> str:
    console = Console(file=io.StringIO(), width=200)
    with console.capture() as capture:
        console.print(view(found))
    return capture.get()


def test_the_live_view_shows_the_same(busy: MemoryBackend) -> None:
    text = drawn([read_status("default")])
    for words in (
        *("Backend default", "[red]hot", "1,500", "paused until 2999-01-01 00:00:00+00:00"),
        *("runner runner-1 on host-1, process 100, last beat", "worker worker-1: *", "told to stop"),
        *(f"{running_id(busy)} shop.tasks.\\x1b[31m since", "50%, line break", "Ctrl-C ends this."),
    ):
        assert words in text


def test_the_live_view_outlasts_an_outage(memory: MemoryBackend) -> None:
    text = drawn(["Backend [bold]x: the store is away", read_status("default")])
    assert "Backend [bold]x: the store is away" in text
    assert "No runner is registered" in text


def test_the_live_view_looks_again_until_ctrl_c(memory: MemoryBackend, terminal: io.StringIO) -> None:
    looks = iter([["first look"], ["second look"]])
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise KeyboardInterrupt

    watch(lambda: next(looks), terminal, pause)
    assert pauses == [1.0, 1.0]
    assert "first look" in terminal.getvalue()
    assert "second look" in terminal.getvalue()


@pytest.fixture
def ctrl_c(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Somebody presses Ctrl-C after the first look; the pauses that were begun."""
    begun: list[float] = []

    def pause(seconds: float) -> None:
        begun.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr("dlq.management.live.watch.__defaults__", (pause,))
    return begun


def test_in_a_terminal_the_view_is_live(
    busy: MemoryBackend, run: Run, terminal: io.StringIO, ctrl_c: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert "Ctrl-C ends this." in run("queue_status", out=terminal)
    assert ctrl_c == [1.0]


def test_an_outage_is_shown_and_does_not_end_the_live_view(
    memory: MemoryBackend,
    run: Run,
    terminal: io.StringIO,
    ctrl_c: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(*args: Any, **kwargs: Any) -> None:
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(MemoryInspector, "counts", away)
    assert "Backend default: the store is away" in run("queue_status", out=terminal)
    assert ctrl_c == [1.0]


@pytest.mark.parametrize("option", ["--once", "--json"])
def test_in_a_terminal_it_can_be_had_once(
    busy: MemoryBackend, run: Run, terminal: io.StringIO, ctrl_c: list[float], option: str
) -> None:
    said = run("queue_status", option, out=terminal)
    assert ctrl_c == []
    assert "\x1b[?25l" not in said


@pytest.mark.usefixtures("without_rich")
def test_without_rich_plain_lines_are_printed_once(
    memory: MemoryBackend, run: Run, terminal: io.StringIO
) -> None:
    add(memory.store, queue="email", now=NOON)
    said = run("queue_status", out=terminal)
    assert said.startswith("Backend default\n\n  queue ")
