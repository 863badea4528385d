"""What a server's settings put at stake: told when a runner starts, and by ``manage.py check --deploy``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from dlq_redis import connection
from dlq_redis.connection import Server

__all__ = ["OLDEST", "Advice", "advice", "facts_of", "version_of"]

OLDEST = (7, 0)
"""The oldest version of Redis that runs our scripts: flags of scripts are new there."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Something that had better be changed."""

    id: str
    text: str
    """What is at stake."""
    remedy: str


def advice(facts: Mapping[str, Any]) -> Iterator[Advice]:
    """What there is to say about a server, from what ``facts_of`` has found."""
    policy = str(facts.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        yield Advice(
            "dlq_redis.W001",
            f"its maxmemory-policy is {policy}: when memory is short it deletes waiting jobs, and tells nobody",
            "Set maxmemory-policy noeviction: then enqueuing fails with an error, and nothing is lost.",
        )
    if facts.get("aof_enabled", 1):
        return
    if facts.get("save") == "":
        yield Advice(
            "dlq_redis.W002",
            "it writes nothing to disk: when it restarts, all jobs are gone",
            "Set appendonly yes: then a crash of the server costs the last second at most.",
        )
    else:
        yield Advice(
            "dlq_redis.W003",
            "it writes snapshots alone: when it restarts, jobs enqueued since the last one are gone, and jobs that "
            "finished since run again",
            "Set appendonly yes: then a crash of the server costs the last second at most.",
        )


def facts_of(server: Server, key: str) -> dict[str, Any]:
    """What the server, in a Cluster the node with this key, says about itself.

    Raises redis-py's errors.
    """
    client: Any = connection.client(server)
    where = {"target_nodes": client.get_node_from_key(key)} if server.cluster else {}
    facts: dict[str, Any] = client.info(**where)
    with suppress(RedisError):  # Those who rent out servers often forbid it.
        facts |= client.config_get("save", **where)
    return facts


def version_of(facts: Mapping[str, Any]) -> tuple[int, ...]:
    """The version of Redis that a server is, or is like."""
    return tuple(int(part) for part in str(facts["redis_version"]).split(".")[:2])
