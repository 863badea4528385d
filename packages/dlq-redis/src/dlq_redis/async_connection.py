"""Connections for coroutines: a pool of each event loop, which is closed when the loop is.

As in ``connection``, nothing here repeats a command by itself.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from dlq_redis.connection import Server

__all__ = ["client"]

type Run = Callable[..., Awaitable[Any]]

CONNECTIONS = 32
"""To one server, of one loop. More calls wait in line: a server that runs one at a time gains nothing by more."""


class _Pool:
    def __init__(self, server: Server) -> None:
        self.client: Any
        self.client, *self._asked = _connect(server)
        self.line = asyncio.Semaphore(CONNECTIONS)

    async def close(self) -> None:
        if isinstance(self.client, Redis):
            await self.client.connection_pool.disconnect()
        for each in (self.client, *self._asked):
            await each.aclose()


type _Kept = dict[Server, tuple[AsyncGenerator[_Pool], _Pool]]

_pools: dict[asyncio.AbstractEventLoop, _Kept] = {}
_of_parents: list[object] = []
"""What a parent had open belongs to it: in a child it is neither used nor closed, nor given up to be closed."""


def _forget() -> None:
    global _pools
    _of_parents.append(_pools)
    _pools = {}


os.register_at_fork(after_in_child=_forget)


@asynccontextmanager
async def client(server: Server) -> AsyncIterator[Run]:
    """What runs one command at a time, on a connection of the running loop."""
    pool = await _pool(server)
    async with pool.line:
        yield pool.client.execute_command


async def _pool(server: Server) -> _Pool:
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        for closed in [each for each in _pools if each.is_closed()]:
            del _pools[closed]
        _pools[loop] = {}
    kept = _pools[loop]
    if server not in kept:
        # Loops close the generators that have begun in them before they are closed themselves.
        keeper = _keep(loop, server)
        kept[server] = (keeper, await anext(keeper))
    return kept[server][1]


async def _keep(loop: asyncio.AbstractEventLoop, server: Server) -> AsyncGenerator[_Pool]:
    pool = _Pool(server)
    try:
        yield pool
    finally:
        _pools.get(loop, {}).pop(server, None)
        await pool.close()


def _connect(server: Server) -> tuple[Redis | RedisCluster, ...]:
    """A client, and those of the Sentinels that it asks."""
    options = {"retry": Retry(NoBackoff(), 0), **server.options(server.timeout)}
    if server.cluster:
        return (RedisCluster.from_url(server.url, max_connections=CONNECTIONS, **options),)
    if server.sentinels:
        asked: Any = Sentinel(  # type: ignore[no-untyped-call]
            server.sentinel_hosts, sentinel_kwargs=server.impatient
        )
        return (asked.master_for(server.service, **{**server.of_the_master, **options}), *asked.sentinels)
    return (Redis.from_url(server.url, **options),)
