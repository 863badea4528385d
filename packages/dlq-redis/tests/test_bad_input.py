"""What goes wrong on servers: each time a clear error, no job lost or stuck, and recovery by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dlq.errors import RunnerUnknown, StoreError, StoreNotReady, StoreUnavailable
from dlq.job import Outcome
from dlq.states import FINISHED, State
from dlq.store import JobFilter
from dlq.testing.contract.builders import (
    OUTCOMES,
    add,
    add_many,
    claim,
    claim_ids,
    claim_one,
    new_job,
    one_of_each,
    register,
    settle,
    settle_one,
    state_of,
)
from dlq_redis.advice import advice, facts_of
from dlq_redis.connection import Server, client, release
from dlq_redis.data import DATA_VERSION
from dlq_redis.inspector import RedisInspector
from dlq_redis.store import RedisStore
from topologies import Node, Nodes


@pytest.fixture
def store(server: Server) -> RedisStore:
    return RedisStore("default", server)


@pytest.fixture
def node(nodes: Nodes) -> Node:
    """A server of the test's own."""
    return nodes.start()


@pytest.fixture
def own(node: Node) -> Iterator[RedisStore]:
    """A store on that server."""
    server = Server(url=node.url)
    yield RedisStore("default", server)
    release(server)


def test_out_of_memory_nothing_is_enqueued_and_all_else_goes_on(node: Node, own: RedisStore) -> None:
    worker = register(own)
    ids = add_many(own, 50)
    held = claim(own, worker, 10)
    node.client.config_set("maxmemory", 1)
    refused = new_job()
    with pytest.raises(StoreError, match=r"has no memory left .*raise its maxmemory") as error:
        own.enqueue([refused])
    assert not isinstance(error.value, StoreUnavailable)
    assert own.get([refused.id]) == []
    assert settle(own, worker, *map(OUTCOMES["succeeded"], held)).stale == []
    assert claim_ids(own, worker) == ids[10:]
    assert own.prune(State.SUCCEEDED, 0, 100) == 10
    own.unregister_worker(worker.id)
    assert len(own.orphans(100)) == 40
    assert settle(own, worker, *map(Outcome.handed_back, own.orphans(100))).stale == []
    node.client.config_set("maxmemory", 0)
    own.enqueue([refused])
    assert state_of(own, refused.id) is State.READY


def test_a_replica_takes_nothing_and_is_no_end(nodes: Nodes, node: Node, own: RedisStore) -> None:
    id = add(own)
    node.client.replicaof("127.0.0.1", nodes.free_port())
    with pytest.raises(StoreUnavailable, match=r"did not answer: .*[Rr]ead.?only replica"):
        add(own)
    node.client.replicaof("NO", "ONE")
    assert claim_ids(own, register(own)) == [id]


def test_scripts_that_the_server_has_forgotten_are_sent_again(store: RedisStore) -> None:
    worker = register(store)
    ids = add_many(store, 2)
    client(store.server).script_flush()
    assert claim_ids(store, worker) == ids


def test_a_flush_while_work_goes_on_loses_the_jobs_and_nothing_else(store: RedisStore) -> None:
    worker = register(store)
    add_many(store, 2)
    held = claim_one(store, worker)
    client(store.server).flushall()
    reply = store.exchange(worker, [OUTCOMES["succeeded"](held)], ["default"], 5)
    assert (reply.stale, reply.claims, reply.registered) == ([held.id], [], False)
    assert store.beat("runner-1") == {}
    with pytest.raises(RunnerUnknown):
        store.reconcile(worker, [])
    worker = register(store)
    id = add(store)
    assert claim_ids(store, worker) == [id]


@pytest.mark.parametrize("queue", ["*", "a?[b-c]", "{other}", "}{", "a:b", "räum\x00", " "])
def test_a_queue_may_have_any_name(store: RedisStore, queue: str) -> None:
    worker = register(store)
    add(store, queue="a")
    id = add(store, queue=queue)
    assert store.waiting() == sorted(["a", queue])
    assert claim_ids(store, worker, queues=[queue]) == [id]
    assert [counts.queue for counts in RedisInspector(store).counts()] == sorted(["a", queue])


def test_a_job_of_a_newer_version_waits_visible_for_a_newer_worker(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = register(store)
    with monkeypatch.context() as newer:
        newer.setattr("dlq_redis.data.DATA_VERSION", DATA_VERSION + 1)
        id = add(store, task="shop.new")
    older = add(store)
    assert claim_ids(store, worker) == [older]
    assert (state_of(store, id), store.parked()) == (State.BLOCKED, [("shop.new", 1)])
    with monkeypatch.context() as newer:
        newer.setattr("dlq_redis.store.DATA_VERSION", DATA_VERSION + 1)
        assert store.unpark([("shop.new", 1)]) == 1
        assert claim_ids(store, worker) == [id]


@pytest.mark.parametrize("newer", [1, 3])
def test_a_row_of_a_newer_format_is_left_to_those_who_know_it_and_holds_nobody_up(
    store: RedisStore, newer: int
) -> None:
    worker = register(store)
    foreign = add_many(store, newer)
    plain = add_many(store, 2)
    server = client(store.server)
    before = {id: server.hget("{dlq:default}:rows", id.bytes) for id in foreign}
    for id, raw in before.items():
        server.hset("{dlq:default}:rows", id.bytes, bytes([raw[0] + 1]) + b"?" * 9)
    assert claim_ids(store, worker, 1) == plain[:1]
    assert claim_ids(store, worker, 5) == plain[1:]
    assert store.look("runner-1", 100).ready == ["default"]
    inspector = RedisInspector(store)
    assert [counts.states[State.READY] for counts in inspector.counts()] == [newer]
    assert (
        len(inspector.jobs(JobFilter(), limit=9))
        == len(inspector.jobs(JobFilter(queues=["default"]), limit=9))
        == 2
    )
    assert store.get(foreign) == []
    assert store.cancel(foreign, "no").done == store.retry(foreign) == []
    store.prune(State.SUCCEEDED, 0, 9)
    for id, raw in before.items():
        server.hset("{dlq:default}:rows", id.bytes, raw)
    assert claim_ids(store, worker, 9) == foreign


def test_a_claim_of_a_newer_format_holds_up_no_rescue(store: RedisStore) -> None:
    worker = register(store)
    newer, plain = add_many(store, 2)
    claim(store, worker, 2)
    server = client(store.server)
    raw = server.hget("{dlq:default}:rows", newer.bytes)
    server.hset("{dlq:default}:rows", newer.bytes, bytes([raw[0] + 1]) + b"?")
    assert [held.id for held in store.held(worker.id, 9)] == [plain]
    store.retire("runner-1")
    assert [held.id for held in store.orphans(9)] == [plain]


def test_a_key_of_somebody_else_is_found_before_anything_is_settled(store: RedisStore) -> None:
    worker = register(store)
    add(store)
    held = claim_one(store, worker)
    client(store.server).set("{dlq:default}:ready:mail", "mine")
    with pytest.raises(StoreError, match="keys that are not ours"):
        store.exchange(worker, [OUTCOMES["succeeded"](held)], ["default", "mail"], 5)
    assert state_of(store, held.id) is State.RUNNING
    client(store.server).delete("{dlq:default}:ready:mail")
    done = store.exchange(worker, [OUTCOMES["succeeded"](held)], ["default", "mail"], 5)
    assert (done.stale, done.already, state_of(store, held.id)) == ([], [], State.SUCCEEDED)


def test_a_job_of_which_somebody_has_deleted_half_holds_no_other_up(store: RedisStore) -> None:
    worker = register(store)
    broken, whole = add_many(store, 2)
    client(store.server).hdel("{dlq:default}:data", broken.bytes)
    found = {held.id: held for held in claim(store, worker)}
    assert found.keys() == {broken, whole}
    assert found[broken].payload == ""  # Whoever runs it finds that there is nothing to read, and fails it.


def test_keys_of_somebody_else_under_the_prefix_are_named(store: RedisStore) -> None:
    client(store.server).set("{dlq:default}:rows", "mine")
    with pytest.raises(
        StoreNotReady, match=r"has a string under the key \{dlq:default\}:rows. Another application"
    ):
        store.ping()
    with pytest.raises(StoreError, match=r"has keys that are not ours .*prefix"):
        add(store)
    client(store.server).delete("{dlq:default}:rows")
    store.ping()
    assert state_of(store, add(store)) is State.READY


def test_a_server_that_is_away_is_named_without_its_password(nodes: Nodes) -> None:
    server = Server(url=f"redis://shop:secret@127.0.0.1:{nodes.free_port()}/0")
    with pytest.raises(StoreUnavailable, match=r"the Redis server at 127.0.0.1:.* did not answer") as error:
        RedisStore("default", server).ping()
    assert "secret" not in str(error.value)


def test_a_server_that_is_too_old_is_refused(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlq_redis.store.facts_of", lambda *where: {"redis_version": "6.2.14"})
    with pytest.raises(
        StoreNotReady, match=r"is Redis 6.2.14; dlq-redis needs Redis 7.0 or newer, or Valkey"
    ):
        store.ping()


# --- Settings of the server ---


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"save": "", "appendonly": "no"}, {"dlq_redis.W002"}),
        ({"save": "3600 1", "appendonly": "no"}, {"dlq_redis.W003"}),
        ({"save": "", "appendonly": "yes"}, set()),
        (
            {"save": "", "appendonly": "yes", "maxmemory-policy": "allkeys-lru"},
            {"dlq_redis.W001"},
        ),
        ({"save": "", "appendonly": "yes", "maxmemory-policy": "volatile-lru"}, set()),
    ],
)
def test_what_is_at_stake_is_said(
    node: Node, own: RedisStore, settings: dict[str, str], found: set[str]
) -> None:
    for name, value in settings.items():
        node.client.config_set(name, value)
    assert {each.id for each in own.advice()} == found


def test_where_settings_cannot_be_read_nothing_is_made_up(node: Node) -> None:
    node.client.execute_command("ACL", "SETUSER", "default", "-config")  # type: ignore[no-untyped-call]
    facts = facts_of(Server(url=node.url), "x")
    assert "save" not in facts
    assert [each.id for each in advice(facts)] == ["dlq_redis.W003"]


# --- Keys ---


def test_after_a_drain_and_a_prune_no_key_is_left_but_what_was_counted_and_the_hint_that_ends_by_itself(
    store: RedisStore,
) -> None:
    worker = register(store)
    one_of_each(store, worker)
    for queue in ("a", "b"):
        add(store, queue=queue, expires_after=1)
    store.pause("a")
    store.look("runner-1", 100)
    store.resume("a")
    store.unpark([("shop.blocked", 1)])
    store.cancel([job.id for job in store.get([held.id for held in store.held(worker.id, 9)])], "no")
    for held in store.held(worker.id, 9):
        settle_one(store, worker, Outcome.handed_back(held))
    store.look("nobody", 100, now=None)
    while found := claim(store, worker, queues=store.waiting()):
        settle(store, worker, *map(OUTCOMES["succeeded"], found))
    waiting = [
        job.id for job in RedisInspector(store).jobs(JobFilter(), limit=99) if job.state not in FINISHED
    ]
    store.cancel(waiting, "no")
    for state in FINISHED:
        store.prune(state, -1, 100)
    store.retire("runner-1")
    store.retire("runner-2")
    left = {key for key in client(store.server).scan_iter() if client(store.server).ttl(key) < 0}
    counted = {key for key in left if key.rsplit(b":", 1)[-1] in (b"totals", b"minutes") or b":tally:" in key}
    assert left - counted == set()


def test_the_hint_ends_by_itself(store: RedisStore) -> None:
    add(store)
    assert client(store.server).ttl("{dlq:default}:wake") > 0
