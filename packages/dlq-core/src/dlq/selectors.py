"""Which queues a worker serves, as written in ``DLQ_WORKERS``: ``"alerts,email*,!email-bulk"``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from dlq.errors import ConfigError

__all__ = ["QUEUE_NAMES", "Selector", "broadcast_queue", "is_queue_name"]

QUEUE_NAMES = "1 to 255 printable characters without spaces, commas, ! and *, the first of them no @"
RUNNERS = "@"
"""What the queues begin with that belong to one runner each."""
_NAME = re.compile(r"(?!@)[^\s,!*]{1,255}")
_PART = re.compile(r"!?(?!@)[^\s,!*]*\*?")


@dataclass(frozen=True)
class Selector:
    """An ordered list of queue names, prefixes with ``*``, and exclusions with ``!``.

    Earlier parts win: while an earlier queue has a ready job, later ones wait, for ever if need be.
    Queues that one ``*`` stands for take turns.
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse what is not a selector.

        Raises ConfigError.
        """
        for part in self._parts:
            if not _PART.fullmatch(part) or part in ("", "!"):
                raise ConfigError(
                    f"{part!r} in the queue selector {self.text!r} is neither a queue name, nor a prefix with "
                    f"* at its end, nor one of these with ! in front."
                )
        if not self._included:
            raise ConfigError(f"The queue selector {self.text!r} selects nothing; start it with '*,'.")

    @cached_property
    def has_wildcard(self) -> bool:
        """Whether the queues must be looked up in the store."""
        return any(part.endswith("*") for part in self._included)

    def matches(self, queue: str) -> bool:
        """Whether the selector stands for this queue."""
        return any(_fits(part, queue) for part in self._included) and not self._is_excluded(queue)

    def expand(self, waiting: Sequence[str], turn: int = 0) -> list[str]:
        """The queues to claim from, in order.

        ``waiting`` are the queues that have ready jobs; ``turn``, a number that grows with every claim,
        decides which queue of a wildcard comes first this time.
        """
        return list(dict.fromkeys(self._expand(waiting, turn)))

    def _expand(self, waiting: Sequence[str], turn: int) -> Iterator[str]:
        for part in self._included:
            if part.endswith("*"):
                found = [queue for queue in waiting if _fits(part, queue) and not self._is_excluded(queue)]
                first = turn % len(found) if found else 0
                yield from found[first:] + found[:first]
            elif not self._is_excluded(part):
                yield part

    @cached_property
    def _parts(self) -> list[str]:
        return [part.strip() for part in self.text.split(",")]

    @cached_property
    def _included(self) -> list[str]:
        return [part for part in self._parts if not part.startswith("!")]

    @cached_property
    def _excluded(self) -> list[str]:
        return [part[1:] for part in self._parts if part.startswith("!")]

    def _is_excluded(self, queue: str) -> bool:
        return any(_fits(part, queue) for part in self._excluded)


def broadcast_queue(runner: str) -> str:
    """The queue of the jobs that this runner alone is to run. No selector stands for it."""
    return RUNNERS + runner


def is_queue_name(name: object) -> bool:
    """Whether a queue may be called so: only then can a selector name it, and every store hold it."""
    return isinstance(name, str) and name.isprintable() and _NAME.fullmatch(name) is not None


def _fits(part: str, queue: str) -> bool:
    if part.endswith("*"):
        return queue.startswith(part[:-1]) and not queue.startswith(RUNNERS)
    return queue == part
