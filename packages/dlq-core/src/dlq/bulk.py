"""Many jobs of one task, sent in batches as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dlq import payload

__all__ = ["in_batches"]

type Arguments = tuple[Sequence[Any], Mapping[str, Any]]


@contextmanager
def in_batches(send: Callable[[list[Arguments]], object], size: int) -> Iterator[Callable[..., None]]:
    """Collect calls, and ``send`` them whenever there are ``size`` of them, and at the end.

    When the block raises, what was not sent yet is dropped. Arguments are read when they are given: the
    caller may change the objects afterwards.
    """
    collected: list[Arguments] = []
    finished = False

    def flush() -> None:
        batch = collected.copy()
        collected.clear()
        send(batch)

    def collect(*args: Any, **kwargs: Any) -> None:
        if finished:
            raise RuntimeError("The block of bulk_enqueue() has ended; what comes later is never sent.")
        _, as_sent, named_as_sent = payload.encode(args, kwargs)
        collected.append((as_sent, named_as_sent))
        if len(collected) >= size:
            flush()

    try:
        yield collect
    finally:
        finished = True
    if collected:
        flush()
