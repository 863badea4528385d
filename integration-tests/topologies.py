"""Servers of a test's own: one with other settings, a Cluster of three masters, a master under Sentinels."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from dlq.errors import StoreUnavailable
from dlq.job import Claim
from dlq.store import Store
from dlq.testing.contract.builders import new_job
from dlq.workers import WorkerRef

__all__ = ["Node", "Nodes", "Sentinels", "asked_by_coroutines", "reconciled", "until"]

SLOTS = 16_384
PATIENCE = 60.0
HOST = "127.0.0.1"


def until(condition: Callable[[], object], otherwise: str) -> None:
    """Return as soon as it holds."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(RedisError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise AssertionError(f"after {PATIENCE:g} s: {otherwise}")
        time.sleep(0.02)


def reconciled(store: Store, worker: WorkerRef, held: Collection[Claim]) -> WorkerRef:
    """What a worker does whose last exchange had no answer: it tries until it has one."""
    found: list[WorkerRef] = []

    def is_back() -> bool:
        with contextlib.suppress(StoreUnavailable):
            found.append(store.reconcile(worker, [(claim.id, claim.token) for claim in held]))
        return bool(found)

    until(is_back, "the store does not come back")
    return found[0]


def asked_by_coroutines(store: Store) -> None:
    """A job is enqueued and read on connections of an event loop."""
    asked, job = store.asynchronous, new_job()
    assert asked is not None

    async def main() -> None:
        await asyncio.gather(*(asked.enqueue([job]) for _ in range(3)))
        assert [record.id for record in await asked.get([job.id])] == [job.id]

    asyncio.run(main())
    gc.collect()  # Whatever is left open is warned of here.


@dataclass
class Node:
    """A running server."""

    port: int
    command: Sequence[str]
    log: Path
    client: Redis
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Have it serve, on its port and with the files in its folder."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)
        until(self.client.ping, f"the server on port {self.port} did not start")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://{HOST}:{self.port}/0"

    def kill(self) -> None:
        """End it as a crash would."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals) -> None:
        """End it with a signal."""
        self.process.send_signal(number)
        self.process.wait()


@dataclass
class Sentinels:
    """A master, its replica, and who watches them."""

    master: Node
    replica: Node
    sentinels: list[Node]
    service = "jobs"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the Sentinels listen."""
        return tuple(f"{HOST}:{node.port}" for node in self.sentinels)


class Nodes:
    """Starts servers, each in a folder of its own, and ends them all."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is for their files. The program is that of the server that ``./tools/test`` has started."""
        self._folder = folder
        with Redis.from_url(os.environ["DLQ_TEST_REDIS_URL"]) as running:
            self._program = running.info("server")["executable"]
        self._nodes: list[Node] = []

    def close(self) -> None:
        """End everything."""
        for node in self._nodes:
            node.kill()
            node.client.close()

    def start(self, *arguments: str, config: str | None = None, **settings: Any) -> Node:
        """A server with these arguments; ``settings`` are for the client that tests use."""
        (port,) = _free_ports(1)
        folder = self._folder / str(port)
        folder.mkdir()
        files: Sequence[str] = ()
        if config is not None:
            (folder / "server.conf").write_text(config)
            files = [str(folder / "server.conf")]
        where = ["--port", str(port), "--bind", HOST, "--dir", str(folder), "--save", ""]
        command = [self._program, *files, *where, *arguments]
        node = Node(port, command, folder / "log", Redis(host=HOST, port=port, **settings))
        self._nodes.append(node)
        node.start()
        return node

    def free_port(self) -> int:
        """One that nobody listens on."""
        return _free_ports(1)[0]

    def cluster(self, replicas: int = 0) -> list[Node]:
        """Three masters that share the slots, then so many replicas of each in turn."""
        nodes = [self.start(*_as_member()) for _ in range(3 * (1 + replicas))]
        share = SLOTS // 3
        for at, node in enumerate(nodes[:3]):
            last = SLOTS - 1 if at == 2 else (at + 1) * share - 1
            _do(node, "CLUSTER ADDSLOTSRANGE", at * share, last)
        for node in nodes[1:]:
            bus = int(node.client.config_get("cluster-port")["cluster-port"])
            _do(nodes[0], "CLUSTER MEET", HOST, node.port, bus)
        for node in nodes:
            until(partial(_is_whole, node, len(nodes)), "the Cluster is not whole")
        for at, node in enumerate(nodes[3:]):
            _do(node, "CLUSTER REPLICATE", str(_do(nodes[at % 3], "CLUSTER MYID"), "ascii"))
        for node in nodes[3:]:
            until(partial(_follows, node), "a replica has no link to its master")
        return nodes

    def sentinels(self) -> Sentinels:
        """One master, one replica, three Sentinels."""
        master = self.start()
        replica = self.start("--replicaof", f"{HOST} {master.port}")
        rules = [
            f"sentinel monitor jobs {HOST} {master.port} 2",
            "sentinel down-after-milliseconds jobs 500",
            "sentinel failover-timeout jobs 3000",
        ]
        watchers = [self.start("--sentinel", config="\n".join(rules) + "\n") for _ in range(3)]
        for watcher in watchers:
            until(partial(_knows_the_others, watcher), "the Sentinels do not know each other")
        return Sentinels(master, replica, watchers)


def _knows_the_others(watcher: Node) -> bool:
    peers, replicas = _do(watcher, "SENTINEL SENTINELS", "jobs"), _do(watcher, "SENTINEL REPLICAS", "jobs")
    return len(peers) == 2 and len(replicas) == 1


def _as_member() -> Iterator[str]:
    (bus,) = _free_ports(1)
    yield from ("--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "2000")


def _is_whole(node: Node, members: int) -> bool:
    known = _do(node, "CLUSTER INFO")
    return bool(known["cluster_state"] == "ok" and known["cluster_known_nodes"] == str(members))


def _follows(node: Node) -> bool:
    return bool(node.client.info("replication").get("master_link_status") == "up")


def _do(node: Node, *command: Any) -> Any:
    run: Any = node.client.execute_command
    return run(*command)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in sockets]
