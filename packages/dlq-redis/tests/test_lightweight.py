"""``queue_import_lightweight``: what waits in the lists of django-lightweight-queue is moved, all of it, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from dlq import payload
from dlq.backend import MemoryBackend
from dlq.errors import StoreUnavailable
from dlq.states import State
from dlq.store import MemoryInspector, MemoryStore
from dlq.testing import in_memory
from dlq.testing.contract.builders import register
from dlq_redis import lightweight
from dlq_redis.connection import Server, client
from dlq_redis.lightweight import Legacy, moved, waiting_in

Redis = Any


@pytest.fixture
def old(server: Server) -> Redis:
    """The server of the old queues."""
    return client(server)


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    with in_memory() as backend:
        assert isinstance(backend, MemoryBackend)
        yield backend.make_store()


def item(*args: Any, path: str = "shop.tasks.send", **changes: Any) -> str:
    """A job as django-lightweight-queue writes it."""
    plain = {"path": path, "args": args, "kwargs": {}, "timeout": None, "sigkill_on_stop": False}
    return json.dumps(plain | {"created_time": "2026-11-21 20:35:51.218583"} | changes)


def run(server: Server, *arguments: str) -> None:
    call_command("queue_import_lightweight", "--url", server.url, *arguments)


def arguments_in_order(store: MemoryStore, queue: str) -> list[Any]:
    claims = store.exchange(register(store), [], [queue], 10_000).claims
    return [payload.decode(claim.payload)[0] for claim in claims]


def test_waiting_and_begun_jobs_of_all_queues_are_moved_in_their_order(
    old: Redis, server: Server, store: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (2, 3, 4):
        old.lpush("django_lightweight_queue:email", item(number))
    old.lpush("django_lightweight_queue:email:processing:1", item(1))
    old.lpush(
        "django_lightweight_queue:other", item("x", timeout=5, sigkill_on_stop=True, kwargs={"a": [None]})
    )
    run(server)
    assert arguments_in_order(store, "email") == [[1], [2], [3], [4]]
    (claim,) = store.exchange(register(store), [], ["other"], 5).claims
    assert claim.overrides is not None
    assert json.loads(claim.overrides) == {"timeout": 5, "sigkill_on_stop": True}
    assert payload.decode(claim.payload) == (["x"], {"a": [None]})
    assert old.keys() == []
    assert "email (begun): 1 jobs moved to default." in capsys.readouterr().out


def test_a_queue_that_is_paused_stays_paused_for_as_long_as_it_was_to_be(
    old: Redis, server: Server, store: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    old.lpush("django_lightweight_queue:email", item(1))
    old.set("django_lightweight_queue:email:pause", "2026-11-21 20:35:51", ex=60)
    old.set("django_lightweight_queue:empty:pause", "2026-11-21 20:35:51")
    run(server, "--dry-run")
    assert "email: paused for another 0:01:00\n" in capsys.readouterr().out
    assert MemoryInspector(store).counts() == []
    run(server)
    paused = {counts.queue: counts for counts in MemoryInspector(store).counts() if counts.paused}
    assert paused.keys() == {"email", "empty"}
    assert paused["empty"].paused_until is None
    left = paused["email"].paused_until
    assert left is not None
    assert 0 < (left - store.enqueue([]).at).total_seconds() <= 60
    assert arguments_in_order(store, "email") == []


def test_a_prefix_tells_installations_apart(old: Redis, server: Server, store: MemoryStore) -> None:
    old.lpush("s*op:django_lightweight_queue:email", item("mine"))
    old.lpush("shop:django_lightweight_queue:email", item("theirs"))
    run(server, "--prefix", "s*op")
    assert arguments_in_order(store, "email") == [["mine"]]
    assert old.keys() == [b"shop:django_lightweight_queue:email"]


def test_a_dry_run_counts_and_moves_nothing(
    old: Redis, server: Server, store: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    old.lpush("django_lightweight_queue:email", item(1), item(2))
    run(server, "--dry-run")
    said = capsys.readouterr().out
    assert "email: 2 jobs\n" in said
    assert "2 jobs would be moved." in said
    assert (old.llen("django_lightweight_queue:email"), store.waiting()) == (2, [])


def test_what_cannot_be_read_is_put_aside(
    old: Redis, server: Server, store: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = ["no JSON", '"text"', "{}", item(path=7)]
    old.lpush("django_lightweight_queue:email", item(1), *strange, item(2))
    run(server)
    assert arguments_in_order(store, "email") == [[1], [2]]
    kept = old.lrange("dlq-refused:django_lightweight_queue:email", 0, -1)
    assert sorted(kept) == sorted(text.encode() for text in strange)
    assert "4 items could not be read" in capsys.readouterr().err


@pytest.mark.parametrize("killed", ["after the take", "after the enqueue"])
def test_one_that_is_killed_in_the_middle_loses_and_doubles_nothing(
    old: Redis, server: Server, store: MemoryStore, killed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lightweight, "BATCH", 3)
    for number in range(10):
        old.lpush("django_lightweight_queue:email", item(number))
    legacy = Legacy(old)
    enqueue = store.enqueue

    def die(jobs: Any, **when: Any) -> Any:
        if killed == "after the enqueue":
            enqueue(jobs, **when)
        raise StoreUnavailable("killed")

    for _ in range(3):
        with monkeypatch.context() as deadly:
            deadly.setattr(store, "enqueue", die)
            (source,) = waiting_in(legacy)
            assert source.jobs == 10
            with pytest.raises(StoreUnavailable):
                list(moved(legacy, source, store))
    (source,) = waiting_in(legacy)
    assert sum(good for good, _ in moved(legacy, source, store)) == 10
    assert arguments_in_order(store, "email") == [[number] for number in range(10)]
    assert old.keys() == []
    assert [(counts.queue, dict(counts.states)) for counts in MemoryInspector(store).counts()] == [
        ("email", {State.RUNNING: 10})
    ]


def test_two_at_the_same_time_lose_and_double_nothing(
    old: Redis, server: Server, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lightweight, "BATCH", 2)
    for number in range(9):
        old.lpush("django_lightweight_queue:email", item(number))
    legacy = Legacy(old)
    (source,) = waiting_in(legacy)
    one, other = moved(legacy, source, store), moved(legacy, source, store)
    while any([next(one, None), next(other, None)]):
        pass
    assert sorted(arguments_in_order(store, "email")) == [[number] for number in range(9)]
    assert old.keys() == []


def test_one_that_follows_moves_what_comes_later_until_it_is_stopped(
    old: Redis, server: Server, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = iter([1, 2, 3])

    def produce(seconds: float) -> None:
        if (number := next(rounds, None)) is None:
            raise KeyboardInterrupt
        old.lpush("django_lightweight_queue:email", item(number))

    monkeypatch.setattr("dlq_redis.management.commands.queue_import_lightweight.time.sleep", produce)
    run(server, "--follow")
    assert arguments_in_order(store, "email") == [[1], [2], [3]]


def test_a_server_that_does_not_answer_is_named(store: MemoryStore) -> None:
    with pytest.raises(CommandError, match="The old server did not answer"):
        call_command("queue_import_lightweight", "--url", "redis://127.0.0.1:1/0")
