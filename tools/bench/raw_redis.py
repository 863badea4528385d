"""The yardstick on Redis: what one Python process drains from one sorted set, in batches of 100, with one script each.

It settles a batch and claims the next, fenced by a token, keeps results, decodes arguments and encodes return values,
and does nothing else: no priorities, no queues, no heartbeats, no retries, no counts, no log.
"""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid4

__all__ = ["drain_raw"]

BATCH = 100
ENQUEUE = """
for at = 1, #ARGV, 2 do
  redis.call('HSET', KEYS[1] .. ARGV[at], 'payload', ARGV[at + 1])
  redis.call('ZADD', KEYS[1] .. 'ready', at, ARGV[at])
end
"""
EXCHANGE = """
local jobs, now, claims = KEYS[1], redis.call('TIME')[1], {}
for at = 2, #ARGV, 3 do
  if redis.call('HGET', jobs .. ARGV[at], 'token') == ARGV[at + 1] then
    redis.call('ZREM', jobs .. 'running', ARGV[at])
    redis.call('HSET', jobs .. ARGV[at], 'result', ARGV[at + 2], 'finished', now)
  end
end
local ids = redis.call('ZPOPMIN', jobs .. 'ready', ARGV[1])
for at = 1, #ids, 2 do
  local token = redis.call('HINCRBY', jobs .. ids[at], 'token', 1)
  redis.call('ZADD', jobs .. 'running', now, ids[at])
  claims[#claims + 1] = { ids[at], token, redis.call('HGET', jobs .. ids[at], 'payload') }
end
return claims
"""


def drain_raw(server: Any, jobs: int, payload: str) -> float:
    """Jobs per second."""
    enqueue, exchange = server.register_script(ENQUEUE), server.register_script(EXCHANGE)
    for _ in range(0, jobs, BATCH):
        enqueue(["{raw}"], [part for _ in range(BATCH) for part in (uuid4().hex, payload)])
    outcomes: list[Any] = []
    began = time.perf_counter()
    while claims := exchange(["{raw}"], [BATCH, *outcomes]):
        outcomes = []
        for id, token, text in claims:
            args, kwargs = json.loads(text)
            outcomes += [id, token, json.dumps(_noop(*args, **kwargs))]
    return jobs / (time.perf_counter() - began)


def _noop(*args: object, **kwargs: object) -> object:
    return None
