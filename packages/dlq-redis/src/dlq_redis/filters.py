"""Filters, as ``lua/parts/filter.lua`` reads them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from dlq.store import JobFilter
from dlq_redis.clock import ticks
from dlq_redis.texts import encoded

__all__ = ["packed_filter"]

type Arguments = list[bytes | int]


def packed_filter(chosen: JobFilter) -> Arguments:
    """The arguments that say which jobs are wanted."""
    packed: Arguments = []
    states = None if chosen.states is None else [f"{state:d}" for state in chosen.states]
    for values in (states, chosen.queues, chosen.tasks, chosen.workers, chosen.exceptions):
        packed += [-1] if values is None else _list(values)
    packed += [_time(chosen.since), _time(chosen.until), len(chosen.metadata)]
    for entry in chosen.metadata_needles:
        packed += _list(entry)
    needles: Sequence[str] = chosen.needles if chosen.text else ()
    first, last = chosen.id_range or (None, None)
    packed += [*_list([_lower(needle) for needle in needles]), encoded(_lower(chosen.text))]
    return [*packed, b"" if first is None else first.bytes, b"" if last is None else last.bytes]


def _list(values: Collection[str]) -> Arguments:
    return [len(values), *map(encoded, values)]


def _time(moment: datetime | None) -> bytes:
    return b"" if moment is None else str(ticks(moment)).encode()


def _lower(text: str) -> str:
    """In lower case as Lua understands it: ASCII alone."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)
