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

__all__ = ["Legacy", "Waiting", "moved", "paused_in", "waiting_in"]

BATCH = 500
PAUSE = ":pause"
"""What a key ends with that is there, and expires, for as long as its queue is paused."""
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


def paused_in(legacy: Legacy) -> dict[str, float | None]:
    """The queues that are paused there, each with the seconds that are left of that; None is for ever."""
    server: Any = legacy.server
    left = {key: server.pttl(key) for key in _keys(legacy, legacy.base, "string") if key.endswith(PAUSE)}
    return {
        key.removeprefix(legacy.base).removesuffix(PAUSE): None if milliseconds == -1 else milliseconds / 1000
        for key, milliseconds in left.items()
        if milliseconds != -2  # It has ended meanwhile.
    }


def _lists(legacy: Legacy, before: str) -> Iterator[str]:
    return (key.removeprefix(before) for key in _keys(legacy, before + legacy.base, "list"))


def _keys(legacy: Legacy, prefix: str, kind: str) -> Iterator[str]:
    server: Any = legacy.server
    for raw in server.scan_iter(_GLOB.sub(r"\\\1", prefix) + "*", _type=kind, count=1000):
        yield raw.decode()


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
