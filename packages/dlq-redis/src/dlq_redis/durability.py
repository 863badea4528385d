"""Waiting until the server's log, and with it the job, is on its disk."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Any
from uuid import UUID

from redis import Redis, RedisCluster
from redis.exceptions import NoScriptError, ResponseError

from dlq.errors import StoreNotReady, StoreUnavailable
from dlq_redis.connection import Server, client
from dlq_redis.scripts import Script

__all__ = ["Durability", "NotDurable", "run_durably"]


class Durability(StrEnum):
    """When an enqueue has succeeded."""

    SERVER = "server"
    """When the server has the jobs, in its memory."""
    AOF = "aof"
    """When its log of writes is on its disk with them, which may take a second where ``appendfsync`` is everysec."""


class NotDurable(StoreUnavailable):
    """The jobs are enqueued, but in time they were not seen to be on disk. To enqueue them again changes nothing."""

    def __init__(self, message: str, ids: Collection[UUID]) -> None:
        """``ids`` are those of the jobs."""
        super().__init__(message)
        self.ids = tuple(ids)


def run_durably(server: Server, script: Script, tag: str, arguments: list[Any]) -> tuple[Any, bool]:
    """Run a script and wait, on the same connection, until it is on disk; its reply, and whether it was.

    Raises StoreNotReady where the server keeps no log, and the errors of redis-py.
    """
    node = _node(server, tag)
    try:
        reply, waited = _run(node, server, ("EVALSHA", script.digest, 1, tag, *arguments))
    except NoScriptError:
        reply, waited = _run(node, server, ("EVAL", script.text, 1, tag, *arguments))
    return reply, waited[0] >= 1


def _node(server: Server, tag: str) -> Redis:
    found: Any = client(server)
    if isinstance(found, RedisCluster):
        found = found.get_redis_connection(found.get_node_from_key(tag))  # type: ignore[no-untyped-call]
    node: Redis = found
    return node


def _run(node: Redis, server: Server, command: tuple[Any, ...]) -> tuple[Any, Any]:
    patience = round(server.timeout * 1000 / 2)
    calls: Any
    with node.pipeline(transaction=False) as calls:
        calls.execute_command(*command)
        calls.execute_command("WAITAOF", 1, 0, patience)
        reply, waited = calls.execute(raise_on_error=False)
    if isinstance(reply, Exception):
        raise reply
    if isinstance(waited, ResponseError):
        raise StoreNotReady(
            f"{server.name} cannot say what is on its disk ({waited}). durability='aof' needs Redis 7.2 or newer, and "
            f"appendonly yes."
        )
    if isinstance(waited, Exception):
        raise waited
    return reply, waited
