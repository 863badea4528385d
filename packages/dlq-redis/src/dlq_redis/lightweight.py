"""Moving the jobs of django-lightweight-queue, which this one succeeds, out of its lists.

A job there is a JSON text in a list. It is first moved, with an id, into a list of our own beside; then enqueued under
that id; then removed. Whoever is killed in between leaves it there, and the next one enqueues it under the same id,
which stores it once. What cannot be read is put aside, and never deleted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from redis import Redis

from dlq import payload
from dlq.errors import PayloadError
from dlq.ids import new_job_id
from dlq.job import NewJob
from dlq.store.base import Store

__all__ = ["Legacy", "Waiting", "moved", "waiting_in"]

BATCH = 500
HELD, REFUSED = "dlq-importing:", "dlq-refused:"
TAKE = """
local taken = 0
for _, id in ipairs(ARGV) do
  local item = redis.call('RPOP', KEYS[1])
  if not item then break end
  redis.call('LPUSH', KEYS[2], id .. item)
  taken = taken + 1
end
return taken
"""
DROP = """
for at = 1, #ARGV, 2 do
  if redis.call('LREM', KEYS[1], -1, ARGV[at]) == 1 and ARGV[at + 1] == '1' then
    redis.call('LPUSH', KEYS[2], string.sub(ARGV[at], 17))
  end
end
"""
_PROCESSING = re.compile(r":processing:\d+$")
_GLOB = re.compile(r"([*?\[\]\\])")


@dataclass(frozen=True, slots=True)
class Legacy:
    """The server that django-lightweight-queue uses, and its ``LIGHTWEIGHT_QUEUE_REDIS_PREFIX``."""

    server: Redis
    prefix: str = ""

    @property
    def base(self) -> str:
        """What the names of its keys begin with."""
        return f"{self.prefix}:django_lightweight_queue:" if self.prefix else "django_lightweight_queue:"


@dataclass(frozen=True, slots=True)
class Waiting:
    """One of its lists, with jobs of a queue."""

    key: str
    queue: str
    jobs: int
    """How many are in it, those that an earlier run has begun to move included."""
    processing: bool
    """Whether a worker has, or had, begun them."""


def waiting_in(legacy: Legacy) -> list[Waiting]:
    """The lists that hold jobs: what workers had begun first, for it came first."""
    server: Any = legacy.server
    keys = {key for held in ("", HELD) for key in _lists(legacy, held)}
    found = []
    for key in keys:
        name = key.removeprefix(legacy.base)
        queue = _PROCESSING.sub("", name)
        jobs = server.llen(key) + server.llen(HELD + key)
        found.append(Waiting(key, queue, jobs, processing=queue != name))
    return sorted(found, key=lambda each: (not each.processing, each.queue, each.key))


def _lists(legacy: Legacy, before: str) -> Iterator[str]:
    server: Any = legacy.server
    pattern = _GLOB.sub(r"\\\1", before + legacy.base) + "*"
    for raw in server.scan_iter(pattern, _type="list", count=1000):
        yield raw.decode().removeprefix(before)


def moved(legacy: Legacy, source: Waiting, store: Store) -> Iterator[tuple[int, int]]:
    """Move all jobs of a list, a batch at a time: how many of it were moved, and how many put aside.

    Raises StoreError, and the errors of redis-py; nothing is lost then.
    """
    server: Any = legacy.server
    take, drop = server.register_script(TAKE), server.register_script(DROP)
    held, refused = HELD + source.key, REFUSED + source.key
    while True:
        items: list[bytes] = server.lrange(held, -BATCH, -1)[::-1]  # The oldest is the last.
        if not items:
            if not take([source.key, held], [new_job_id().bytes for _ in range(BATCH)]):
                return
            continue
        jobs = [_job_of(item, source.queue) for item in items]
        good = [job for job in jobs if job is not None]
        store.enqueue(good)
        drop([held, refused], list(_verdicts(items, jobs)))
        yield len(good), len(jobs) - len(good)


def _verdicts(items: Sequence[bytes], jobs: Iterable[NewJob | None]) -> Iterator[bytes]:
    for item, job in zip(items, jobs, strict=True):
        yield item
        yield b"1" if job is None else b"0"


def _job_of(item: bytes, queue: str) -> NewJob | None:
    """The job that an item stands for; None if it cannot be read.

    Its task may be unknown here: then it waits, visible, for a worker that knows it.
    """
    try:
        said = json.loads(item[16:])
        text, _, _ = payload.encode(said["args"], said["kwargs"])
        path, overrides = said["path"], _overrides(said)
    except (ValueError, TypeError, KeyError, PayloadError):
        return None
    if not isinstance(path, str):
        return None
    return NewJob(id=UUID(bytes=item[:16]), task=path, queue=queue, payload=text, overrides=overrides)


def _overrides(said: dict[str, Any]) -> str | None:
    options = {name: said[name] for name in ("timeout", "sigkill_on_stop") if said.get(name)}
    return json.dumps(options) if options else None
