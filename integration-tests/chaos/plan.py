"""Which faults a run has, in which order, and how each falls out: all of it follows from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Planned", "plan"]


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault to come."""

    kind: str
    seed: int
    """What it decides by chance, such as whom it strikes, it decides with dice of this seed."""

    @property
    def dice(self) -> random.Random:
        """The same at each run."""
        return random.Random(self.seed)


def plan(seed: int, count: int, kinds: Sequence[str]) -> list[Planned]:
    """So many faults. Each kind comes as often as any other, give or take one, in an order that nobody foresees."""
    dice = random.Random(seed)
    kinds_in_turn = _rounds(dice, sorted(kinds))
    return [Planned(next(kinds_in_turn), dice.randrange(1 << 32)) for _ in range(count)]


def _rounds(dice: random.Random, kinds: list[str]) -> Iterator[str]:
    while True:
        yield from dice.sample(kinds, len(kinds))
