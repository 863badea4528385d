from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from dlq import MemoryBackend
from dlq.control import workers
from dlq.store import MemoryStore
from dlq.testing.contract.builders import NOON, add, claim_one, runner_info, worker_info
from dlq.workers import Order

type Run = Callable[..., str]


@pytest.fixture
def three(memory: MemoryBackend) -> MemoryBackend:
    """Two workers of one runner, and one of another."""
    for runner, worker in (("r1", "r1/a"), ("r1", "r1/b"), ("r2", "r2/a")):
        memory.store.register_runner(runner_info(runner, host=f"host-of-{runner}"), now=NOON)
        memory.store.register_worker(
            worker_info(worker, runner, queues="email,*", kind="threads", slots=4), now=NOON
        )
    return memory


@pytest.fixture
def heeding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that confirm at once what they are told."""
    instruct = MemoryStore.instruct

    def obey(self: MemoryStore, worker: str, order: Order) -> int | None:
        number = instruct(self, worker, order)
        if number is not None:
            self.heed(worker, number)
        return number

    monkeypatch.setattr(MemoryStore, "instruct", obey)


def test_the_list_shows_workers_and_what_they_run(three: MemoryBackend, run: Run) -> None:
    worker = three.store.register_worker(worker_info("r2/b", "r2"), now=NOON)
    id = add(three.store)
    claim_one(three.store, worker)
    three.store.instruct("r1/a", Order.QUIET)
    lines = [line.strip() for line in run("queue_workers").splitlines()]
    assert lines[0] == "Backend default"
    assert any(line.startswith("runner r1 on host-of-r1, process 100, last beat ") for line in lines)
    assert "worker r1/a: email,* (threads, 4 at a time), told to be quiet" in lines
    assert "worker r1/b: email,* (threads, 4 at a time)" in lines
    at = lines.index("worker r2/b: * (process, 1 at a time)")
    assert lines[at + 1] == f"runs {id} shop.tasks.send since 2026-03-01 12:00:00+00:00"
    assert run("queue_workers", "list") == run("queue_workers")


def test_the_list_says_that_there_is_no_runner(memory: MemoryBackend, run: Run) -> None:
    assert "No runner is registered: start one with manage.py queue_runner." in run("queue_workers")


@pytest.mark.usefixtures("heeding")
@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize(
    ("targets", "meant"),
    [
        (["r1/a"], ["r1/a"]),
        (["r1"], ["r1/a", "r1/b"]),
        (["r2", "r1/b"], ["r1/b", "r2/a"]),
        (["--all"], ["r1/a", "r1/b", "r2/a"]),
    ],
    ids=["a worker", "a runner", "both", "all"],
)
def test_those_who_are_meant_are_told_and_confirm(
    three: MemoryBackend, run: Run, order: Order, targets: list[str], meant: list[str]
) -> None:
    said = run("queue_workers", order.value, *targets)
    assert said.splitlines() == [f"{worker} has heard: {order.value}." for worker in meant]
    assert [worker.id for worker in workers() if worker.instructed] == meant
    shown = Order.WORK if order is Order.PING else order  # A ping changes nothing.
    assert {worker.order for worker in workers() if worker.instructed} == {shown}


def test_who_does_not_answer_is_named_and_the_others_too(
    three: MemoryBackend, refused: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    instruct = MemoryStore.instruct

    def first_obeys(self: MemoryStore, worker: str, order: Order) -> int | None:
        number = instruct(self, worker, order)
        if worker == "r1/a" and number is not None:
            self.heed(worker, number)
        return number

    monkeypatch.setattr(MemoryStore, "instruct", first_obeys)
    out = io.StringIO()
    said = refused("queue_workers", "ping", "--all", "--timeout", "0", out=out)
    assert said == "No answer within 0 s from r1/b, r2/a."
    assert out.getvalue() == "r1/a has heard: ping.\n"


@pytest.mark.parametrize("order", [Order.STOP, Order.QUIET])
def test_a_worker_that_ends_before_it_is_told_has_stopped_and_nothing_else(
    three: MemoryBackend, run: Run, refused: Run, monkeypatch: pytest.MonkeyPatch, order: Order
) -> None:
    def too_late(self: MemoryStore, worker: str, order: Order) -> None:
        self.unregister_worker(worker)

    monkeypatch.setattr(MemoryStore, "instruct", too_late)
    if order is Order.STOP:
        assert run("queue_workers", "stop", "r2") == "r2/a has heard: stop.\n"
    else:
        assert refused("queue_workers", "quiet", "r2") == "No answer within 10 s from r2/a."


@pytest.mark.usefixtures("heeding")
def test_workers_of_every_backend_are_meant(
    three: MemoryBackend, other: MemoryBackend, run: Run, refused: Run
) -> None:
    other.store.register_runner(runner_info("r1"), now=NOON)
    other.store.register_worker(worker_info("r1/z", "r1"), now=NOON)
    assert run("queue_workers", "ping", "r1").splitlines() == [
        "default: r1/a has heard: ping.",
        "default: r1/b has heard: ping.",
        "other: r1/z has heard: ping.",
    ]
    assert run("queue_workers", "ping", "r1", "--backend", "other") == "other: r1/z has heard: ping.\n"
    assert "r1/a" in refused("queue_workers", "ping", "r1/a", "--backend", "other")


REFUSED: dict[str, tuple[list[str], str]] = {
    "nobody meant": (["ping"], "Say who is to ping: ids of workers or runners, or --all, not both."),
    "some and all": (["stop", "r1", "--all"], "Say who is to stop: ids of workers or runners, or --all"),
    "unknown": (
        ["quiet", "r1", "r9"],
        "No worker or runner is registered as r9; see manage.py queue_workers.",
    ),
    "no order": (["dance", "r1"], "invalid choice: 'dance'"),
    "list of some": (["list", "r1"], "The list takes no ids and no --all."),
    "list of all": (["--all"], "The list takes no ids and no --all."),
    "negative": (["ping", "r1", "--timeout=-1"], "--timeout -1 must be 0 to 86400 seconds."),
    "never": (["ping", "r1", "--timeout", "inf"], "--timeout inf must be 0 to 86400 seconds."),
    "not a number": (["ping", "r1", "--timeout", "nan"], "--timeout nan must be 0 to 86400 seconds."),
}


@pytest.mark.parametrize(("arguments", "says"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused_and_nobody_is_told(
    three: MemoryBackend, refused: Run, arguments: list[str], says: str
) -> None:
    assert says in refused("queue_workers", *arguments)
    assert not any(worker.instructed for worker in workers())


def test_all_of_nobody_is_an_error(memory: MemoryBackend, refused: Run) -> None:
    assert refused("queue_workers", "ping", "--all").startswith("No worker is registered: start some")
